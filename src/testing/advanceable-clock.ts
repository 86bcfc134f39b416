import { type Clock, systemClock } from "../clock.ts";

interface Timer {
	readonly dueMs: number;
	readonly work: () => void;
	cancel: () => void;
}

/** The machine's clocks, which a test can let run ahead. */
export class AdvanceableClock implements Clock {
	#aheadMs = 0;
	readonly #timers = new Set<Timer>();

	wallMs(): number {
		return systemClock.wallMs() + this.#aheadMs;
	}

	monotonicMs(): number {
		return systemClock.monotonicMs() + this.#aheadMs;
	}

	after(delayMs: number, work: () => void): () => void {
		const timer: Timer = { dueMs: this.monotonicMs() + delayMs, work, cancel: () => undefined };
		this.#timers.add(timer);
		this.#plan(timer);
		return () => {
			this.#timers.delete(timer);
			timer.cancel();
		};
	}

	/**
	 * Lets time pass at once, as for a machine that slept: what comes due is done on a later turn, in
	 * the order in which it is due, and finds the time that it is then.
	 */
	advance(milliseconds: number): void {
		this.#aheadMs += milliseconds;
		for (const timer of [...this.#timers].sort((one, other) => one.dueMs - other.dueMs)) {
			timer.cancel();
			this.#plan(timer);
		}
	}

	#plan(timer: Timer): void {
		const waitMs = Math.max(timer.dueMs - this.monotonicMs(), 0);
		timer.cancel = systemClock.after(waitMs, () => {
			this.#timers.delete(timer);
			timer.work();
		});
	}
}
