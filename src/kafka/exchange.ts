/**
 * One request and its answer, as a handler sees them. Handlers are given the decoded request and
 * this; they return the response, or null where the protocol has none.
 */
import type { ConnectionQuota } from "../quotas/connection-quota.ts";
import type { Peer } from "../security/principal.ts";
import { isAllowed, type ResourceKind } from "./access.ts";
import type { FetchProgress } from "./fetch-progress.ts";
import type { KafkaHost } from "./host.ts";
import type { SaslSession } from "./sasl-session.ts";

/** What a handler may know of the connection that a request came over. */
export interface RequestOrigin {
	/** Names the connection among those of its event loop, whatever their protocol. */
	readonly connectionId: number;
	/** The address that the client dialled: what it is told to connect to again. */
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	/** How far the client has come in saying who it is; null where nobody is asked. */
	readonly sasl: SaslSession | null;
	readonly progress: FetchProgress;
}

const NO_BYTES = Buffer.alloc(0);

export class Exchange {
	readonly host: KafkaHost;
	readonly origin: RequestOrigin;
	/** Who asks. */
	readonly peer: Peer;
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
	/** When it came, or when all before it were answered, on the clock's monotonic time. */
	startedMs = 0;
	/** What counts for the client; null where there are no quotas. */
	quota: ConnectionQuota | null = null;
	readonly #lent: Uint8Array[] = [];
	#abandoned: (() => void) | null = null;
	#isOver = false;
	#isHurried = false;

	constructor(
		host: KafkaHost,
		origin: RequestOrigin,
		peer: Peer,
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
		this.peer = peer;
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

	/** How long the client is to wait before its next request: what answers tell it, in ms. */
	get throttleTimeMs(): number {
		return this.quota === null ? 0 : Math.ceil(this.quota.longestWaitMs);
	}

	/** Whether the client may do with a resource what this API does (`access.ts`). */
	allows(kind: ResourceKind, name: string): boolean {
		return isAllowed(this.peer.access, this.apiKey, kind, name);
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
