import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { BenchResults } from "../../bench/harness/results.ts";
import { SCENARIOS } from "../../bench/harness/scenarios/index.ts";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "millrace-bench-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

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

describe("millrace bench --profile quick --json", () => {
	let ended: Ended;
	let results: BenchResults;

	beforeAll(async () => {
		ended = await bench("--profile", "quick", "--json");
		results = JSON.parse(ended.stdout) as BenchResults;
	});

	test("runs every scenario, and says nothing beside its JSON", () => {
		expect(ended.stderr).toBe("");
		expect(ended.status).toBe(0);
		expect(results.schema).toBe("millrace-bench/1");
		expect(results.results.map(({ scenario }) => scenario)).toEqual(
			SCENARIOS.map(({ name }) => name),
		);
	});

	test("measures something in each, and has verified it by count and hash", () => {
		for (const result of results.results) {
			expect(result.records, result.scenario).toBeGreaterThan(0);
			expect(result.records_per_second).toBeGreaterThan(0);
			expect(result.verified.records).toBeGreaterThanOrEqual(
				result.durability === null ? 1 : result.records,
			);
			expect(result.verified.sha256).toMatch(/^[0-9a-f]{64}$/);
			expect(result.round_figures).toHaveLength(1);
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

	test("puts percentiles in order, beside those of the echo", () => {
		const latencies = results.results.flatMap(({ latency, echo }) => [latency, echo]);
		const measured = latencies.filter((latency) => latency !== null);
		expect(measured).toHaveLength(4);
		for (const { p50_us, p90_us, p99_us, p999_us, p9999_us, max_us } of measured) {
			const inOrder = [p50_us, p90_us, p99_us, p999_us, p9999_us, max_us];
			expect([...inOrder].sort((a, b) => a - b)).toEqual(inOrder);
			expect(p50_us).toBeGreaterThan(1);
		}
	});

	test("leaves nothing behind", () => {
		expect(readdirSync(directory)).toEqual([]);
	});
});

test("runs only the scenarios that are asked for, as a table", async () => {
	const { status, stdout } = await bench("--profile=quick", "--scenario=core-append-1mib");
	expect(status).toBe(0);
	expect(stdout).toMatch(/^core-append-1mib +[\d,]+ +[\d.]+/m);
	expect(stdout).not.toContain("websocket-produce");
});

test.for([
	["--scenario=core-apend", "Scenarios are core-append-1mib"],
	["--profile=fast", "Allowed choices are quick, ci, standard"],
	["--seconds=0", "Expected seconds above 0"],
])("refuses %s with exit code 2", async ([option, message]) => {
	const { status, stderr } = await bench(option as string);
	expect(status).toBe(2);
	expect(stderr).toContain(message);
});
