/** Latencies under a load that does not wait for answers. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

import type { Latency } from "./results.ts";

const NANOSECONDS_PER_MICROSECOND = 1_000;
const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** An answer that takes longer counts as this: a minute. */
const LATENCY_NS_MAX = 60_000 * NANOSECONDS_PER_MILLISECOND;

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
		const at = (percentile: number) =>
			this.#histogram.percentile(percentile) / NANOSECONDS_PER_MICROSECOND;
		return {
			p50_us: at(50),
			p90_us: at(90),
			p99_us: at(99),
			p999_us: at(99.9),
			p9999_us: at(99.99),
			max_us: this.#histogram.max / NANOSECONDS_PER_MICROSECOND,
			distribution: tails(this.#histogram.count).map((percentile) => [percentile, at(percentile)]),
		};
	}
}

/** Percentiles at equal steps of a logarithmic axis, the last with one sample beyond it. */
function tails(count: number): number[] {
	const last = Math.floor(Math.log10(Math.max(count, 1)) * TAILS_PER_DECADE);
	return Array.from(
		{ length: last },
		(_, step) => 100 * (1 - 10 ** (-(step + 1) / TAILS_PER_DECADE)),
	);
}

export interface Pace {
	readonly perSecond: number;
	readonly seconds: number;
}

/**
 * Calls `send` at fixed times, whether answers have come or not, with the time at which the call
 * was due: measured from there, a stall is charged to every message that it held up. Between them
 * the event loop runs on without sleeping, because timers are only exact to a millisecond.
 */
export function sendPaced(
	{ perSecond, seconds }: Pace,
	send: (dueMs: number) => void,
): Promise<void> {
	const count = Math.max(1, Math.round(perSecond * seconds));
	const intervalMs = 1_000 / perSecond;
	const startMs = performance.now() + intervalMs;
	let sent = 0;
	return new Promise((resolve, reject) => {
		const turn = (): void => {
			try {
				for (const nowMs = performance.now(); sent < count; sent += 1) {
					const dueMs = startMs + sent * intervalMs;
					if (dueMs > nowMs) break;
					send(dueMs);
				}
			} catch (error) {
				reject(error);
				return;
			}
			if (sent < count) setImmediate(turn);
			else resolve();
		};
		setImmediate(turn);
	});
}
