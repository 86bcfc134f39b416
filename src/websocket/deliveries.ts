import { LIMITS } from "../limits.ts";

/** A session as the one who gives it its turns sees it. */
export interface DeliveringSession {
	/**
	 * One delivery for each subscription in turn, up to about `bytesMax` each, until they come to
	 * half of it; returns what they cost, in bytes. Enqueues itself again when there is more and
	 * its socket takes it.
	 */
	deliver(bytesMax: number): number;
	/** Looks whether a backed-up socket has drained, in case nobody told. */
	checkDrained(): void;
}

/** What a delivery costs beside its bytes, expressed in bytes: bounds a turn of very small ones. */
export const DELIVERY_OVERHEAD_BYTES = 4_096;

/**
 * Sessions with something to deliver take turns, on the loop's immediate phase. A turn of the loop
 * sends so much at most, so that requests are read in between, however many subscribers there are.
 */
export class Deliveries {
	/** In the order in which they are due; a Set keeps that order and knows its members. */
	readonly #due = new Set<DeliveringSession>();
	readonly #backedUp = new Set<DeliveringSession>();
	#isScheduled = false;

	enqueue(session: DeliveringSession): void {
		this.#due.add(session);
		if (this.#isScheduled) return;
		this.#isScheduled = true;
		setImmediate(() => this.#turn());
	}

	/** Its socket takes no more for now; `drained` or `remove` follows. */
	backUp(session: DeliveringSession): void {
		this.#backedUp.add(session);
	}

	/** Sessions whose sockets take no more for now. */
	get backedUpCount(): number {
		return this.#backedUp.size;
	}

	drained(session: DeliveringSession): void {
		this.#backedUp.delete(session);
	}

	remove(session: DeliveringSession): void {
		this.#due.delete(session);
		this.#backedUp.delete(session);
	}

	/** To be called from time to time: a session that waits for its socket must not wait for ever. */
	sweep(): void {
		for (const session of [...this.#backedUp]) session.checkDrained();
	}

	#turn(): void {
		this.#isScheduled = false;
		const isCrowded = this.#backedUp.size > LIMITS.backedUpSessionsMax;
		const bytesMax = isCrowded ? LIMITS.deliveryBytesSmall : LIMITS.deliveryBytesMax;
		// Those that enqueue themselves again wait for the next turn.
		const due = [...this.#due];
		let bytes = 0;
		for (const session of due) {
			if (bytes >= LIMITS.deliveryTurnBytesMax) break;
			// An earlier one of this turn may have ended it.
			if (!this.#due.delete(session)) continue;
			bytes += session.deliver(bytesMax);
		}
		if (this.#due.size > 0 && !this.#isScheduled) {
			this.#isScheduled = true;
			setImmediate(() => this.#turn());
		}
	}
}
