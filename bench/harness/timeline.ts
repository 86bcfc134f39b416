/** How far a load had come by when. */

/** Points are so far apart: loads may tell of their progress much more often. */
const INTERVAL_MS = 50;

export class Timeline {
	readonly #startMs: number;
	readonly #points: [seconds: number, records: number][] = [];
	#nextMs: number;

	/** `startMs`: when the load begins. */
	constructor(startMs = performance.now()) {
		this.#startMs = startMs;
		this.#nextMs = startMs + INTERVAL_MS;
	}

	/** `records`: how many were moved since the timeline was begun. */
	note(records: number, nowMs = performance.now()): void {
		if (nowMs < this.#nextMs) return;
		this.#points.push([round((nowMs - this.#startMs) / 1_000), records]);
		this.#nextMs = nowMs + INTERVAL_MS;
	}

	get points(): readonly (readonly [seconds: number, records: number])[] {
		return this.#points;
	}
}

/** To milliseconds: the rest is noise in a file that people look at. */
function round(seconds: number): number {
	return Math.round(seconds * 1_000) / 1_000;
}
