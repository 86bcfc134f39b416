/**
 * Waiting times between attempts: they double from `firstMs` to `mostMs`, and each is a random part
 * (half to whole) of its step, so that many clients do not come back at the same moment.
 */
export class Backoff {
	readonly #firstMs: number;
	readonly #mostMs: number;
	readonly #random: () => number;
	#attempts = 0;

	constructor(firstMs: number, mostMs: number, random: () => number = Math.random) {
		this.#firstMs = firstMs;
		this.#mostMs = mostMs;
		this.#random = random;
	}

	/** How long to wait before the next attempt, in milliseconds. */
	nextMs(): number {
		const step = Math.min(this.#mostMs, this.#firstMs * 2 ** Math.min(this.#attempts, 30));
		this.#attempts++;
		return step / 2 + (step / 2) * this.#random();
	}

	/** An attempt went well: begin again with the shortest wait. */
	reset(): void {
		this.#attempts = 0;
	}
}
