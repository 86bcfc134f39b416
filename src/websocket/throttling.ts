/**
 * How one connection is held to its quotas. WebSocket libraries cannot all pause reading, so it is
 * answers that wait: a client has only so many requests without an answer, and whoever does not
 * heed what it is told is held back by that.
 *
 * - A request over the quota is carried out, and a notice with the wait goes before its answer.
 * - Produce frames that come before the wait is over are carried out, and answered behind it.
 * - Other requests that come before it is over are refused, where it is requests that are limited.
 * - Deliveries over the quota pause the next ones; no answer waits for that.
 */
import { MillraceError } from "../errors.ts";
import { OPERATION } from "../protocol/operations.ts";
import type { ConnectionQuota, Throttle } from "../quotas/connection-quota.ts";
import { noticeFrame } from "./outgoing.ts";
import type { Session } from "./session.ts";

/** What keeps a connection alive and known is free. */
const UNCOUNTED: ReadonlySet<number> = new Set([OPERATION.hello, OPERATION.auth, OPERATION.ping]);

export class Throttling {
	readonly #session: Session;
	readonly #quota: ConnectionQuota;
	readonly #onLifted: () => void;
	/** Answers that wait; as many as there may be requests without an answer. */
	#held: (() => void)[] = [];

	/** `deliver` is called when deliveries may go on. */
	constructor(session: Session, deliver: () => void) {
		this.#session = session;
		this.#onLifted = deliver;
		const { host, id: connectionId, remoteAddress: address } = session;
		const origin = { protocol: "websocket", connectionId, address } as const;
		this.#quota = host.quotas.connection(origin, () => this.#lifted());
	}

	/** Whether deliveries are to wait. */
	get isDeliveryPaused(): boolean {
		return this.#quota.waitMs("fetch") > 0;
	}

	/** Whether requests are to wait. */
	get isRequestPaused(): boolean {
		return this.#requestWaitMs > 0;
	}

	/**
	 * Counts a request; true: its answer is to wait (`whenOver`). Throws THROTTLING_QUOTA_EXCEEDED
	 * for one that is not to be carried out.
	 */
	request(operation: number, bytes: number): boolean {
		if (UNCOUNTED.has(operation)) return false;
		const isProduce = operation === OPERATION.produce;
		const requestWaitMs = this.#quota.waitMs("request");
		if (!isProduce && requestWaitMs > 0) {
			const retryAfterMs = Math.ceil(requestWaitMs);
			throw new MillraceError("THROTTLING_QUOTA_EXCEEDED", "", { retryAfterMs });
		}
		const isLate = isProduce && this.isRequestPaused;
		this.#identify();
		this.#tell(this.#quota.charge("request", 1));
		if (isProduce) this.#tell(this.#quota.charge("produce", bytes));
		return isLate;
	}

	/** Counts what was delivered. */
	delivered(bytes: number): void {
		this.#identify();
		this.#tell(this.#quota.charge("fetch", bytes));
	}

	/** Does it when requests need not wait any more, or when the connection is gone. */
	whenOver(work: () => void): void {
		if (this.isRequestPaused) this.#held.push(work);
		else work();
	}

	/** The connection is gone. */
	close(): void {
		this.#quota.close();
		this.#release();
	}

	get #requestWaitMs(): number {
		return Math.max(this.#quota.waitMs("request"), this.#quota.waitMs("produce"));
	}

	#identify(): void {
		this.#quota.identify(this.#session.peer.principal, this.#session.clientName);
	}

	#tell(throttle: Throttle | undefined): void {
		if (throttle === undefined) return;
		const { ms: throttle_ms, quota } = throttle;
		this.#session.send(noticeFrame(this.#session.host.writer, "throttled", { throttle_ms, quota }));
	}

	#lifted(): void {
		if (!this.isRequestPaused) this.#release();
		if (!this.isDeliveryPaused) this.#onLifted();
	}

	#release(): void {
		const held = this.#held;
		this.#held = [];
		for (const work of held) work();
	}
}
