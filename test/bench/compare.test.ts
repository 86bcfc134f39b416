import { describe, expect, test } from "vitest";

import { mergeRuns } from "../../bench/harness/against.ts";
import {
	BaselineError,
	type Comparison,
	compareResults,
	comparisonTable,
	machineDifference,
	overallVerdict,
} from "../../bench/harness/compare.ts";
import {
	type BenchResults,
	type Figure,
	type Machine,
	parseResults,
	RESULTS_SCHEMA,
	type ScenarioResult,
} from "../../bench/harness/results.ts";

const MACHINE = {
	cpu: "one",
	cpus: 2,
	memory_bytes: 1_000_000_000,
	operating_system: "Linux",
	node: "v20",
	file_system: "0xef53",
	load_average: 0,
};

const NOISE = [0.99, 1, 1.01, 0.995, 1.005, 1.002];

/** Six rounds around each value, in percent of a limit or, for memory, in bytes. */
function resultsOf(values: Record<string, number>, unit: Figure["unit"] = "records/s") {
	const results = Object.entries(values).map(([scenario, value]) => {
		const rounds = NOISE.map((noise) => ({
			value: value * noise,
			percent: unit === "bytes" ? null : value * noise,
			cpu_us_per_record: null,
		}));
		const better = unit === "bytes" ? "less" : "more";
		const figure = { name: "records/s", unit, value, better };
		return { scenario, figure, rounds } as unknown as ScenarioResult;
	});
	return { profile: "ci", seconds: 1, machine: MACHINE, results } as unknown as BenchResults;
}

const options = { regressionMax: 0.1, isPaired: false };
const verdicts = (baseline: BenchResults, current: BenchResults, paired = false) =>
	Object.fromEntries(
		compareResults(baseline, current, { ...options, isPaired: paired }).map(
			({ scenario, verdict }) => [scenario, verdict],
		),
	);

describe.for([
	["at another time", false],
	["in pairs", true],
] as const)("against a baseline measured %s", ([, isPaired]) => {
	test("only what is surely beyond the bound is a regression", () => {
		const baseline = resultsOf({ same: 50, faster: 50, slower: 50, unsure: 50 });
		const current = resultsOf({ same: 50, faster: 60, slower: 40, unsure: 45 });
		expect(verdicts(baseline, current, isPaired)).toEqual({
			same: "ok",
			faster: "ok",
			slower: "regression",
			unsure: "inconclusive",
		});
	});

	test("more memory is worse, and has no limit to be a part of", () => {
		const [comparison] = compareResults(
			resultsOf({ memory: 50 }, "bytes"),
			resultsOf({ memory: 60 }, "bytes"),
			{ ...options, isPaired },
		);
		expect(comparison).toMatchObject({ verdict: "regression", compared: "figures" });
		expect(comparison?.ratio).toBeCloseTo(5 / 6, 1);
	});
});

test("a broker that takes more CPU time for a record is worse, however fast it is", () => {
	const withCost = (us: number | null) => {
		const results = resultsOf({ one: 50 });
		const [only] = results.results as [ScenarioResult];
		const rounds = only.rounds.map((round, index) => ({
			...round,
			cpu_us_per_record: us && us * (NOISE[index] as number),
		}));
		return { ...results, results: [{ ...only, rounds }] };
	};
	const compared = (before: number | null, now: number | null) =>
		compareResults(withCost(before), withCost(now), { ...options, isPaired: true }).map((each) => [
			each.compared,
			each.verdict,
		]);
	expect(compared(2, 3)).toEqual([
		["% of limit", "ok"],
		["broker CPU", "regression"],
	]);
	expect(compared(2, 2)[1]).toEqual(["broker CPU", "ok"]);
	expect(compared(null, 2)).toEqual([["% of limit", "ok"]]);
	expect(compared(0, 2)).toEqual([["% of limit", "ok"]]);
});

/** One scenario with six rounds of the same. */
function scenarioOf(round: object, changes: object = {}): BenchResults {
	const figure = { name: "p50", unit: "us", value: 50, better: "less" };
	const rounds = NOISE.map((noise) => ({
		...{ value: 50 * noise, percent: 50 * noise, cpu_us_per_record: null },
		...round,
	}));
	const result = { scenario: "one", transport: "uws", figure, rounds, ...changes };
	return { ...resultsOf({}), results: [result] } as unknown as BenchResults;
}

test("latencies are compared by their p99, too", () => {
	const compared = (before: number | null, now: number | null) =>
		compareResults(scenarioOf({ p99_us: before }), scenarioOf({ p99_us: now }), {
			...options,
			isPaired: true,
		}).map((each) => [each.compared, each.verdict]);
	expect(compared(100, 200)).toEqual([
		["% of limit", "ok"],
		["p99", "regression"],
	]);
	expect(compared(100, 100)[1]).toEqual(["p99", "ok"]);
	expect(compared(null, 100)).toEqual([["% of limit", "ok"]]);
});

