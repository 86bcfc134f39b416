/**
 * Tells the log of logins that were refused. Those that cost whoever makes them nothing are told of
 * now and then, counted: else anybody could fill the log, as fast as they connect.
 */
import type { Clock } from "../clock.ts";
import { ToldRarely } from "../told-rarely.ts";
import type { RefusedLogin } from "./failed-attempts.ts";
import type { RefusalReason } from "./refusal.ts";

/** Of which none takes a place of its address's until it is told, or not always. */
const FREE: ReadonlySet<RefusalReason> = new Set(["busy", "identity", "malformed", "mechanism"]);

/** Where it is told; pino is one. */
export interface LoginLogSink {
	info(details: object, message: string): void;
}

export class LoginLog {
	readonly #sink: LoginLogSink;
	readonly #clock: Clock;
	readonly #free = new Map<RefusalReason, ToldRarely>();

	constructor(sink: LoginLogSink, clock: Clock) {
		this.#sink = sink;
		this.#clock = clock;
	}

	/** Of free ones `refused` says how many there were since the last line; others have their own. */
	refused(login: RefusedLogin): void {
		const { reason } = login;
		if (!FREE.has(reason)) {
			this.#sink.info(login, MESSAGE);
			return;
		}
		const ofReason = this.#free.get(reason) ?? new ToldRarely(this.#clock);
		this.#free.set(reason, ofReason);
		const refused = ofReason.happened();
		if (refused !== undefined) this.#sink.info({ ...login, refused }, MESSAGE);
	}
}

const MESSAGE = "a login was refused";
