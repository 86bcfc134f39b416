import type { Clock } from "./clock.ts";

/** How often one thing is told of at most, in milliseconds. */
const TOLD_EVERY_MS = 10_000;

/**
 * For what strangers can make happen as fast as they like: the log tells of it once in ten seconds,
 * and how often it has happened since.
 */
export class ToldRarely {
	readonly #clock: Clock;
	#toldMs = Number.NEGATIVE_INFINITY;
	#untoldCount = 0;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** It has happened: how often since it was told last, if it is to be told now; else undefined. */
	happened(): number | undefined {
		this.#untoldCount++;
		const nowMs = this.#clock.monotonicMs();
		if (nowMs - this.#toldMs < TOLD_EVERY_MS) return undefined;
		const count = this.#untoldCount;
		this.#toldMs = nowMs;
		this.#untoldCount = 0;
		return count;
	}
}
