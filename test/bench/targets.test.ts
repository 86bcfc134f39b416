import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { readPeersResults, readResults } from "../../bench/document.ts";
import { DEVICE_BYTES } from "../../bench/harness/device.ts";
import type { BenchResults } from "../../bench/harness/results.ts";
import { LIMIT } from "../../bench/harness/roofline.ts";
import { SCENARIOS } from "../../bench/harness/scenarios/index.ts";
import { KAFKA_GROUP } from "../../bench/peers/kafka-group.ts";
import { NATS_GROUP } from "../../bench/peers/nats-group.ts";
import type { PeersResults } from "../../bench/peers/results.ts";
import { REASONS, type Reason } from "../../bench/reasons.ts";
import { missedTargets, reasonsFor, targetNames, targetsTable } from "../../bench/targets.ts";

const NO_RESULTS = { bench: [], peers: undefined };

const GIBIBYTE = 1_073_741_824;

/** What every result has that is looked at. */
const RESULT = { record_bytes: 1_024, verified: { records: 1 }, curve: null, rounds: [] };

const bench = {
	...{ profile: "standard", started_at: "2026-01-02", machine: { cpus: 2 } },
	roofline: { loopback_receive_cpu_seconds_per_gib: 0.5, sync_paced_us: 100 },
	results: [
		{
			scenario: "websocket-produce-written-1kib",
			records_per_second: 699_999,
			...{ figure: { unit: "records/s", value: 699_999 }, extras: [] },
		},
		{ scenario: "websocket-produce-masked-1kib", records_per_second: 250_000 },
		{
			scenario: "kafka-produce-written-1kib",
			roofline: { limit: LIMIT.receive },
			broker: { cpu_seconds_per_gib: 0.75 },
		},
		{
			scenario: "websocket-ack-latency-flushed",
			...{ latency: { p50_us: 251 }, beside: null },
		},
		{
			scenario: "core-append-1mib",
			roofline: { limit: "pwrite", percent: 60.2 },
		},
	].map((result) => ({ ...RESULT, ...result })),
} as unknown as BenchResults;

/** A run with one result, and what else is to be different about it. */
function runOf(result: object, changes: object = {}): BenchResults {
	return { ...bench, ...changes, results: [{ ...RESULT, ...result }] } as unknown as BenchResults;
}

const round = (cpu: number, rate: number) => ({
	records_per_second: rate,
	broker: { cpu_seconds_per_gib: cpu },
});

const peers = {
	groups: [
		{
			peer: "kafka",
			scenarios: [
				{
					scenario: "kafka-consume-1kib",
					contenders: [
						{ contender: "millrace", rounds: [round(0.3, 9), round(0.3, 9)] },
						{ contender: "kafka", rounds: [round(0.6, 10), round(0.6, 10)] },
					],
				},
			],
		},
	],
} as unknown as PeersResults;

/** The cells behind the name, of the only row whose name has this in it. */
function rowOf(measured: { bench?: readonly BenchResults[]; peers?: PeersResults }, name: RegExp) {
	const table = targetsTable({ ...NO_RESULTS, ...measured });
	const rows = table?.rows.filter(([what]) => name.test(what as string)) ?? [];
	expect(rows).toHaveLength(1);
	return rows[0]?.slice(1);
}

