import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Comparison } from "../../bench/harness/compare.ts";
import { DEVICE_BYTES } from "../../bench/harness/device.ts";
import type { BenchResults } from "../../bench/harness/results.ts";
import { SCENARIOS } from "../../bench/harness/scenarios/index.ts";
import { processesNaming, temporaryDirectory } from "../broker-process.ts";

const program = fileURLToPath(new URL("../../dist/bundle/millrace.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "millrace-bench-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Dozens of processes follow one another: on a busy machine that takes minutes. */
const HANGS_MS = 900_000;

interface Ended {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs `millrace bench` as a user does. */
function bench(...options: string[]): Promise<Ended> {
	const child = spawn(process.execPath, [program, "bench", "--directory", directory, ...options]);
	let stdout = "";
	let stderr = "";
	child.stdout.on("data", (text) => {
		stdout += String(text);
	});
	child.stderr.on("data", (text) => {
		stderr += String(text);
	});
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (status) => resolve({ status, stdout, stderr }));
	});
}

/** Of scenarios that differ only in a number, which `quick` makes small anyway, the last one. */
const DISTINCT = [
	...new Map(SCENARIOS.map(({ name }) => [name.replace(/-\d+(b|kib)?$/, ""), name])).values(),
];

describe("millrace bench --profile quick --json", () => {
	let ended: Ended;
	let results: BenchResults;

	beforeAll(async () => {
		const chosen = DISTINCT.map((name) => `--scenario=${name}`);
		ended = await bench("--profile", "quick", "--json", ...chosen);
		results = JSON.parse(ended.stdout) as BenchResults;
	}, HANGS_MS);

	test("runs every kind of scenario, and says nothing beside its JSON", () => {
		expect(ended.stderr).toBe("");
		expect(ended.status).toBe(0);
		expect(results.schema).toBe("millrace-bench/3");
		expect(results.results.map(({ scenario }) => scenario)).toEqual(DISTINCT);
	});

	test("measures something in each, and has verified it by count and hash", () => {
		for (const result of results.results) {
			expect(result.records, result.scenario).toBeGreaterThan(0);
			expect(result.records_per_second, result.scenario).toBeGreaterThan(0);
			expect(result.verified.records, result.scenario).toBeGreaterThan(0);
			expect(result.record_bytes, result.scenario).toBeGreaterThan(0);
			expect(["written", "flushed"]).toContain(result.durability);
			// Of some latencies there are too few here to tell more than a median.
			const { name, value } = result.figure;
			if (/^p9/.test(name)) expect(value === null || value > 0, result.scenario).toBe(true);
			else expect(value, result.scenario).toBeGreaterThan(0);
			expect(result.verified.sha256).toMatch(/^[0-9a-f]{64}$/);
			expect(result.rounds).toHaveLength(1);
		}
	});

	test("tells the broker's costs from the client's where a broker served", () => {
		const served = results.results.filter(({ transport }) => transport !== null);
		expect(served.length).toBeGreaterThan(0);
		for (const { broker, scenario } of served) {
			if (process.platform !== "linux") continue;
			expect(broker?.anonymous_bytes_max, scenario).toBeGreaterThan(1_000_000);
			expect(broker?.anonymous_bytes_max, scenario).toBeLessThan(4_000_000_000);
		}
	});

	test("puts percentiles in order, and has something to hold them against", () => {
		const latencies = results.results.flatMap(({ latency, beside }) =>
			latency === null || beside === null ? [] : [latency, beside.latency],
		);
		const measured = latencies.filter((latency) => latency !== null);
		expect(measured.length).toBeGreaterThanOrEqual(4);
		for (const { p50_us, p90_us, p99_us, p999_us, p9999_us, max_us } of measured) {
			const all = [p50_us, p90_us, p99_us, p999_us, p9999_us];
			const known = [...all.filter((us) => us !== null), max_us];
			expect([...known].sort((a, b) => a - b)).toEqual(known);
			// What is not carried lies behind what is.
			expect(all.slice(known.length - 1).every((us) => us === null)).toBe(true);
			expect(max_us).toBeGreaterThan(1);
		}
	});

	test("cuts a long run into windows, and says what grew", () => {
		const { soak, records } = results.results.find(({ scenario }) => scenario === "soak") ?? {};
		expect(records).toBeGreaterThan(0);
		expect(soak?.windows).toHaveLength(40);
		expect(soak?.windows.at(-1)?.ends_at_seconds).toBeCloseTo(results.seconds);
		// Where the machine stalled while its full speed was measured, a tenth of a second has few.
		const filled = soak?.windows.filter(({ p50_us }) => p50_us !== null);
		expect(filled?.length).toBeGreaterThanOrEqual(Math.min(21, (records as number) >> 10));
		const named = soak?.trends.map(({ what }) => what);
		expect(named).toEqual(["p50", "p99", "p99.9", "memory", "open files"]);
		const files = soak?.trends.at(-1);
		if (process.platform === "linux") expect(files?.median).toBeGreaterThan(10);
	});

	test("pings until there are as many as its percentiles need", () => {
		const found = results.results.find(({ scenario }) => scenario.startsWith("websocket-ping"));
		expect(found?.latency?.p90_us).not.toBeNull();
		expect(found?.beside?.latency.p90_us).not.toBeNull();
		// Seven hundred, a millisecond apart: no cap of what is stored has ended the load before.
		expect(found?.seconds).toBeGreaterThan(0.6);
		expect(found?.roofline).toBeNull();
	});

	test("reads slowly by turns", () => {
		const found = results.results.find(({ scenario }) => scenario.includes("slow-readers"));
		// Two parts without slow readers and two with them: one record to warm up and two that count.
		expect(found?.verified.records).toBe(12);
		expect(found?.records).toBe(12 * (found?.curve?.count ?? 0));
	});

	test("has idle connections over the transport that is asked for", () => {
		const found = results.results.find(({ scenario }) => scenario === "memory-connections-ws-5000");
		expect(found?.transport).toBe("ws");
		expect(found?.curve).toEqual({ of: "idle connections", count: 8 });
	});

	test("counts the page cache of slow partitions where the system tells", () => {
		const found = results.results.find(({ scenario }) => scenario.startsWith("page-cache"));
		const [cached] = found?.extras ?? [];
		expect(found?.verified.records).toBe(5 * 8);
		if (process.platform !== "linux" || results.roofline === null) {
			expect(cached).toBeUndefined();
			return;
		}
		expect(cached?.name).toBe("page cache a slow partition");
		// A file with some records, and one that says whose it is.
		expect(cached?.value).toBeGreaterThan(4_000);
		expect(cached?.value).toBeLessThan(1_000_000);
	});

	test("tells how much the disk is given, where the system does", () => {
		const found = results.results.find(({ scenario }) => scenario.includes("flushed-1kib"));
		expect(found?.extras.length).toBeLessThanOrEqual(1);
		for (const { name, value } of found?.extras ?? []) {
			expect(name).toBe(DEVICE_BYTES);
			expect(value).toBeGreaterThanOrEqual(1);
		}
	});

	test("keeps every partition hot", () => {
		const found = results.results.find(({ scenario }) => scenario.includes("flushed-partitions"));
		expect(found?.curve).toEqual({ of: "hot partitions", count: 8 });
		expect(found?.durability).toBe("flushed");
		expect(found?.figure).toMatchObject({ name: "p99", value: found?.latency?.p99_us });
		expect(found?.figure.value).not.toBeNull();
	});

	test("leaves nothing behind", () => {
		expect(readdirSync(directory)).toEqual([]);
	});
});

