import { describe, expect, test } from "vitest";

import { trendOf } from "../../bench/harness/trend.ts";

/** Windows around a level, by turns above and below it. */
const around = (level: (at: number) => number) =>
	Array.from({ length: 40 }, (_, at) => level(at) * (1 + (at % 2 === 0 ? 0.02 : -0.02)));

describe("over forty windows", () => {
	test("what stays is steady, and its change lies around none", () => {
		const { median, change, verdict } = trendOf(
			"p99",
			around(() => 500),
		);
		expect(verdict).toBe("steady");
		expect(median).toBeCloseTo(500, -2);
		expect(change?.low).toBeLessThanOrEqual(0);
		expect(change?.high).toBeGreaterThanOrEqual(0);
	});

	test("what doubles grows, by what it grew as a part of its median", () => {
		const { change, verdict } = trendOf(
			"memory",
			around((at) => 100 + (at * 100) / 39),
		);
		expect(verdict).toBe("grows");
		expect(change?.median).toBeCloseTo(100 / 150, 1);
	});

	test("what shrinks is steady", () => {
		expect(
			trendOf(
				"memory",
				around((at) => 200 - at),
			).verdict,
		).toBe("steady");
	});

	test("what jumps about says nothing", () => {
		const wild = Array.from({ length: 40 }, (_, at) => 10 ** (((at * 7) % 5) / 2));
		expect(trendOf("p99", wild).verdict).toBe("inconclusive");
	});

	test("windows of which nothing is known are left out", () => {
		const values = around(() => 500).map((value, at) => (at % 3 === 0 ? null : value));
		expect(trendOf("p99", values).verdict).toBe("steady");
	});
});

test("nothing is said of nothing", () => {
	const unknown = { what: "memory", median: null, change: null, verdict: "inconclusive" };
	expect(trendOf("memory", [null, null])).toEqual(unknown);
});
