import { expect, test } from "vitest";

import { describeResults, resultTables } from "../../bench/harness/report.ts";
import type { BenchResults } from "../../bench/harness/results.ts";

const latency = {
	...{ p50_us: 40, p90_us: 50, p99_us: 60, p999_us: null, p9999_us: null, max_us: 70 },
	distribution: [],
};

const results = {
	...{ millrace: "1.2.3", profile: "standard", seconds: 1.5, rounds: 3, roofline: null },
	machine: { cpus: 2, cpu: "one", node: "v20", load_average: 0 },
	results: [
		{
			...{ scenario: "acks", figure: { name: "p99.9", unit: "us", value: null }, extras: [] },
			...{ latency, beside: { name: "echo", latency }, roofline: null, broker: null },
			...{ seconds: 1.6, rounds: [] },
		},
		{
			...{ scenario: "produce", figure: { unit: "records/s", value: 9 }, extras: [] },
			...{ records: 1, record_bytes: 1, records_per_second: 9, bytes_per_second: 9 },
			...{ latency: null, beside: null, roofline: null, client_cpu_seconds: 1 },
			broker: { cpu_seconds_per_gib: 0.5 },
			cpu_beside_bare_loop: 1.5,
			...{ seconds: 0.2, rounds: [{ seconds: 0.2 }, { seconds: 0.4 }, { seconds: 0.3 }] },
		},
	],
} as unknown as BenchResults;

const rowOf = (name: string) => {
	const tables = resultTables(results);
	const table = tables.find(({ rows }) => rows.some(([first]) => first?.trim() === name));
	const row = table?.rows.find(([first]) => first?.trim() === name);
	return Object.fromEntries(table?.heads.map((head, column) => [head, row?.[column]]) ?? []);
};

test("what too few samples carry is a dash", () => {
	expect(rowOf("acks")).toMatchObject({ p99: "60", "p99.9": "-", "p99.99": "-", max: "70" });
	expect(rowOf("echo")).toMatchObject({ p99: "60", "p99.9": "-" });
});

test("how long a scenario was timed is its own figure, the median of the rounds", () => {
	expect(rowOf("produce").seconds).toBe("0.3");
	expect(rowOf("acks").seconds).toBe("1.6");
	expect(describeResults(results)).toContain(
		"3 x 1.5 s a scenario, or until as much is stored as the profile allows",
	);
});

test("the cost beside a bare loop is that of the rounds", () => {
	expect(rowOf("produce")["x bare loop's"]).toBe("1.5");
});
