import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { readResults } from "../../bench/document.ts";
import type { Comparison } from "../../bench/harness/compare.ts";
import { linearAxis, logarithmicAxis, percentileAxis } from "../../bench/harness/page/axis.ts";
import { escapeText } from "../../bench/harness/page/markup.ts";
import { renderPage } from "../../bench/harness/page/page.ts";
import type { BenchResults, ScenarioResult, Soak } from "../../bench/harness/results.ts";

const directory = fileURLToPath(new URL("../../bench/results", import.meta.url));
/** The largest of the runs that are kept. */
const stored = readResults(directory).reduce((largest, run) =>
	run.results.length > largest.results.length ? run : largest,
);
const comparison: Comparison[] = [
	{
		scenario: "core-append-1mib",
		ratio: 0.95,
		low: 0.9,
		high: 1.02,
		compared: "% of limit",
		verdict: "inconclusive",
	},
];

/** The stored results, with what every kind of chart needs. */
function results(): BenchResults {
	const paced = stored.results.find(({ latency }) => latency !== null) as ScenarioResult;
	const rate = stored.results.find(({ timeline }) => timeline !== null) as ScenarioResult;
	const curve = [1, 10, 100].map((count) => ({
		...paced,
		scenario: `curve-${count}`,
		curve: { of: "connections", count },
	}));
	const soak: Soak = {
		full_speed_records_per_second: 1_000,
		window_seconds: 30,
		windows: [1, 2, 3].map((window) => ({
			ends_at_seconds: window * 30,
			...(window === 2
				? { p50_us: null, p99_us: null, p999_us: null }
				: { p50_us: 100, p99_us: 200, p999_us: 300 }),
			anonymous_bytes: 20e6 + window,
			open_files: 30,
		})),
		trends: [],
	};
	const timeline = [0.1, 0.2, 0.3].map((seconds) => [seconds, seconds * 1e6] as const);
	return {
		...stored,
		command: 'millrace bench --directory "<here>"',
		results: [
			...stored.results,
			...curve,
			{ ...rate, scenario: "over-time", timeline },
			{ ...paced, scenario: "long", soak },
		],
	};
}

describe("the page of results", () => {
	const page = renderPage({ results: results(), comparison, regressionMax: 0.1 });

	test("needs no network and no script", () => {
		expect(page).not.toMatch(/<script|<link|<img|@import|url\(|https?:/);
	});

	test("names every scenario, and shows it in a chart", () => {
		for (const { scenario } of results().results) expect(page).toContain(`>${scenario}<`);
		expect(page.match(/<svg/g)?.length).toBeGreaterThan(6);
	});

	test("has each section", () => {
		const heads = [...page.matchAll(/<h2>([^<]*)</g)].map(([, head]) => head);
		expect(heads).toEqual([
			"Against the baseline",
			"Beside what the machine can do",
			"Latency",
			"Throughput over time",
			"Over a long run",
			"CPU time of the broker",
			"With more and more around",
			"All figures",
		]);
	});

	test("closes every element that it opens", () => {
		const open: string[] = [];
		for (const [, slash, name] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*>/g)) {
			if (name === "meta" || name === "br") continue;
			if (slash === "") open.push(name as string);
			else expect(open.pop()).toBe(name);
		}
		expect(open).toEqual([]);
	});

	test("draws nothing at a place that is no number", () => {
		expect(page).not.toMatch(/NaN|Infinity|undefined/);
	});

	test("holds text as text", () => {
		expect(page).toContain("--directory &quot;&lt;here&gt;&quot;");
		expect(escapeText("a & b")).toBe("a &amp; b");
	});

	test("leaves out what there is nothing to say about", () => {
		const bare = renderPage({
			results: { ...stored, roofline: null, results: [] },
			comparison: null,
			regressionMax: 0.1,
		});
		expect([...bare.matchAll(/<h2>([^<]*)</g)]).toEqual([]);
	});
});

describe("an axis", () => {
	test("of equal steps begins at 0 and ends at a round number", () => {
		const axis = linearAxis("MB/s", 1_730, String);
		expect(axis.ticks.map(({ at }) => at)).toEqual([0, 500, 1_000, 1_500, 2_000]);
		expect(axis.place(1_000)).toBe(0.5);
	});

	test("of powers of ten has all that lie around its values", () => {
		const axis = logarithmicAxis("us", [20, 3_000], String);
		expect(axis.ticks.map(({ at }) => at)).toEqual([10, 100, 1_000, 10_000]);
		expect(axis.place(1_000)).toBeCloseTo(2 / 3);
		expect(logarithmicAxis("us", [10, 10], String).to).toBe(100);
	});

	test("of percentiles gives each nine the same room", () => {
		const axis = percentileAxis(99.99);
		expect(axis.ticks.map(({ text }) => text)).toEqual(["p50", "p90", "p99", "p99.9", "p99.99"]);
		expect(axis.place(99)).toBeCloseTo(0.5);
	});
});
