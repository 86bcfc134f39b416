/** Over how much of the past a rate is taken: Kafka's quota.window.num and its size. */
export interface RateWindow {
	/** Samples that are kept, the unfinished one included. */
	readonly samples: number;
	readonly sampleMs: number;
}

interface Sample {
	readonly startMs: number;
	lastMs: number;
	amount: number;
}

/**
 * How much of something there was a second, as Kafka's quotas count it: in samples of a second or
 * so, and as if there were always at least all samples but one. So a client that was silent may
 * send as much at once as it may in the whole window; what is beyond has to be waited for.
 */
export class WindowedRate {
	readonly #window: RateWindow;
	/** The oldest first; never more than the window has. */
	readonly #samples: Sample[] = [];

	constructor(window: RateWindow) {
		this.#window = window;
	}

	/** Counts. */
	record(amount: number, nowMs: number): void {
		const last = this.#samples.at(-1);
		if (last === undefined || nowMs - last.startMs >= this.#window.sampleMs) {
			this.#forgetOld(nowMs);
			this.#samples.push({ startMs: nowMs, lastMs: nowMs, amount });
			return;
		}
		last.lastMs = nowMs;
		last.amount += amount;
	}

	/** Milliseconds of silence after which the rate is back at `bound` a second; 0: it is within. */
	excessMs(bound: number, nowMs: number): number {
		this.#forgetOld(nowMs);
		let amount = 0;
		for (const sample of this.#samples) amount += sample.amount;
		return Math.max(0, (amount / bound) * 1_000 - this.#windowMs(nowMs));
	}

	/** Whether nothing is left to be counted: then it is as good as a new one. */
	isIdle(nowMs: number): boolean {
		this.#forgetOld(nowMs);
		return this.#samples.length === 0;
	}

	#windowMs(nowMs: number): number {
		const { samples, sampleMs } = this.#window;
		const elapsedMs = nowMs - (this.#samples[0]?.startMs ?? nowMs);
		const missing = samples - 1 - Math.floor(elapsedMs / sampleMs);
		return Math.max(missing > 0 ? elapsedMs + missing * sampleMs : elapsedMs, 1);
	}

	#forgetOld(nowMs: number): void {
		const { samples, sampleMs } = this.#window;
		const oldestMs = nowMs - samples * sampleMs;
		while (this.#samples[0] !== undefined && this.#samples[0].lastMs <= oldestMs) {
			this.#samples.shift();
		}
	}
}
