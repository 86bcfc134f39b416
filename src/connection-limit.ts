import type { Clock } from "./clock.ts";
import { LIMITS } from "./limits.ts";
import { ToldRarely } from "./told-rarely.ts";

/** Where it is said that connections are refused; pino is one. */
export interface ConnectionLimitLog {
	warn(details: object, message: string): void;
}

/**
 * Counts the connections of all listeners of an event loop together, and says when there is no room
 * for another. Each costs memory that a client decides about within its own bounds; this bounds how
 * many clients do.
 */
export class ConnectionLimit {
	/** Connections that may be open at a time; lowering it closes none. */
	max: number;
	readonly #log: ConnectionLimitLog;
	readonly #refusals: ToldRarely;
	#count = 0;
	#refusedTotal = 0;

	constructor(max: number, clock: Clock, log: ConnectionLimitLog) {
		this.max = max;
		this.#log = log;
		this.#refusals = new ToldRarely(clock);
	}

	/** Connections that are open. */
	get count(): number {
		return this.#count;
	}

	/** Connections that were refused since the start. */
	get refusedTotal(): number {
		return this.#refusedTotal;
	}

	/** Whether another connection may be taken. Refusals are logged. */
	hasRoom(): boolean {
		return this.#allows(this.#count, this.max);
	}

	/**
	 * Whether another one of HTTP may be taken: some more than others, so that a broker that has no
	 * room is still seen to live and can be asked what is the matter.
	 */
	hasRoomForHttp(): boolean {
		return this.#allows(this.#count, this.max + LIMITS.httpConnectionsSpareMax);
	}

	/** Whether one of HTTP, which is counted already, may become a WebSocket. */
	hasRoomForUpgrade(): boolean {
		return this.#allows(this.#count - 1, this.max);
	}

	/** `open`: connections beside the one in question. */
	#allows(open: number, max: number): boolean {
		if (open < max) return true;
		this.#refusedTotal++;
		const refused = this.#refusals.happened();
		if (refused !== undefined) {
			this.#log.warn({ open, refused }, "max.connections: connections are refused");
		}
		return false;
	}

	/** A connection was taken. */
	opened(): void {
		this.#count++;
	}

	/** One that was taken has ended. */
	closed(): void {
		this.#count--;
	}
}
