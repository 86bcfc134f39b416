/**
 * Who changed what, and who was refused: events of one line of JSON in the topic `__audit`.
 *
 * Changes are events of their own. What failed or was refused is counted for some seconds, by who
 * tried what, and told as one event then: whoever may do nothing cannot fill the disk with being
 * told so, nor keep the refusals of others out of the log, since each has a share of it. Nobody
 * waits for the log: what it cannot take is dropped and counted.
 */
import type { Clock } from "../clock.ts";
import { LIMITS } from "../limits.ts";
import { CODES } from "../protocol/codes.ts";
import type { RefusedLogin } from "../security/failed-attempts.ts";
import { ANONYMOUS, type Peer } from "../security/principal.ts";

/** Who did it. */
export type Actor = Pick<Peer, "principal" | "host">;

export type AuditedProtocol = "kafka" | "websocket" | "http";

/** What was asked for. */
export interface AuditedAction {
	readonly protocol: AuditedProtocol;
	/** An API of Kafka's or a call, by its name. */
	readonly operation: string;
	/** Its kind and its name: "topic orders". */
	readonly resource?: string;
}

/** Where events are kept. */
export interface AuditSink {
	/** Appends them in this order; rejects when they are not kept. */
	append(events: readonly string[]): Promise<void>;
}

/** How long events are gathered that are appended together, in milliseconds. */
const FLUSH_MS = 200;
/** How long refusals are counted that are told as one, in milliseconds. */
const REFUSALS_MS = 10_000;
const RESOURCE_CHARACTERS_MAX = 500;

type Event = Readonly<Record<string, string | number>>;

/** Events that are counted, by what those have in common that are told as one. */
class Refusals {
	readonly #kindsMax: number;
	readonly #kinds = new Map<string, { readonly event: Event; count: number }>();
	/** How many kinds are somebody's. */
	readonly #shares = new Map<string, number>();

	constructor(kindsMax: number) {
		this.#kindsMax = kindsMax;
	}

	/** Counts an event of somebody's; false: there is no room for its kind. */
	count(who: string, event: Event, time: string): boolean {
		const key = JSON.stringify(event);
		const known = this.#kinds.get(key);
		if (known !== undefined) {
			known.count++;
			return true;
		}
		const share = this.#shares.get(who) ?? 0;
		if (this.#kinds.size >= this.#kindsMax || share >= LIMITS.auditRefusalsOfOneMax) return false;
		this.#kinds.set(key, { event: { time, ...event }, count: 1 });
		this.#shares.set(who, share + 1);
		return true;
	}

	/** What was counted, which is forgotten. */
	take(): Event[] {
		const events = [...this.#kinds.values()].map(({ event, count }) => ({ ...event, count }));
		this.#kinds.clear();
		this.#shares.clear();
		return events;
	}
}

export class AuditLog {
	readonly #sink: AuditSink;
	readonly #clock: Clock;
	#events: string[] = [];
	/** Of those who are known; anybody makes the others, from many addresses if need be. */
	readonly #refusals = new Refusals(LIMITS.auditRefusalsMax);
	readonly #logins = new Refusals(LIMITS.auditLoginsMax);
	#droppedCount = 0;
	/** Of what is being appended; never rejects. */
	#appending: Promise<void> | undefined;
	#cancelFlush: (() => void) | undefined;
	#cancelRefusals: (() => void) | undefined;

	constructor(sink: AuditSink, clock: Clock) {
		this.#sink = sink;
		this.#clock = clock;
	}

	/** Events that could not be kept. */
	get droppedCount(): number {
		return this.#droppedCount;
	}

	/** Something was changed. */
	changed(actor: Actor, action: AuditedAction): void {
		this.#add({ time: this.#time(), ...eventOf(actor, action), outcome: "done" });
	}

	/** Something was not done, or not allowed; `outcome` is the name of the error. */
	refused(actor: Actor, action: AuditedAction, outcome: string): void {
		this.#count(this.#refusals, actor, { ...eventOf(actor, action), outcome });
	}

	/** What some clients do all the time: counted as refusals are. */
	changedAgain(actor: Actor, action: AuditedAction): void {
		this.#count(this.#refusals, actor, { ...eventOf(actor, action), outcome: "done" });
	}

	loginRefused({ host, mechanism, reason }: RefusedLogin): void {
		const event = { address: host, operation: "login", mechanism, outcome: reason };
		this.#count(this.#logins, { host }, event);
	}

	/** Appends what there is; resolves when that is done or has failed. */
	async close(): Promise<void> {
		this.#tellRefusals();
		while (this.#events.length > 0 || this.#appending !== undefined) await this.#flush();
		this.#cancelFlush?.();
	}

	#time(): string {
		return new Date(this.#clock.wallMs()).toISOString();
	}

	#count(refusals: Refusals, { principal, host }: Partial<Actor>, event: Event): void {
		// A user has one share, however many addresses; those whom nobody knows are told by these.
		const isKnown = principal !== undefined && principal !== ANONYMOUS;
		const who = isKnown ? principal : `at ${host}`;
		const isCounted = refusals.count(who, event, this.#time());
		if (!isCounted) this.#droppedCount++;
		this.#cancelRefusals ??= this.#clock.after(REFUSALS_MS, () => this.#tellRefusals());
	}

	#tellRefusals(): void {
		this.#cancelRefusals?.();
		this.#cancelRefusals = undefined;
		for (const event of [...this.#refusals.take(), ...this.#logins.take()]) this.#add(event);
	}

	#add(event: Event): void {
		if (this.#events.length >= LIMITS.auditEventsMax) {
			this.#droppedCount++;
			return;
		}
		this.#events.push(JSON.stringify(event));
		this.#cancelFlush ??= this.#clock.after(FLUSH_MS, () => void this.#flush());
	}

	/** One append at a time, so that a slow disk has few of them waiting. */
	async #flush(): Promise<void> {
		this.#cancelFlush?.();
		this.#cancelFlush = undefined;
		await this.#appending;
		if (this.#appending !== undefined || this.#events.length === 0) return;
		const events = this.#events;
		this.#events = [];
		this.#appending = this.#sink
			.append(events)
			.catch(() => {
				this.#droppedCount += events.length;
			})
			.then(() => {
				this.#appending = undefined;
			});
		await this.#appending;
	}
}

const AUTHORIZATION_FAILURES: ReadonlySet<number> = new Set([
	CODES.TOPIC_AUTHORIZATION_FAILED.code,
	CODES.GROUP_AUTHORIZATION_FAILED.code,
	CODES.CLUSTER_AUTHORIZATION_FAILED.code,
	CODES.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.code,
]);

/** Whether an error says that somebody was not allowed something. */
export const isAuthorizationFailure = (code: number): boolean => AUTHORIZATION_FAILURES.has(code);

function eventOf({ principal, host }: Actor, action: AuditedAction): Event {
	const { protocol, operation, resource } = action;
	return {
		principal,
		address: host,
		protocol,
		operation,
		...(resource === undefined ? {} : { resource: resource.slice(0, RESOURCE_CHARACTERS_MAX) }),
	};
}
