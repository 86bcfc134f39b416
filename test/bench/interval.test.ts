import { describe, expect, test } from "vitest";

import {
	CONFIDENCE,
	pairedInterval,
	slopeInterval,
	unpairedInterval,
} from "../../bench/harness/interval.ts";
import { seed } from "../seed.ts";

/** Random numbers from 0 to 1 that a seed repeats (mulberry32). */
function randomOf(start: number): () => number {
	let state = start;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

describe("six ratios of rounds in pairs", () => {
	const ratios = [1.02, 0.97, 1.1, 0.99, 1.05, 0.9];

	test("have an interval from the lowest to the highest", () => {
		const { ratio, low, high } = pairedInterval(ratios);
		expect(ratio).toBeCloseTo(1.005);
		expect([low, high]).toEqual([0.9, 1.1]);
	});

	test("leave a disturbed round out where there are nine", () => {
		const { low, high } = pairedInterval([...ratios, 1, 1, 0.1]);
		expect([low, high]).toEqual([0.9, 1.05]);
	});

	test("are the fewest that have one", () => {
		expect(pairedInterval(ratios.slice(1))).toMatchObject({ low: 0, high: Infinity });
	});
});

describe("rounds that were not run in pairs", () => {
	test("have the interval that the rank sum test's table gives five and five", () => {
		// Critical value 2: two of the 25 ratios are left out on either end.
		const here = [1, 2, 3, 4, 5].map((value) => 100 + value);
		const ratios = here.flatMap((mine) => here.map((other) => mine / other)).sort((a, b) => a - b);
		const { ratio, low, high } = unpairedInterval(here, here);
		expect(ratio).toBe(1);
		expect([low, high]).toEqual([ratios[2], ratios[22]]);
	});

	test("have none where three are held against three", () => {
		expect(unpairedInterval([1, 2, 3], [1, 2, 3])).toMatchObject({ low: 0, high: Infinity });
	});
});

describe("points at equal distances", () => {
	const line = [1, 3, 2, 4, 6, 5, 8, 7].map((value, at) => [at, value] as const);

	test("have the interval that the table of Kendall's test gives eight of them", () => {
		// P(S >= 18) is 0.0071 and P(S >= 16) 0.0156: five of the 28 slopes are left out on either end.
		const slopes = line
			.flatMap(([at, value]) =>
				line
					.filter(([later]) => later > at)
					.map(([later, other]) => (other - value) / (later - at)),
			)
			.sort((a, b) => a - b);
		const { slope, low, high } = slopeInterval(line);
		expect(slope).toBeCloseTo(((slopes[13] as number) + (slopes[14] as number)) / 2);
		expect([low, high]).toEqual([slopes[5], slopes[22]]);
		expect(low).toBeGreaterThan(0);
	});

	test("have one that one wild point does not move far", () => {
		const wild = line.map(([at, value]) => [at, at === 3 ? 1_000 : value] as const);
		expect(slopeInterval(wild).slope).toBeCloseTo(slopeInterval(line).slope, 0);
	});

	test("have none where they are four", () => {
		expect(slopeInterval(line.slice(0, 4))).toMatchObject({ low: -Infinity, high: Infinity });
	});
});

describe(`of builds whose true ratio is 0.9, disturbed now and then, seed ${seed}`, () => {
	const random = randomOf(seed);
	const noisy = (value: number): number => {
		const disturbed = random() < 0.2 ? 1 - random() / 3 : 1;
		return value * (1 + (random() - 0.5) / 10) * disturbed;
	};
	const rounds = (value: number) => Array.from({ length: 6 }, () => noisy(value));
	const contains = ({ low, high }: { low: number; high: number }) => low <= 0.9 && high >= 0.9;
	const REPETITIONS = 2_000;
	const part = (once: () => boolean) =>
		Array.from({ length: REPETITIONS }, once).filter(Boolean).length / REPETITIONS;

	test.for([
		[
			"pairs",
			() => {
				const there = rounds(1);
				return contains(pairedInterval(rounds(0.9).map((mine, i) => mine / (there[i] as number))));
			},
		],
		["rounds at different times", () => contains(unpairedInterval(rounds(0.9), rounds(1)))],
	] as const)("intervals of %s contain it as often as they promise", ([, once]) => {
		expect(part(once)).toBeGreaterThan(CONFIDENCE - 0.02);
	});
});
