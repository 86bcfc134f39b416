/**
 * Tells the log of logins that were refused. Those that cost whoever makes them nothing are told of
 * now and then, counted: else anybody could fill the log, as fast as they connect.
 */
import type { Clock } from "../clock.ts";
import type { RefusedLogin } from "./failed-attempts.ts";
import type { RefusalReason } from "./refusal.ts";

/** How often it is told of those of one reason, in milliseconds. */
const TOLD_EVERY_MS = 10_000;

/** Of which none takes a place of its address's until it is told, or not always. */
const FREE: ReadonlySet<RefusalReason> = new Set(["busy", "identity", "malformed", "mechanism"]);

/** Where it is told; pino is one. */
export interface LoginLogSink {
	info(details: object, message: string): void;
}

export class LoginLog {
	readonly #sink: LoginLogSink;
	readonly #clock: Clock;
	/** By reason: when it was told last, and how many have come since. */
	readonly #untold = new Map<RefusalReason, { toldMs: number; count: number }>();

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
		const untold = this.#untold.get(reason) ?? { toldMs: -Infinity, count: 0 };
		this.#untold.set(reason, untold);
		untold.count++;
		const nowMs = this.#clock.monotonicMs();
		if (nowMs - untold.toldMs < TOLD_EVERY_MS) return;
		this.#sink.info({ ...login, refused: untold.count }, MESSAGE);
		untold.toldMs = nowMs;
		untold.count = 0;
	}
}

const MESSAGE = "a login was refused";
