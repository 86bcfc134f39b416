/**
 * How sure a ratio of two builds is, or a slope. The intervals hold whatever the distribution of
 * the rounds looks like: they are made of ranks alone, so that one disturbed round moves none far.
 */

/** The interval contains the true ratio with at least this probability. */
export const CONFIDENCE = 0.95;

/**
 * A median ratio and the interval around it; unbounded where there are too few rounds for one (JSON
 * has null for infinity).
 */
export interface Interval {
	readonly ratio: number;
	readonly low: number;
	readonly high: number;
}

/**
 * Of rounds that were run in pairs, one right behind the other: the interval of the median ratio by
 * the sign test. Six pairs are the fewest that have one.
 */
export function pairedInterval(ratios: readonly number[]): Interval {
	const sorted = sortedNumbers(ratios);
	return between(sorted, ranksWithin(binomialCounts(sorted.length)));
}

/**
 * Of rounds that were run at different times: all ratios of a round here to one there, and the part
 * of them that the rank sum test (Mann and Whitney) cannot rule out. Their median is Hodges' and
 * Lehmann's. Four rounds on each side are the fewest that have an interval.
 */
export function unpairedInterval(here: readonly number[], there: readonly number[]): Interval {
	const ratios = sortedNumbers(here.flatMap((mine) => there.map((other) => mine / other)));
	return between(ratios, ranksWithin(rankSumCounts(here.length, there.length)));
}

/** A slope and the interval around it; unbounded where there are too few points for one. */
export interface Slope {
	readonly slope: number;
	readonly low: number;
	readonly high: number;
}

/**
 * Of points in the order of `at`, no two at the same: the median of the slopes between any two
 * (Theil and Sen), and the part of them that Kendall's rank test cannot rule out. Five points are
 * the fewest that have an interval.
 */
export function slopeInterval(points: readonly (readonly [at: number, value: number])[]): Slope {
	const slopes = points.flatMap(([at, value], index) =>
		points.slice(index + 1).map(([later, other]) => (other - value) / (later - at)),
	);
	const { ratio, low, high } = between(
		sortedNumbers(slopes),
		ranksWithin(inversionCounts(points.length)),
	);
	// A ratio is never below 0, a slope may be.
	return { slope: ratio, low: high === Number.POSITIVE_INFINITY ? -high : low, high };
}

/** From the first to the last but `outside` on either end. */
function between(sorted: readonly number[], outside: number): Interval {
	const last = sorted.length - 1;
	const ratio = ((sorted[last >> 1] ?? Number.NaN) + (sorted[(last + 1) >> 1] ?? Number.NaN)) / 2;
	if (outside < 0) return { ratio, low: 0, high: Number.POSITIVE_INFINITY };
	return { ratio, low: sorted[outside] as number, high: sorted[last - outside] as number };
}

/**
 * How many ranks may be left out on either end: the largest number whose probability, with that of
 * all below, fits into half of what the confidence leaves; -1 where not even none does.
 */
function ranksWithin(counts: readonly number[]): number {
	const total = counts.reduce((sum, count) => sum + count, 0);
	let below = 0;
	for (const [rank, count] of counts.entries()) {
		below += count;
		if (below / total > (1 - CONFIDENCE) / 2) return rank - 1;
	}
	return -1;
}

/** In how many ways so many of `count` signs are positive. */
function binomialCounts(count: number): number[] {
	let row = [1];
	for (let signs = 0; signs < count; signs += 1) {
		row = [...row, 0].map((ways, index) => ways + (row[index - 1] ?? 0));
	}
	return row;
}

/**
 * In how many orders of `first` and `second` values exactly so many pairs have the first one in
 * front: the coefficients of a Gaussian binomial, factor by factor.
 */
function rankSumCounts(first: number, second: number): number[] {
	let counts = [1];
	for (let factor = 1; factor <= first; factor += 1) {
		const product = new Array<number>(factor * second + 1).fill(0);
		for (const index of product.keys()) {
			// (1 - q^(second + factor)) / (1 - q^factor), the division by a running sum.
			product[index] =
				(counts[index] ?? 0) -
				(counts[index - second - factor] ?? 0) +
				(product[index - factor] ?? 0);
		}
		counts = product;
	}
	return counts;
}

/** In how many orders of `count` values exactly so many pairs are the wrong way round. */
function inversionCounts(count: number): number[] {
	let counts = [1];
	for (let values = 2; values <= count; values += 1) {
		const sums = new Array<number>(counts.length + values - 1).fill(0);
		for (const [inversions, ways] of counts.entries()) {
			for (let more = 0; more < values; more += 1) {
				sums[inversions + more] = (sums[inversions + more] as number) + ways;
			}
		}
		counts = sums;
	}
	return counts;
}

function sortedNumbers(values: readonly number[]): number[] {
	return [...values].sort((a, b) => a - b);
}