test("runs only the scenarios that are asked for, as a table and as a page", async () => {
	const html = join(temporaryDirectory(), "page.html");
	const { status, stdout } = await bench(
		...["--profile=quick", "--scenario=core-append-1mib", `--html=${html}`],
	);
	const page = readFileSync(html, "utf8");
	expect(page).toMatch(/^<!doctype html>/);
	expect(page).toContain(">core-append-1mib<");
	expect(status).toBe(0);
	expect(stdout).toMatch(/^core-append-1mib +[\d,]+ +[\d.]+/m);
	expect(stdout).not.toContain("websocket-produce");
});

test("a page that cannot be written does not lose the figures", async () => {
	const html = join(directory, "nowhere", "page.html");
	const { status, stdout, stderr } = await bench(
		...["--profile=quick", "--scenario=core-append-1mib", "--json", `--html=${html}`],
	);
	expect(status).toBe(1);
	expect(stderr).toContain("ENOENT");
	expect((JSON.parse(stdout) as BenchResults).results).toHaveLength(1);
});

describe("against a baseline", { timeout: HANGS_MS }, () => {
	const core = ["--profile=quick", "--scenario=core-append-1mib", "--seconds=0.02"];
	const file = join(directory, "..", `${basename(directory)}.json`);
	afterAll(() => rmSync(file));
	let baseline: BenchResults;

	beforeAll(async () => {
		const { stdout } = await bench(...core, "--rounds=6", "--json");
		baseline = JSON.parse(stdout) as BenchResults;
	}, HANGS_MS);

	/** The baseline as if that build had been so many times as fast. */
	function write(times: number, changes: Partial<BenchResults> = {}): void {
		const results = baseline.results.map((result) => ({
			...result,
			rounds: result.rounds.map(({ value, percent }) => ({
				value: (value as number) * times,
				percent: (percent ?? Number.NaN) * times,
			})),
		}));
		writeFileSync(file, JSON.stringify({ ...baseline, ...changes, results }));
	}

	test("a build that is clearly slower ends with 10, and names what is", async () => {
		write(10_000);
		const ended = await bench(...core, `--compare=${file}`, "--json");
		expect(ended.status).toBe(10);
		expect(ended.stderr).toContain(
			"more than 10 % worse than the baseline: core-append-1mib (% of limit)",
		);
		const { comparison } = JSON.parse(ended.stdout) as { comparison: Comparison[] };
		expect(comparison).toHaveLength(1);
		expect(comparison[0]?.ratio).toBeLessThan(0.5);
		expect(comparison[0]?.high).toBeGreaterThan(comparison[0]?.low as number);
	});

	test("one that is not ends with 0, with the interval in a table", async () => {
		write(0.0001);
		const ended = await bench(...core, `--compare=${file}`, "--max-regression=10%");
		expect(ended).toMatchObject({ status: 0, stderr: "" });
		expect(ended.stdout).toMatch(/^core-append-1mib( +[\d.]+){3} +% of limit +ok$/m);
	});

	test("one of which nobody can be sure ends with 11", async () => {
		const results = baseline.results.map((result) => ({
			...result,
			rounds: result.rounds.slice(0, 1),
		}));
		writeFileSync(file, JSON.stringify({ ...baseline, results }));
		const ended = await bench(...core, `--compare=${file}`);
		expect(ended.status).toBe(11);
		expect(ended.stderr).toContain("do not tell whether more than 10 % was lost");
	});

	test("of another machine is refused unless told otherwise", async () => {
		write(0.0001, { machine: { ...baseline.machine, cpus: 1_000 } });
		const refused = await bench(...core, `--compare=${file}`);
		expect(refused.status).toBe(2);
		expect(refused.stderr).toContain("is of another machine or Node (cpus 1000 against");
		const told = await bench(...core, `--compare=${file}`, "--other-machine");
		expect(told.status).toBe(0);
	});

	test.for([
		[{ profile: "gate" }, "the baseline was measured with profile gate, this run with quick"],
		[{ seconds: 3 }, "the baseline was measured with seconds 3, this run with 0.02"],
		[{ results: [] }, "the baseline has none of these scenarios"],
	] as const)(
		"that does not fit is refused before anything is measured",
		async ([changes, why]) => {
			writeFileSync(file, JSON.stringify({ ...baseline, ...changes }));
			// Whoever measured before would not come back for an hour.
			const ended = await bench(...core, "--rounds=1000", `--compare=${file}`);
			expect(ended.status).toBe(2);
			expect(ended.stderr).toContain(why);
		},
	);

	test("that is another build takes turns with this one", async () => {
		const root = fileURLToPath(new URL("../..", import.meta.url));
		const ended = await bench(...core, `--against=${root}`, "--max-regression=99%", "--json");
		// It is the same build, but so few appends take anything from one to a hundred times as long.
		expect([0, 11]).toContain(ended.status);
		const run = JSON.parse(ended.stdout) as BenchResults & { comparison: Comparison[] };
		expect(run.results[0]?.rounds).toHaveLength(6);
		expect(run.comparison[0]?.low).toBeLessThanOrEqual(run.comparison[0]?.ratio as number);
		expect(run.comparison[0]?.high).toBeLessThan(Infinity);
	});

	test("is given no more rounds than fit into the time", async () => {
		const root = fileURLToPath(new URL("../..", import.meta.url));
		const ended = await bench(...core, `--against=${root}`, "--within=0.01", "--json");
		expect(ended.status).toBe(11);
		const run = JSON.parse(ended.stdout) as BenchResults & { comparison: Comparison[] };
		expect(run.rounds).toBe(1);
		expect(run.comparison[0]).toMatchObject({ low: 0, verdict: "inconclusive" });
	});
});

