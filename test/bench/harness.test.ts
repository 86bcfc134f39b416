import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

import { LatencyRecorder, sendPaced } from "../../bench/harness/latency.ts";
import { warmPageCache } from "../../bench/harness/page-cache.ts";
import { Payload, RecordHash } from "../../bench/harness/payload.ts";
import { processUsage } from "../../bench/harness/process-usage.ts";
import { streamRate } from "../../bench/harness/roofline.ts";
import { summarize } from "../../bench/harness/run.ts";
import { checkHash, type RoundResult } from "../../bench/harness/scenario.ts";
import { Timeline } from "../../bench/harness/timeline.ts";

const directory = mkdtempSync(join(tmpdir(), "millrace-harness-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

describe("latencies", () => {
	test("are summed up with three digits", () => {
		const recorder = new LatencyRecorder();
		for (let microseconds = 1; microseconds <= 10_000; microseconds++) {
			recorder.record(microseconds / 1_000);
		}
		const { p50_us, p99_us, p999_us, max_us, distribution } = recorder.summary();
		expect(recorder.count).toBe(10_000);
		for (const [found, expected] of [
			[p50_us, 5_000],
			[p99_us, 9_900],
			[p999_us, 9_990],
			[max_us, 10_000],
		] as const) {
			expect(Math.abs(found / expected - 1)).toBeLessThan(0.002);
		}
		for (const [percentile, us] of distribution) {
			expect(Math.abs(us / (percentile * 100) - 1)).toBeLessThan(0.002);
		}
		expect(distribution.at(-1)?.[0]).toBeCloseTo(99.99);
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
	const round = (value: number, better: "more" | "less") =>
		({ figure: { value, better }, roofline: { percent: value * 2 } }) as RoundResult;

	test.for(["more", "less"] as const)("where %s is better", (better) => {
		const summary = summarize(
			"name",
			[5, 1, 3].map((value) => round(value, better)),
		);
		expect(summary.figure.value).toBe(3);
		expect(summary.rounds.map(({ value, percent }) => [value, percent])).toEqual([
			[5, 10],
			[1, 2],
			[3, 6],
		]);
	});

	test("of an even number the worse one in the middle", () => {
		expect(summarize("name", [round(2, "more"), round(1, "more")]).figure.value).toBe(1);
		expect(summarize("name", [round(2, "less"), round(1, "less")]).figure.value).toBe(2);
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
