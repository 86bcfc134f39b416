import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

import { renderPeers } from "../../bench/peers/document.ts";
import { missingPeer } from "../../bench/peers/installed.ts";
import { peersTable, peersWins, ratioOf } from "../../bench/peers/report.ts";
import type {
	ContenderName,
	ContenderRounds,
	GroupResults,
	PeerName,
	PeerRound,
	PeersResults,
} from "../../bench/peers/results.ts";
import { processesNaming } from "../broker-process.ts";

const program = fileURLToPath(new URL("../../dist/bench/peers/main.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "millrace-peers-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs the comparison with next to nothing of everything. */
async function runPeers(...options: string[]): Promise<{
	status: number | null;
	stdout: string;
	stderr: string;
}> {
	const child = spawn(process.execPath, [program, ...options]);
	let stdout = "";
	let stderr = "";
	child.stdout.on("data", (text) => {
		stdout += String(text);
	});
	child.stderr.on("data", (text) => {
		stderr += String(text);
	});
	const [status] = await once(child, "close");
	return { status, stdout, stderr };
}

describe("npm run bench:peers", () => {
	test.for<[PeerName, readonly ContenderName[]]>([
		["kafka", ["millrace", "kafka"]],
		["nats", ["millrace", "nats-websocket", "nats"]],
		["redis", ["millrace", "redis"]],
	])("measures the same load beside %s", async ([peer, contenders], context) => {
		const missing = missingPeer(peer);
		if (missing !== null) context.skip(missing);
		const data = join(directory, peer);
		mkdirSync(data);
		const json = join(directory, `${peer}.json`);
		const scenarios = {
			kafka: ["kafka-produce-flushed-acks-all-100b", "kafka-consume-100b"],
			nats: ["nats-produce-fast-ingest-written-100b", "nats-consume-each-100b"],
			redis: ["redis-produce-written-100b", "redis-consume-batches-100b"],
		}[peer];
		const extent = ["--rounds=1", "--seconds=0.1", "--mebibytes=2"];
		const places = [`--directory=${data}`, `--json=${json}`];
		const { status, stdout, stderr } = await runPeers(
			...[`--peers=${peer}`, ...extent, ...places, "--scenario", ...scenarios],
		);
		expect(status, stderr).toBe(0);
		const results = JSON.parse(readFileSync(json, "utf8")) as PeersResults;
		expect(results.schema).toBe("millrace-peers/1");
		const [group] = results.groups;
		expect(group?.scenarios.map(({ scenario }) => scenario)).toEqual(scenarios);
		for (const scenario of group?.scenarios ?? []) {
			expect(scenario.contenders.map(({ contender }) => contender)).toEqual(contenders);
			for (const { rounds } of scenario.contenders) {
				expect(rounds).toHaveLength(1);
				expect(rounds[0]?.uncounted_rounds).toBe(0);
				expect(rounds[0]?.records_per_second).toBeGreaterThan(0);
				expect(rounds[0]?.verified.records).toBeGreaterThan(0);
				expect(rounds[0]?.verified.sha256).toMatch(/^[0-9a-f]{64}$/);
				if (process.platform !== "linux") continue;
				expect(rounds[0]?.broker?.anonymous_bytes_max).toBeGreaterThan(1_000_000);
			}
		}
		for (const { title, version, written, flushed } of group?.contenders ?? []) {
			expect(version).toMatch(/^\d+\.\d+/);
			expect(stdout).toMatch(new RegExp(`${title} +${version}`));
			expect(stdout).toContain(written);
			expect(stdout).toContain(flushed);
		}
		expect(readdirSync(data)).toEqual([]);
	});

	test("goes on with a file, and leaves nothing behind at a signal", async (context) => {
		const missing = missingPeer("redis");
		if (missing !== null) context.skip(missing);
		const data = join(directory, "interrupted");
		mkdirSync(data);
		const json = join(directory, "interrupted.json");
		const scenario = (name: string) => ["--peers=redis", "--scenario", name];
		const extent = ["--rounds=2", "--seconds=0.1", "--mebibytes=2"];
		const places = [`--directory=${data}`, `--json=${json}`];
		const roundsIn = () => {
			const { groups, command } = JSON.parse(readFileSync(json, "utf8")) as PeersResults;
			const found = groups.flatMap(({ scenarios }) => scenarios);
			const rounds = found.map(({ scenario, contenders }) => [
				scenario,
				contenders.map((contender) => contender.rounds.length),
			]);
			const uncounted = found.flatMap(({ contenders }) =>
				contenders.flatMap((contender) => contender.rounds.map((each) => each.uncounted_rounds)),
			);
			return { rounds: Object.fromEntries(rounds), uncounted, command };
		};
		const contendersIn = () => {
			const { groups } = JSON.parse(readFileSync(json, "utf8")) as PeersResults;
			return groups[0]?.scenarios[0]?.contenders.map(({ contender }) => contender);
		};

		const child = spawn(process.execPath, [
			...[program, ...scenario("redis-produce-written"), ...extent, ...places],
		]);
		let told = "";
		child.stderr.on("data", (text) => {
			told += String(text);
			const isThere = told.includes("redis-produce-written-1kib, round 1 of 2: Redis");
			if (isThere && !child.killed) child.kill("SIGTERM");
		});
		expect(await once(child, "close"), told).toEqual([143, null]);
		expect(readdirSync(data)).toEqual([]);
		expect(processesNaming(data)).toEqual([]);
		expect(roundsIn().rounds["redis-produce-written-100b"]).toEqual([1, 1]);

		expect(Math.min(...(roundsIn().uncounted as number[]))).toBeGreaterThanOrEqual(2);

		const wanted = scenario("redis-produce-written-100b");
		const ended = await runPeers(...wanted, ...extent, ...places);
		expect(ended.status, ended.stderr).toBe(0);
		expect(ended.stderr).not.toContain("round 1 of 2");
		const inSecond = [...ended.stderr.matchAll(/round 2 of 2: (.+); about/g)];
		expect(inSecond.map(([, title]) => title)).toEqual(["Redis Streams", "Millrace"]);
		expect(contendersIn()).toEqual(["millrace", "redis"]);
		expect(roundsIn().rounds["redis-produce-written-100b"]).toEqual([2, 2]);
		expect(roundsIn().command).toMatch(/ && npm run bench:peers -- --peers=redis/);

		const again = await runPeers(...wanted, ...extent, ...places);
		expect(again).toMatchObject({ status: 0, stderr: "" });
		const other = await runPeers(...wanted, "--rounds=3", ...extent.slice(1), ...places);
		expect(other.status).toBe(1);
		expect(other.stderr).toContain("3 x 0.1 s");
	});

	test("says what it has when it is asked for something else", async () => {
		const peers = await runPeers("--peers=rabbit");
		expect(peers.status).not.toBe(0);
		expect(peers.stderr).toContain("Peers are kafka, nats, redis.");
		const amount = await runPeers("--seconds=0");
		expect(amount.status).not.toBe(0);
		expect(amount.stderr).toContain("Expected a number above 0");
	});
});

describe("the report", () => {
	const round = (rate: number, cpuSecondsPerGib: number | null, memory = 50e6): PeerRound => ({
		records: 1_000,
		seconds: 1_000 / rate,
		records_per_second: rate,
		bytes_per_second: rate * 100,
		broker:
			cpuSecondsPerGib === null
				? null
				: {
						cpu_seconds: 1,
						cpu_seconds_per_gib: cpuSecondsPerGib,
						cpu_us_per_record: 1,
						anonymous_bytes_max: memory,
					},
		client_cpu_seconds: null,
		verified: { records: 1_000, sha256: "0".repeat(64) },
	});
	const millrace: ContenderRounds = {
		contender: "millrace",
		rounds: [round(900, 1), round(1_000, 1.5), round(400, 1)],
	};
	const redis: ContenderRounds = {
		contender: "redis",
		rounds: [round(1_000, 4, 20e6), round(2_000, 3, 40e6), round(100, 2, 100e6)],
	};
	const rate = ({ records_per_second }: PeerRound) => records_per_second;
	const group: GroupResults = {
		peer: "redis",
		page_cache_warmed_bytes: 0,
		contenders: [
			{ contender: "millrace", title: "Millrace", version: "1", written: "w", flushed: "f" },
			{ contender: "redis", title: "Redis Streams", version: "7", written: "w", flushed: "f" },
		],
		scenarios: [
			{
				scenario: "redis-produce-written-100b",
				about: "one producer",
				load: "a load",
				durability: "written",
				record_bytes: 100,
				contenders: [millrace, redis],
			},
		],
	};

	test("compares rounds that ran beside each other, not medians of different rounds", () => {
		expect(ratioOf(millrace, redis, rate)).toEqual({ median: 0.9, min: 0.5, max: 4 });
	});

	test("compares nothing where a figure is missing", () => {
		const unknown = { ...redis, rounds: [round(1, null), round(1, 2), round(1, 2)] };
		const cpu = ({ broker }: PeerRound) => broker?.cpu_seconds_per_gib ?? null;
		expect(ratioOf(millrace, unknown, cpu)).toBeNull();
		expect(ratioOf(millrace, { ...redis, rounds: [] }, cpu)).toBeNull();
	});

	test("lists what the peer is better in, and nothing else", () => {
		expect(peersWins(group)).toEqual([
			"redis-produce-written-100b: Redis Streams is faster " +
				"(Millrace has 0.90x (0.50-4.00) its rate)",
			"redis-produce-written-100b: Redis Streams uses less memory " +
				"(Millrace has 1.25x (0.50-2.50) its memory)",
		]);
	});

	test("shows medians, and ratios beside the peer alone", () => {
		const [, ours, theirs] = peersTable(group).rows;
		expect(ours?.slice(0, 4)).toEqual(["  Millrace", "900", "0.1", "1.00"]);
		expect(ours?.slice(-3)).toEqual(["", "", ""]);
		expect(theirs?.slice(-3)).toEqual([
			"0.90x (0.50-4.00)",
			"0.50x (0.25-0.50)",
			"1.25x (0.50-2.50)",
		]);
	});

	test("tells how long the timed parts were", () => {
		const { heads, rows } = peersTable(group);
		expect(rows.slice(1).map((row) => row[heads.indexOf("timed s")])).toEqual(["1.11", "1.00"]);
	});

	test("tells how many rounds were not counted, where that is known", () => {
		const uncounted = (...counts: number[]): string => {
			const rounds = counts.map((uncounted_rounds) => ({ ...round(1, 1), uncounted_rounds }));
			const scenarios = group.scenarios.map((scenario) => ({
				...scenario,
				contenders: [{ ...millrace, rounds }],
			}));
			const { heads, rows } = peersTable({ ...group, scenarios });
			return rows[1]?.[heads.indexOf("uncounted")] as string;
		};
		expect(uncounted(3, 3)).toBe("3");
		expect(uncounted(2, 5, 2)).toBe("2-5");
		const { heads, rows } = peersTable(group);
		expect(rows[1]?.[heads.indexOf("uncounted")]).toBe("-");
	});

	test("is a part of the page, with the peer's wins and what was never run", () => {
		const machine = {
			cpu: "CPU",
			cpus: 2,
			memory_bytes: 8 * 1_073_741_824,
			operating_system: "Linux",
			node: "v20",
			file_system: "0xef53",
			load_average: 0.1,
		};
		const page = renderPeers([
			{
				schema: "millrace-peers/1",
				started_at: "2026-01-02T03:04:05.000Z",
				command: "npm run bench:peers",
				seconds: 5,
				stored_bytes_max: 1,
				rounds: 3,
				machine,
				groups: [group],
			},
		]);
		expect(page).toContain("### 2 x CPU, 8 GiB, 2026-01-02");
		expect(page).toContain("| Redis Streams | 7 | w | f |");
		expect(page).toContain("- redis-produce-written-100b: Redis Streams is faster");
		expect(page).toContain("- redis-produce-written-1kib: never run");
		expect(page).toContain("- kafka-consume-1kib: never run");
		expect(page).not.toContain("redis-produce-written-100b: never run");
	});
});
