/** Latencies under a load that does not wait for answers. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

import type { Latency } from "./results.ts";

const NANOSECONDS_PER_MICROSECOND = 1_000;
const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** An answer that takes longer counts as this: a minute. */
const LATENCY_NS_MAX = 60_000 * NANOSECONDS_PER_MILLISECOND;

/** With fewer samples beyond it a percentile is what a few of them happened to be. */
const SAMPLES_BEYOND_MIN = 10;

/** Points of a distribution for each factor of ten that is left beyond them. */
const TAILS_PER_DECADE = 8;

/** An HDR histogram, three digits exact: Node carries the C implementation of it. */
export class LatencyRecorder {
	readonly #histogram: RecordableHistogram = createHistogram({
		lowest: 1,
		highest: LATENCY_NS_MAX,
		figures: 3,
	});

	record(milliseconds: number): void {
		const nanoseconds = Math.round(milliseconds * NANOSECONDS_PER_MILLISECOND);
		this.#histogram.record(Math.min(Math.max(nanoseconds, 1), LATENCY_NS_MAX));
	}

	get count(): number {
		return this.#histogram.count;
	}

	summary(): Latency {
		const { count } = this.#histogram;
		const at = (percentile: number) =>
			this.#histogram.percentile(percentile) / NANOSECONDS_PER_MICROSECOND;
		/** `oneIn`: of so many samples one lies beyond it. */
		const carried = (percentile: number, oneIn: number) =>
			count >= SAMPLES_BEYOND_MIN * oneIn ? at(percentile) : null;
		return {
			p50_us: carried(50, 2),
			p90_us: carried(90, 10),
			p99_us: carried(99, 100),
			p999_us: carried(99.9, 1_000),
			p9999_us: carried(99.99, 10_000),
			max_us: this.#histogram.max / NANOSECONDS_PER_MICROSECOND,
			distribution: tails(count).map((percentile) => [percentile, at(percentile)]),
		};
	}
}

/** Percentiles at equal steps of a logarithmic axis, as far as the samples carry them. */
function tails(count: number): number[] {
	const decades = Math.log10(Math.max(count / SAMPLES_BEYOND_MIN, 1));
	return Array.from(
		{ length: Math.floor(decades * TAILS_PER_DECADE) },
		(_, step) => 100 * (1 - 10 ** (-(step + 1) / TAILS_PER_DECADE)),
	);
}

export interface Pace {
	readonly perSecond: number;
	readonly seconds: number;
}

/**
 * What comes before a paced load: compilers settle by how often code has run, of which a paced load
 * does little: with a quarter of this, a tenth of all answers took twice as long.
 */
export function warmUpPace({ warmUpSeconds }: { readonly warmUpSeconds: number }): Pace {
	return { perSecond: 1_000, seconds: 4 * warmUpSeconds };
}

/** A timer of an idle loop is late by no more than this: 1,079 us in 99 of 100 cases. */
const TIMER_MS = 1.1;

/**
 * Calls `send` at fixed times, whether answers have come or not, with the time from which to count:
 * when it was due, so that a stall is charged to every message that it held up. What timers, which
 * are exact to a millisecond, are late by does not count. To run on without sleeping instead would
 * be exact, and on two processors would be what is measured: the loop's garbage is collected every
 * 5 ms, and whoever is to answer waits for a processor. Where `send` gives a promise, there is no
 * room for more until it resolves: what is due by then counts from when it was due.
 */
export function sendPaced(
	{ perSecond, seconds }: Pace,
	send: (fromMs: number) => Promise<void> | void,
): Promise<void> {
	const count = Math.max(1, Math.round(perSecond * seconds));
	const intervalMs = 1_000 / perSecond;
	const startMs = performance.now() + intervalMs;
	let sent = 0;
	return new Promise((resolve, reject) => {
		const turn = (lateMs: number): void => {
			let dueMs = 0;
			try {
				while (sent < count) {
					dueMs = startMs + sent * intervalMs;
					const nowMs = performance.now();
					if (dueMs > nowMs) break;
					const room = send(Math.min(nowMs, dueMs + lateMs));
					sent += 1;
					if (room === undefined) continue;
					room.then(() => turn(0), reject);
					return;
				}
			} catch (error) {
				reject(error);
				return;
			}
			if (sent < count) setTimeout(turn, Math.floor(dueMs - performance.now()), TIMER_MS);
			else resolve();
		};
		turn(TIMER_MS);
	});
}