/** Whether a broker serves whose data is below a directory. */
function isServedFrom(data: string): boolean {
	try {
		const files = readdirSync(data, { recursive: true, encoding: "utf8" });
		return files.some((file) => file.endsWith("addresses.json"));
	} catch (error) {
		// A directory went while its parent was read.
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
		throw error;
	}
}

test.for([
	["SIGINT", 130],
	["SIGTERM", 143],
] as const)("%s ends it with %d, its broker with it", async ([signal, status]) => {
	const data = temporaryDirectory();
	const child = spawn(process.execPath, [
		...[program, "bench", "--profile=quick", "--seconds=60", `--directory=${data}`],
		"--scenario=websocket-ack-latency-written",
	]);
	let stderr = "";
	child.stderr.on("data", (text) => {
		stderr += String(text);
	});
	const timer = setInterval(() => {
		if (!isServedFrom(data)) return;
		clearInterval(timer);
		child.kill(signal);
	}, 50);
	const [code] = await once(child, "close");
	clearInterval(timer);
	expect(code, stderr).toBe(status);
	expect(stderr).toBe("");
	expect(readdirSync(data)).toEqual([]);
	expect(processesNaming(data)).toEqual([]);
});

test.for([
	["--scenario=core-apend", "Scenarios are core-append-1mib"],
	["--profile=fast", "Allowed choices are quick, gate, ci, standard, full, soak"],
	["--seconds=0", "Expected seconds above 0"],
	["--max-regression=10", "Expected a percentage such as 10%"],
	["--compare=/nowhere.json", "ENOENT"],
])("refuses %s with exit code 2", async ([option, message]) => {
	const { status, stderr } = await bench(option as string);
	expect(status).toBe(2);
	expect(stderr).toContain(message);
});
