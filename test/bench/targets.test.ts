import { expect, test } from "vitest";

import type { BenchResults } from "../../bench/harness/results.ts";
import { SCENARIOS } from "../../bench/harness/scenarios/index.ts";
import { KAFKA_GROUP } from "../../bench/peers/kafka-group.ts";
import { NATS_GROUP } from "../../bench/peers/nats-group.ts";
import type { PeersResults } from "../../bench/peers/results.ts";
import { REASONS, type Reason } from "../../bench/reasons.ts";
import { reasonsFor, targetNames, targetsTable } from "../../bench/targets.ts";

const NO_RESULTS = { bench: undefined, peers: undefined };

const bench = {
	roofline: { loopback_receive_cpu_seconds_per_gib: 0.5, sync_paced_us: 100 },
	results: [
		{
			scenario: "websocket-produce-written-1kib",
			records_per_second: 699_999,
			...{ figure: { unit: "records/s", value: 699_999 }, extras: [] },
		},
		{
			scenario: "kafka-produce-written-1kib",
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
	],
} as unknown as BenchResults;

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
function rowOf(measured: { bench?: BenchResults; peers?: PeersResults }, name: RegExp) {
	const table = targetsTable({ ...NO_RESULTS, ...measured });
	const rows = table?.rows.filter(([what]) => name.test(what as string)) ?? [];
	expect(rows).toHaveLength(1);
	return rows[0]?.slice(1);
}

test("targets are met, missed or not measured", () => {
	expect(rowOf({ bench }, /^rate \(.websocket-produce-written-1kib/)).toEqual([
		">= 700,000 records/s",
		"699,999 records/s",
		"**no**",
	]);
	expect(rowOf({ bench }, /bare loop.*kafka-produce/)).toEqual(["<= 1.5x", "1.50x", "yes"]);
	expect(rowOf({ bench }, /ack-latency-flushed/)).toEqual([
		"<= fdatasync of its bytes, paced alike, + 150 us",
		"251 us; fdatasync 100 us",
		"**no**",
	]);
	expect(rowOf({ bench }, /core-append/)).toEqual([">= 60 %", "60 % of pwrite", "yes"]);
	expect(rowOf({ bench }, /start-empty/)).toEqual(["<= 200 ms", "-", "not measured"]);
	expect(rowOf({ peers }, /^broker CPU a GiB consumed, 1kib/)).toEqual(["<= 0.5x", "0.50x", "yes"]);
	expect(rowOf({ peers }, /^rate.*kafka-consume-1kib/)).toEqual([">= 1x", "0.90x", "**no**"]);
	expect(targetsTable(NO_RESULTS)).toBeNull();
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
	const given = reasonsFor({ bench, peers: undefined });
	expect(given).toEqual(REASONS.filter(isOfMissed));
	expect(reasonsFor(NO_RESULTS)).toEqual([]);
});

test("targets name scenarios that there are", () => {
	const names = new Set<string>(SCENARIOS.map(({ name }) => name));
	for (const { scenarios } of [KAFKA_GROUP, NATS_GROUP]) {
		for (const { name } of scenarios) names.add(name);
	}
	const table = targetsTable({ bench, peers: undefined });
	const named = table?.rows.map(([what]) => /\(`([a-z0-9-]+)`\)$/.exec(what as string)?.[1]);
	expect(named?.filter((name) => name === undefined || !names.has(name))).toEqual([]);
});
