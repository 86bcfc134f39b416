import type { Clock } from "../../src/clock.ts";

interface Timer {
	readonly atMs: number;
	readonly work: () => void;
}

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
	#nowMs = 0;
	readonly #startMs: number;
	readonly #timers = new Set<Timer>();
	/** How often anybody planned a timer. */
	plannedCount = 0;

	constructor(startMs = 1_700_000_000_000) {
		this.#startMs = startMs;
	}

	wallMs(): number {
		return this.#startMs + this.#nowMs;
	}

	monotonicMs(): number {
		return this.#nowMs;
	}

	after(delayMs: number, work: () => void): () => void {
		const timer = { atMs: this.#nowMs + Math.max(delayMs, 0), work };
		this.#timers.add(timer);
		this.plannedCount++;
		return () => this.#timers.delete(timer);
	}

	get timerCount(): number {
		return this.#timers.size;
	}

	/** Lets time pass and runs what comes due, in order. */
	advance(ms: number): void {
		const endMs = this.#nowMs + ms;
		for (;;) {
			let next: Timer | undefined;
			for (const timer of this.#timers) {
				if (timer.atMs <= endMs && (next === undefined || timer.atMs < next.atMs)) next = timer;
			}
			if (next === undefined) break;
			this.#timers.delete(next);
			this.#nowMs = Math.max(this.#nowMs, next.atMs);
			next.work();
		}
		this.#nowMs = endMs;
	}
}
