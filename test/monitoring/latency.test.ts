import { expect, test } from "vitest";

import { LATENCY_BOUNDS, Latencies } from "../../src/monitoring/latency.ts";
import { Snapshot } from "../../src/monitoring/snapshot.ts";

test("a latency is within the bounds of its bucket, and bounds belong to their own", () => {
	for (const [index, bound] of LATENCY_BOUNDS.entries()) {
		for (const seconds of [bound, bound * 0.75, bound * 0.51]) {
			const latencies = new Latencies();
			latencies.add(seconds * 1e3);
			expect(latencies.counts.indexOf(1)).toBe(index);
		}
	}
	const latencies = new Latencies();
	latencies.add(1e9);
	latencies.add(0);
	expect(latencies.counts.at(-1)).toBe(1);
	expect(latencies.counts[0]).toBe(1);
	expect(latencies.seconds).toBe(1e6);
});

test("buckets of a histogram add up", () => {
	const snapshot = new Snapshot();
	const latencies = new Latencies();
	for (const ms of [0.01, 0.1, 0.1, 5, 1e6]) latencies.add(ms);
	const { counts, seconds } = latencies;
	snapshot.setLatencies("millrace_sync_duration_seconds", counts, seconds);
	const samples = snapshot.samples("millrace_sync_duration_seconds");
	const values = samples.slice(0, LATENCY_BOUNDS.length + 1).map(({ value }) => value);
	expect(values.slice(0, 3)).toEqual([1, 3, 3]);
	expect(values.at(-2)).toBe(4);
	expect(values.at(-1)).toBe(5);
	expect(values).toEqual([...values].sort((left, right) => left - right));
	expect(samples.at(-2)?.value).toBe(seconds);
	expect(samples.at(-1)).toMatchObject({ labels: {}, value: 5 });
});