test("targets are met, missed or not measured", () => {
	expect(rowOf({ bench: [bench] }, /^rate \(.websocket-produce-written-1kib/)).toEqual([
		">= 700,000 records/s",
		"699,999 records/s",
		"**no**",
	]);
	expect(rowOf({ bench: [bench] }, /^rate \(.websocket-produce-masked-1kib/)).toEqual([
		">= 250,000 records/s",
		"250,000 records/s",
		"yes",
	]);
	expect(rowOf({ bench: [bench] }, /bare loop.*kafka-produce.*1kib/)).toEqual([
		"<= 1.5x",
		"1.50x",
		"yes",
	]);
	expect(rowOf({ bench: [bench] }, /ack-latency-flushed/)).toEqual([
		"<= fdatasync of its bytes, paced alike, + 150 us",
		"251 us; fdatasync 100 us",
		"**no**",
	]);
	expect(rowOf({ bench: [bench] }, /core-append/)).toEqual([">= 60 %", "60 % of pwrite", "yes"]);
	expect(rowOf({ bench: [bench] }, /start-empty/)).toEqual(["<= 200 ms", "-", "not measured"]);
	expect(rowOf({ peers }, /^broker CPU a GiB consumed, 1kib/)).toEqual(["<= 0.5x", "0.50x", "yes"]);
	expect(rowOf({ peers }, /^rate.*kafka-consume-1kib/)).toEqual([">= 1x", "0.90x", "**no**"]);
	expect(targetsTable(NO_RESULTS)).toBeNull();
});

test("what another processor reached before stands beside it", () => {
	const masked = { scenario: "websocket-produce-masked-1kib" };
	const rate = (records_per_second: number) => ({ ...masked, records_per_second });
	const at = (started_at: string, cpu: string) => ({ started_at, machine: { cpu, cpus: 2 } });
	const runs = [
		runOf(rate(300_000), at("2026-01-01", "fast")),
		runOf(rate(310_000), at("2026-01-02", "fast")),
		runOf(rate(200_000), at("2026-01-03", "slow")),
	];
	const table = targetsTable({ ...NO_RESULTS, bench: runs });
	expect(table?.heads.slice(2)).toEqual(["measured", "met", "on 2 x fast", "met"]);
	const own = ["200,000 records/s", "**no**"];
	expect(rowOf({ bench: runs }, /masked/)?.slice(1)).toEqual([...own, "310,000 records/s", "yes"]);
	expect(rowOf({ bench: runs }, /start-empty/)?.slice(1)).toEqual(["-", "not measured", "-", ""]);
	expect(targetsTable({ ...NO_RESULTS, bench: runs.slice(0, 2) })?.heads).toHaveLength(4);
});

describe("a target is held against a result that is what it asks for", () => {
	const start = (gibibytes: number, ms: number) => ({
		scenario: "start-after-kill",
		verified: { records: (gibibytes * GIBIBYTE) / 1_024 },
		figure: { unit: "ms", value: ms },
	});
	const partitions = (count: number) => ({
		scenario: "start-partitions-10000",
		...{ curve: { of: "partitions", count }, figure: { unit: "ms", value: 100 } },
	});
	const idle = (scenario: string, transport: string, count = 5_000) => ({
		...{ scenario, transport, curve: { of: "idle connections", count } },
		extras: [{ name: "memory an idle connection", unit: "bytes", value: 5_000 }],
	});
	const slow = (count: number, extras: readonly object[]) => ({
		scenario: "page-cache-partitions-10000",
		...{ curve: { of: "slow partitions", count }, extras },
	});
	const cached = (value: number) => [{ name: "page cache a slow partition", unit: "bytes", value }];
	const NOT_MEASURED = ["-", "not measured"];

	test("by how much is stored, though a newer one stored less", () => {
		const newer = runOf(start(1, 100), { started_at: "2026-01-03" });
		const found = (...all: BenchResults[]) => rowOf({ bench: all }, /start-after-kill/)?.slice(1);
		expect(found(newer)).toEqual(NOT_MEASURED);
		expect(found(newer, runOf(start(10, 600)))).toEqual(["600 ms", "**no**"]);
		expect(found(runOf(start(10, 400), { started_at: "2026-01-04" }), newer)).toEqual([
			"400 ms",
			"yes",
		]);
	});

	test("by how many there were", () => {
		const found = (run: BenchResults) =>
			rowOf({ bench: [run] }, /start-partitions-10000/)?.slice(1);
		expect(found(runOf(partitions(8)))).toEqual(NOT_MEASURED);
		expect(found(runOf(partitions(10_000)))).toEqual(["100 ms", "yes"]);
	});

	test("by how many there were of what is told for each", () => {
		const found = (run: BenchResults) => rowOf({ bench: [run] }, /^page cache/);
		expect(found(runOf(slow(8, cached(65_536))))?.slice(1)).toEqual(NOT_MEASURED);
		expect(found(runOf(slow(10_000, cached(65_536))))).toEqual(["<= 64.0 KiB", "64.0 KiB", "yes"]);
		expect(found(runOf(slow(10_000, cached(66_000))))?.[2]).toBe("**no**");
		// Where the system does not tell.
		expect(found(runOf(slow(10_000, [])))?.slice(1)).toEqual(NOT_MEASURED);
	});

	test("by how many partitions were hot", () => {
		const hot = (count: number, us: number) =>
			runOf({
				scenario: "websocket-produce-flushed-partitions-1000",
				...{ curve: { of: "hot partitions", count }, figure: { unit: "us", value: us } },
			});
		const found = (run: BenchResults) => rowOf({ bench: [run] }, /hot partitions/)?.slice(1);
		expect(found(hot(8, 1_000))).toEqual(NOT_MEASURED);
		expect(found(hot(1_000, 50_000))).toEqual(["50,000 us", "yes"]);
		expect(found(hot(1_000, 50_001))).toEqual(["50,001 us", "**no**"]);
	});

	test("by whether the disk told", () => {
		const found = (extras: readonly object[]) => {
			const run = runOf({ scenario: "websocket-produce-flushed-1kib", extras, roofline: null });
			return rowOf({ bench: [run] }, /^bytes to the device.*1kib/);
		};
		const given = (value: number) => found([{ name: DEVICE_BYTES, unit: "bytes", value }]);
		expect(found([])).toEqual(["<= 1.3", ...NOT_MEASURED]);
		expect(given(1.3)?.slice(1)).toEqual(["1.30", "yes"]);
		expect(given(1.31)?.slice(1)).toEqual(["1.31", "**no**"]);
	});

	test("by what served", () => {
		const met = (run: BenchResults) =>
			["uws", "ws"].map(
				(name) => rowOf({ bench: [run] }, new RegExp(`connection on ${name} `))?.[2],
			);
		const [any, ws] = ["memory-connections-5000", "memory-connections-ws-5000"] as const;
		expect(met(runOf(idle(any, "uws")))).toEqual(["**no**", "not measured"]);
		expect(met(runOf(idle(ws, "ws")))).toEqual(["not measured", "yes"]);
		expect(met(runOf(idle(ws, "ws", 8)))).toEqual(["not measured", "not measured"]);
		// A broker that has no other says little of the one that is asked for.
		expect(met(runOf(idle(any, "ws")))).toEqual(["not measured", "not measured"]);
	});

	test("of no passing profile, and no other machine", () => {
		for (const changes of [{ profile: "quick" }, { profile: "gate" }, { machine: { cpus: 64 } }]) {
			const other = [{ ...bench, ...changes }] as unknown as BenchResults[];
			expect(rowOf({ bench: other }, /core-append/)?.slice(1)).toEqual(NOT_MEASURED);
		}
	});

	test("with the limits of its own run", () => {
		const newer = runOf(partitions(8), {
			...{ started_at: "2026-01-03", roofline: { loopback_receive_cpu_seconds_per_gib: 0.1 } },
		});
		const row = rowOf({ bench: [bench, newer] }, /bare loop.*kafka-produce.*1kib/);
		expect(row?.slice(1)).toEqual(["1.50x", "yes"]);
	});

	test("and a percentile that the samples do not carry measures nothing", () => {
		const ping = (value: number | null) =>
			runOf({ scenario: "websocket-ping-under-produce", figure: { unit: "us", value } });
		expect(rowOf({ bench: [ping(null)] }, /ping/)?.slice(1)).toEqual(NOT_MEASURED);
		expect(rowOf({ bench: [ping(1_999)] }, /ping/)?.slice(1)).toEqual(["1,999 us", "yes"]);
	});
});

test("a ratio is the median of the rounds' ratios", () => {
	const latency = { p50_us: 100, p99_us: 100 };
	const round = (p99_us: number, beside_p99_us: number) => ({ p99_us, beside_p99_us });
	const result = {
		scenario: "websocket-ack-latency-written",
		...{ latency, beside: { latency } },
		rounds: [round(100, 10), round(40, 20), round(30, 30)],
	};
	const p99 = /^p99 beside.*ack/;
	expect(rowOf({ bench: [runOf(result)] }, p99)?.[1]).toBe("2.00x");
	expect(rowOf({ bench: [runOf({ ...result, rounds: [] })] }, p99)?.[1]).toBe("1.00x");
});

test("every target that the committed results miss has a reason", () => {
	const directory = fileURLToPath(new URL("../../bench/results", import.meta.url));
	const missed = missedTargets({
		bench: readResults(directory),
		peers: readPeersResults(directory).at(-1),
	});
	const explained = new Set(REASONS.flatMap(({ targets }) => targets));
	expect(missed.filter((name) => !explained.has(name))).toEqual([]);
});

test("reasons are given for targets that there are, while those are missed", () => {
	const names = targetNames();
	expect(new Set(names).size).toBe(names.length);
	for (const { targets } of REASONS) {
		expect(targets.filter((name) => !names.includes(name))).toEqual([]);
		expect(targets.length).toBeGreaterThan(0);
	}
	const missed = [
		"beside-disk:websocket-ack-latency-flushed",
		"rate:websocket-produce-written-1kib",
	];
	const isOfMissed = ({ targets }: Reason) => targets.some((name) => missed.includes(name));
	const given = reasonsFor({ bench: [bench], peers: undefined });
	expect(given).toEqual(REASONS.filter(isOfMissed));
	expect(reasonsFor(NO_RESULTS)).toEqual([]);
});

test("targets name scenarios that there are", () => {
	const names = new Set<string>(SCENARIOS.map(({ name }) => name));
	for (const { scenarios } of [KAFKA_GROUP, NATS_GROUP]) {
		for (const { name } of scenarios) names.add(name);
	}
	const table = targetsTable({ bench: [bench], peers: undefined });
	const named = table?.rows.map(([what]) => /\(`([a-z0-9-]+)`\)$/.exec(what as string)?.[1]);
	expect(named?.filter((name) => name === undefined || !names.has(name))).toEqual([]);
});