test("at another time CPU and p99 count as multiples of what was measured beside", () => {
	const compared = (before: object, now: object) =>
		compareResults(scenarioOf(before), scenarioOf(now), options)
			.slice(1)
			.map((each) => [each.compared, each.verdict]);
	const cost = (us: number, multiple?: number) => ({
		cpu_us_per_record: us,
		cpu_beside_bare_loop: multiple,
	});
	expect(compared(cost(2, 1.5), cost(4, 1.5))).toEqual([["broker CPU", "ok"]]);
	expect(compared(cost(2, 1.5), cost(2, 3))).toEqual([["broker CPU", "regression"]]);
	expect(compared(cost(2), cost(4))).toEqual([]);
	const tail = (us: number, beside: number | null) => ({ p99_us: us, beside_p99_us: beside });
	expect(compared(tail(100, 50), tail(200, 100))).toEqual([["p99", "ok"]]);
	expect(compared(tail(100, 50), tail(200, 50))).toEqual([["p99", "regression"]]);
	expect(compared(tail(100, null), tail(200, null))).toEqual([]);
});

test("parts of different limits are not compared, but the figures", () => {
	const of = (limit: string) => scenarioOf({}, { roofline: { limit } });
	const compared = (one: string, other: string) =>
		compareResults(of(one), of(other), options).map((each) => each.compared);
	expect(compared("a", "a")).toEqual(["% of limit"]);
	expect(compared("a", "b")).toEqual(["figures"]);
});

test("what another transport served is not compared, and alone proves nothing", () => {
	const other = compareResults(scenarioOf({}, { transport: "ws" }), scenarioOf({}), options);
	expect(other).toMatchObject([
		{ scenario: "one", compared: "transport ws against uws", verdict: "not compared" },
	]);
	expect(overallVerdict(other)).toBe("inconclusive");
	expect(comparisonTable(other).rows[0]).toEqual([
		"one",
		"?",
		"0.000",
		"?",
		"transport ws against uws",
		"not compared",
	]);
});

test("one regression makes the whole one, and doubt does where there is none", () => {
	const of = (...all: Comparison["verdict"][]) =>
		overallVerdict(all.map((verdict) => ({ verdict }) as never));
	expect(of("ok", "inconclusive", "regression")).toBe("regression");
	expect(of("ok", "inconclusive")).toBe("inconclusive");
	expect(of("ok", "ok")).toBe("ok");
	expect(of("ok", "not compared")).toBe("ok");
});

test("a table shows the interval of each", () => {
	const comparisons = compareResults(resultsOf({ same: 50 }), resultsOf({ same: 50 }), options);
	const [row] = comparisonTable(comparisons).rows;
	expect(row?.[0]).toBe("same");
	expect(Number(row?.[2])).toBeLessThan(1);
	expect(Number(row?.[3])).toBeGreaterThan(1);
	expect(row?.slice(4)).toEqual(["% of limit", "ok"]);
});

test("what was measured differently, or not at all, is not compared", () => {
	const baseline = resultsOf({ one: 1 });
	expect(() => compareResults({ ...baseline, seconds: 2 }, baseline, options)).toThrow(
		BaselineError,
	);
	expect(() => compareResults(baseline, resultsOf({ two: 1 }), options)).toThrow(BaselineError);
});

test("machines differ by what they are, not by what they do", () => {
	expect(machineDifference(MACHINE, { ...MACHINE, load_average: 3 })).toBeNull();
	expect(machineDifference(MACHINE, { ...MACHINE, node: "v22" })).toBe("node v20 against v22");
	expect(machineDifference(MACHINE, { ...MACHINE, memory_bytes: 1_010_000_000 })).toBeNull();
	expect(machineDifference(MACHINE, { ...MACHINE, cpus: 4 })).toBe("cpus 2 against 4");
	expect(machineDifference(MACHINE, { ...MACHINE, memory_bytes: 2e9 })).toContain("memory_bytes");
	const [keeps, gives] = [false, true].map((gives) => ({ ...MACHINE, reports_free_pages: gives }));
	expect(machineDifference(keeps as Machine, gives as Machine)).toContain("reports_free_pages");
	expect(machineDifference(MACHINE, gives as Machine)).toBeNull();
});

test("runs of one round each become one run of many", () => {
	const run = (value: number) => {
		const results = resultsOf({ one: value });
		const [only] = results.results as [ScenarioResult];
		const roofline = { limit: "any", value: 1, unit: "us", percent: value } as const;
		const nothing = { latency: null, beside: null, broker: null };
		return { ...results, roofline: null, results: [{ ...only, ...nothing, roofline }] };
	};
	const merged = mergeRuns([run(5), run(1), run(3)], "a command");
	expect(merged.rounds).toBe(3);
	expect(merged.command).toBe("a command");
	const [result] = merged.results;
	expect(result?.figure.value).toBe(3);
	expect(result?.rounds.map(({ percent }) => percent)).toEqual([5, 1, 3]);
});

test("results of another schema, and what are no results, are refused by name", () => {
	expect(() => parseResults("{", "a.json")).toThrow("a.json is not JSON");
	expect(() => parseResults("null", "a.json")).toThrow("a.json has no schema");
	expect(parseResults('{"schema":"millrace-bench/2"}', "a.json").schema).toBe("millrace-bench/2");
	expect(() => parseResults('{"schema":"millrace-bench/1"}', "a.json")).toThrow(
		`a.json has schema millrace-bench/1, and only ${RESULTS_SCHEMA} is read here`,
	);
});
