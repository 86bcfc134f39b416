import { LATENCY_BUCKET_FIRST_US, LATENCY_BUCKETS } from "../storage/layout.ts";

/** Upper bounds of buckets in seconds, each twice the one before; above the last is one more. */
export const LATENCY_BOUNDS: readonly number[] = Array.from(
	{ length: LATENCY_BUCKETS },
	(_, index) => (LATENCY_BUCKET_FIRST_US * 2 ** index) / 1e6,
);

/** How many of something took how long. Counting is an addition: no search, no allocation. */
export class Latencies {
	/** Those within each bound and not within the one before; the last: within none. */
	readonly counts = new Float64Array(LATENCY_BUCKETS + 1);
	seconds = 0;

	add(ms: number): void {
		this.seconds += ms / 1e3;
		const firsts = Math.ceil((ms * 1e3) / LATENCY_BUCKET_FIRST_US);
		const doublings = firsts <= 1 ? 0 : 32 - Math.clz32(firsts - 1);
		(this.counts[Math.min(doublings, LATENCY_BUCKETS)] as number)++;
	}
}
