/**
 * One request and its answer, as a handler sees them. Handlers are given the decoded request and
 * this; they return the response, or null where the protocol has none.
 */
import type { KafkaHost } from "./host.ts";

/** What a handler may know of the connection that a request came over. */
export interface RequestOrigin {
	/** Names the connection among those of its event loop, whatever their protocol. */
	readonly connectionId: number;
	/** The address that the client dialled: what it is told to connect to again. */
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
}

const NO_BYTES = Buffer.alloc(0);

export class Exchange {
	readonly host: KafkaHost;
	readonly origin: RequestOrigin;
	readonly apiKey: number;
	readonly apiVersion: number;
	readonly correlationId: number;
	/** What the client calls itself; empty where it does not say. */
	readonly clientId: string;
	/**
	 * The whole request without its length. Of a produce request only until its handler returns or
	 * first awaits: its memory is used again then.
	 */
	frame: Buffer;
	readonly #lent: Uint8Array[] = [];
	#abandoned: (() => void) | null = null;
	#isOver = false;
	#isHurried = false;

	constructor(
		host: KafkaHost,
		origin: RequestOrigin,
		header: {
			readonly apiKey: number;
			readonly apiVersion: number;
			readonly correlationId: number;
			readonly clientId: string;
		},
		frame: Buffer,
	) {
		this.host = host;
		this.origin = origin;
		this.apiKey = header.apiKey;
		this.apiVersion = header.apiVersion;
		this.correlationId = header.correlationId;
		this.clientId = header.clientId;
		this.frame = frame;
	}

	/** Whether nobody waits for the answer any more. */
	get isOver(): boolean {
		return this.#isOver;
	}

	/** Whether the answer is to wait for nothing that may come later. */
	get isHurried(): boolean {
		return this.#isHurried;
	}

	/** Lets go of the request's bytes while its answer is awaited. */
	forgetFrame(): void {
		this.frame = NO_BYTES;
	}

	/**
	 * Has a view of mapped memory given back once the answer that shows it is written, or nobody
	 * waits.
	 */
	lend(view: Uint8Array): void {
		if (this.#isOver) this.host.storage.release(view);
		else this.#lent.push(view);
	}

	/**
	 * Calls `abandoned` once when the client goes away before the answer, or sends nothing more, so
	 * that the handler can stop waiting; one function at a time, null for none.
	 */
	onAbandoned(abandoned: (() => void) | null): void {
		this.#abandoned = abandoned;
	}

	/** Has the handler answer with what there is. Called by the connection. */
	hurry(): void {
		this.#isHurried = true;
		this.#stopWaiting();
	}

	/** Ends the exchange: what was lent is given back. Called by the connection. */
	end(): void {
		if (this.#isOver) return;
		this.#isOver = true;
		for (const view of this.#lent) this.host.storage.release(view);
		this.#lent.length = 0;
		this.#stopWaiting();
	}

	#stopWaiting(): void {
		const abandoned = this.#abandoned;
		this.#abandoned = null;
		abandoned?.();
	}
}
