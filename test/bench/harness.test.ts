import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

import { LatencyRecorder, sendPaced } from "../../bench/harness/latency.ts";
import { residentBytes, warmPageCache } from "../../bench/harness/page-cache.ts";
import { Payload, RecordHash } from "../../bench/harness/payload.ts";
import { loopWaitSeconds, processUsage } from "../../bench/harness/process-usage.ts";
import type { Latency } from "../../bench/harness/results.ts";
import { streamRate } from "../../bench/harness/roofline.ts";
import { checkHash, type RoundResult } from "../../bench/harness/scenario.ts";
import { summarize } from "../../bench/harness/summary.ts";
import { Timeline } from "../../bench/harness/timeline.ts";

const directory = mkdtempSync(join(tmpdir(), "millrace-harness-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

describe("latencies", () => {
	test("are summed up with three digits", () => {
		const recorder = new LatencyRecorder();
		for (let microseconds = 1; microseconds <= 10_000; microseconds++) {
			recorder.record(microseconds / 1_000);
		}
		const { p50_us, p99_us, p999_us, p9999_us, max_us, distribution } = recorder.summary();
		expect(recorder.count).toBe(10_000);
		for (const [found, expected] of [
			[p50_us, 5_000],
			[p99_us, 9_900],
			[p999_us, 9_990],
			[max_us, 10_000],
		] as const) {
			expect(Math.abs((found as number) / expected - 1)).toBeLessThan(0.002);
		}
		expect(p9999_us).toBeNull();
		for (const [percentile, us] of distribution) {
			expect(Math.abs(us / (percentile * 100) - 1)).toBeLessThan(0.002);
		}
		expect(distribution.at(-1)?.[0]).toBeCloseTo(99.9);
	});

	test.for([
		[0, [false, false, false]],
		[19, [false, false, false]],
		[20, [true, false, false]],
		[999, [true, true, false]],
		[1_000, [true, true, true]],
	] as const)("of %d samples have the percentiles that ten lie beyond", ([count, carried]) => {
		const recorder = new LatencyRecorder();
		for (let sample = 0; sample < count; sample++) recorder.record(1);
		const { p50_us, p90_us, p99_us, p999_us, distribution } = recorder.summary();
		expect([p50_us, p90_us, p99_us].map((us) => us !== null)).toEqual(carried);
		expect(p999_us).toBeNull();
		for (const [percentile] of distribution) {
			expect(count * (1 - percentile / 100)).toBeGreaterThan(9.999);
		}
	});

	test("of messages that a stall held up count from when they were due", async () => {
		const lateMs: number[] = [];
		await sendPaced({ perSecond: 1_000, seconds: 0.1 }, (dueMs) => {
			lateMs.push(performance.now() - dueMs);
			const isFirst = lateMs.length === 1;
			for (const endMs = performance.now() + 50; isFirst && performance.now() < endMs; );
		});
		expect(lateMs).toHaveLength(100);
		expect(lateMs.filter((ms) => ms > 20).length).toBeGreaterThanOrEqual(25);
	});
});

test("a load that finds no room is late, and sends all the same", async () => {
	const dueMs: number[] = [];
	let isFull = false;
	await sendPaced({ perSecond: 1_000, seconds: 0.1 }, (due) => {
		expect(isFull).toBe(false);
		dueMs.push(due);
		if (dueMs.length !== 10) return undefined;
		isFull = true;
		return new Promise((resolve) => {
			setTimeout(() => {
				isFull = false;
				resolve();
			}, 50);
		});
	});
	expect(dueMs).toHaveLength(100);
	expect(Math.abs((dueMs[99] as number) - (dueMs[0] as number) - 99)).toBeLessThan(5);
});

describe("the proof of what came back", () => {
	const payload = new Payload(100);
	const count = 10_000;
	const hashed = (numbers: readonly number[], offset = (index: number) => index) => {
		const hash = new RecordHash();
		for (const [index, number] of numbers.entries()) hash.add(offset(index), payload.value(number));
		return hash;
	};
	const hashOf = (...of: Parameters<typeof hashed>) => hashed(...of).digest();
	const numbers = Array.from({ length: count }, (_, number) => number);

	test("holds for the same records and for nothing else", () => {
		const expected = payload.hash(count);
		expect(hashOf(numbers)).toBe(expected);
		expect(hashOf(numbers.slice(1))).not.toBe(expected);
		expect(hashOf([1, 0, ...numbers.slice(2)])).not.toBe(expected);
		expect(hashOf(numbers, (index) => (index < 500 ? index : index + 1))).not.toBe(expected);
	});

	test("is demanded of every run", () => {
		const hash = new RecordHash();
		for (const number of numbers.slice(1)) hash.add(number, payload.value(number));
		expect(() => checkHash(hash, payload, count)).toThrow("10000 records were sent and 9999 came");
		expect(checkHash(hashed(numbers), payload, count).records).toBe(count);
	});

	test("is about values of the size asked for, neighbours different", () => {
		expect(payload.value(7)).toHaveLength(100);
		expect(payload.value(7)).not.toEqual(payload.value(8));
	});
});

describe("the median of the rounds is reported, and the figures of all", () => {
	const round = (value: number, better: "more" | "less", changes: Partial<RoundResult> = {}) =>
		({
			figure: { value, better, unit: "records/s" },
			...{ latency: null, beside: null, broker: null, seconds: value },
			roofline: { percent: value * 2, value: 1 },
			...changes,
		}) as RoundResult;

	test.for(["more", "less"] as const)("where %s is better", (better) => {
		const summary = summarize(
			"name",
			[5, 1, 3].map((value) => round(value, better)),
		);
		expect(summary.figure.value).toBe(3);
		expect(summary.rounds.map(({ value, percent, seconds }) => [value, percent, seconds])).toEqual([
			[5, 10, 5],
			[1, 2, 1],
			[3, 6, 3],
		]);
	});

	test("of an even number the worse one in the middle", () => {
		const more = summarize("name", [round(2, "more"), round(1, "more")]);
		expect(more.figure.value).toBe(1);
		expect(more.roofline?.percent).toBe(2);
		expect(summarize("name", [round(2, "less"), round(1, "less")]).figure.value).toBe(2);
	});

	test("of each latency, each part and the broker's CPU by itself", () => {
		const latencyOf = (p50_us: number | null, p99_us: number | null) =>
			({ p50_us, p99_us, max_us: 99 }) as Latency;
		const of = (p50: number, p99: number | null, cpu: number) =>
			round(p50, "less", {
				latency: latencyOf(p50, p99),
				beside: { name: "echo", latency: latencyOf(10 * p50, 10) },
				broker: { cpu_seconds: 1, cpu_seconds_per_gib: cpu } as RoundResult["broker"],
				cpu_beside_bare_loop: cpu / 2,
			});
		const summary = summarize("name", [of(1, 300, 7), of(2, 900, 8), of(3, 200, 1)]);
		expect(summary.latency).toMatchObject({ p50_us: 2, p99_us: 300 });
		expect(summary.beside?.latency).toMatchObject({ p50_us: 20, p99_us: 10 });
		expect(summary.broker?.cpu_seconds_per_gib).toBe(7);
		expect(summary.cpu_beside_bare_loop).toBe(3.5);
		expect(summary.rounds[1]).toMatchObject({
			...{ p50_us: 2, p99_us: 900, beside_p50_us: 20, beside_p99_us: 10 },
			...{ cpu_seconds_per_gib: 8, cpu_beside_bare_loop: 4 },
		});
		const unknown = summarize("name", [of(1, 300, 7), of(2, null, 8), of(3, 200, 1)]);
		expect(unknown.latency?.p99_us).toBeNull();
	});

	test("and one that is not known is the worst", () => {
		const unknown = { ...round(0, "less"), figure: { value: null, better: "less" } } as RoundResult;
		const rounds = [unknown, round(1, "less"), round(2, "less")];
		expect(summarize("name", rounds).figure.value).toBe(2);
		expect(summarize("name", [unknown]).figure.value).toBeNull();
	});
});

test("the rate of a stream of writes counts the slow ones", () => {
	expect(streamRate(1_000, [100, 100, 800])).toBe(3e6);
});

test("a timeline keeps points apart", async () => {
	const startMs = performance.now();
	const timeline = new Timeline(startMs);
	for (let ms = 0; ms <= 200; ms++) timeline.note(ms, startMs + ms);
	const { points } = timeline;
	expect(points.length).toBeGreaterThanOrEqual(3);
	expect(points.length).toBeLessThanOrEqual(4);
	for (const [seconds, records] of points) expect(seconds * 1_000).toBeCloseTo(records, -1);
});

test("the page cache is warmed within its bound, and the file removed", async () => {
	expect(await warmPageCache(directory, 3_500_000)).toBe(3 * 1_048_576);
	expect(readdirSync(directory)).toEqual([]);
});

test("what files take of the page cache is counted through all directories", async (context) => {
	const files = join(directory, "files");
	mkdirSync(join(files, "deep", "deeper"), { recursive: true });
	const none = await residentBytes(files);
	if (none === null) return context.skip("only the roofline tells, and only on Linux");
	expect(none).toBe(0);
	writeFileSync(join(files, "one"), new Uint8Array(1 << 17));
	writeFileSync(join(files, "deep", "deeper", "other"), new Uint8Array(1 << 18));
	expect(await residentBytes(files)).toBe((1 << 17) + (1 << 18));
	await expect(residentBytes(join(directory, "nowhere"))).rejects.toThrow("ENOENT");
});

test("CPU time and memory of a process are read from the system", (context) => {
	const before = processUsage(process.pid);
	if (before === null) return context.skip("only Linux tells what another process uses");
	// Of CPU time, not of the clock's: others may have the processor.
	for (const start = process.cpuUsage(); process.cpuUsage(start).user < 100_000; );
	const after = processUsage(process.pid);
	expect((after?.cpuSeconds ?? 0) - before.cpuSeconds).toBeGreaterThan(0.05);
	expect(after?.anonymousBytes).toBeGreaterThan(10_000_000);
	expect(processUsage(2 ** 30)).toBeNull();
});

test("what an event loop waited for a processor is read from the system", (context) => {
	const before = loopWaitSeconds(process.pid);
	if (before === null) return context.skip("only Linux tells what another process waited");
	for (const start = process.cpuUsage(); process.cpuUsage(start).user < 50_000; );
	const after = loopWaitSeconds(process.pid) ?? -1;
	expect(after).toBeGreaterThanOrEqual(before);
	// No more than there was time for.
	expect(after).toBeLessThanOrEqual(process.uptime());
	expect(loopWaitSeconds(2 ** 30)).toBeNull();
});
