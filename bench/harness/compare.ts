/** Whether one build is slower than another: what `millrace bench` says against a baseline. */
import { type Interval, pairedInterval, unpairedInterval } from "./interval.ts";
import type { Table } from "./report.ts";
import type { BenchResults, Machine, RoundFigure, ScenarioResult } from "./results.ts";

export type Verdict = "ok" | "regression" | "inconclusive";

export interface Comparison extends Interval {
	readonly scenario: string;
	/**
	 * Parts of a limit; figures where none applies, or not the same one; the 99th percentile of
	 * latencies and the broker's CPU time a record, against a baseline of another time as multiples
	 * of an echo's and of a bare loop's; or why nothing was compared.
	 */
	readonly compared: "% of limit" | "figures" | "p99" | "broker CPU" | `transport ${string}`;
	readonly verdict: Verdict | "not compared";
}

/** A baseline that says nothing about this run. */
export class BaselineError extends Error {
	override readonly name = "BaselineError";
}

/** The part by which the memory of one machine may differ from one start to the next. */
const MEMORY_TOLERANCE = 0.02;

export interface CompareOptions {
	/** The part of its speed that a scenario may lose, from 0 to 1. */
	readonly regressionMax: number;
	/** Round by round, as they were run in turns. */
	readonly isPaired: boolean;
}

/** What a run measures, or is to measure. */
export interface MeasuredAs {
	readonly profile: string;
	readonly seconds: number;
	readonly scenarios: readonly string[];
}

/** Throws BaselineError for a baseline that has none of the scenarios, or measured differently. */
export function checkBaseline(baseline: BenchResults, run: MeasuredAs): void {
	for (const what of ["profile", "seconds"] as const) {
		if (baseline[what] === run[what]) continue;
		throw new BaselineError(
			`the baseline was measured with ${what} ${baseline[what]}, this run with ${run[what]}`,
		);
	}
	if (baseline.results.some(({ scenario }) => run.scenarios.includes(scenario))) return;
	throw new BaselineError("the baseline has none of these scenarios");
}

/**
 * Scenarios that both have. A ratio above 1 is better than the baseline, whatever is measured.
 * Throws BaselineError where they have none in common, or were measured differently.
 */
export function compareResults(
	baseline: BenchResults,
	current: BenchResults,
	options: CompareOptions,
): Comparison[] {
	const { profile, seconds, results } = current;
	const scenarios = results.map(({ scenario }) => scenario);
	checkBaseline(baseline, { profile, seconds, scenarios });
	return results.flatMap((result) => {
		const before = baseline.results.find(({ scenario }) => scenario === result.scenario);
		return before === undefined ? [] : compareScenario(before, result, options);
	});
}

/** What rounds are worth, more being better; null where one of them does not say. */
type Score = (round: RoundFigure) => number | null;

function compareScenario(
	before: ScenarioResult,
	now: ScenarioResult,
	options: CompareOptions,
): Comparison[] {
	const { scenario } = now;
	if (before.transport !== now.transport) {
		const compared = `transport ${before.transport} against ${now.transport}` as const;
		return [{ scenario, compared, ...NO_INTERVAL, verdict: "not compared" }];
	}
	const compare = (compared: Comparison["compared"], score: Score): Comparison[] => {
		const there = scores(before, score);
		const here = scores(now, score);
		if (there === null || here === null) return [];
		return [{ scenario, compared, ...compareRounds(here, there, options) }];
	};
	const isMore = now.figure.better === "more";
	const figures: Score = ({ value }) => (isMore ? value : inverse(value));
	// A part of something else says nothing of this part.
	const hasSameLimit = before.roofline?.limit === now.roofline?.limit;
	const normalized = hasSameLimit ? compare("% of limit", ({ percent }) => percent) : [];
	const speed = normalized.length > 0 ? normalized : compare("figures", figures);
	const scale = options.isPaired ? OF_A_PAIR : OF_ITS_ROUND;
	const tail = now.figure.name === "p99" ? [] : compare("p99", scale.tail);
	return [...speed, ...tail, ...compare("broker CPU", scale.cost)];
}

/** Both rounds of a pair had the same machine at the same time. */
const OF_A_PAIR: Record<"tail" | "cost", Score> = {
	tail: ({ p99_us: us }) => inverse(us ?? null),
	cost: ({ cpu_us_per_record: us }) => inverse(us),
};

/** At another time it was a slower or a faster one: what was measured beside tells. */
const OF_ITS_ROUND: Record<"tail" | "cost", Score> = {
	tail: ({ p99_us: us, beside_p99_us: beside }) => (us && beside ? beside / us : null),
	cost: ({ cpu_beside_bare_loop: multiple }) => inverse(multiple ?? null),
};

const NO_INTERVAL: Interval = { ratio: Number.NaN, low: 0, high: Number.POSITIVE_INFINITY };

/** Of what is better the less there is; null where it is not known, or nothing. */
function inverse(value: number | null): number | null {
	return value === null || value === 0 ? null : 1 / value;
}

function scores({ rounds }: ScenarioResult, score: Score): number[] | null {
	const all = rounds.map(score);
	return all.every((value) => value !== null) ? all : null;
}

function compareRounds(
	here: readonly number[],
	there: readonly number[],
	{ regressionMax, isPaired }: CompareOptions,
): Interval & { verdict: Verdict } {
	const interval = isPaired
		? pairedInterval(here.map((mine, round) => mine / (there[round] as number)))
		: unpairedInterval(here, there);
	return { ...interval, verdict: judge(interval, 1 - regressionMax) };
}

/** Only an interval that lies wholly on one side says anything. */
function judge({ low, high }: Interval, ratioMin: number): Verdict {
	if (high < ratioMin) return "regression";
	return low >= ratioMin ? "ok" : "inconclusive";
}

/**
 * A regression anywhere is one; without any, what is not sure makes the whole not sure, and so does
 * it where nothing was compared.
 */
export function overallVerdict(comparisons: readonly Comparison[]): Verdict {
	const verdicts = comparisons.map(({ verdict }) => verdict);
	if (verdicts.includes("regression")) return "regression";
	return verdicts.includes("inconclusive") || !verdicts.includes("ok") ? "inconclusive" : "ok";
}

/** In what two machines or their Node differ so that figures cannot be compared; null: nothing. */
export function machineDifference(one: Machine, other: Machine): string | null {
	for (const what of ["cpu", "cpus", "file_system", "node"] as const) {
		if (one[what] !== other[what]) return `${what} ${one[what]} against ${other[what]}`;
	}
	const [here, there] = [one.reports_free_pages, other.reports_free_pages];
	// Results of earlier versions do not say.
	if (here !== undefined && there !== undefined && here !== there) {
		return `reports_free_pages ${here} against ${there}`;
	}
	// A kernel update takes a little more or less of the same memory for itself.
	const ratio = one.memory_bytes / other.memory_bytes;
	if (Math.abs(ratio - 1) <= MEMORY_TOLERANCE) return null;
	return `memory_bytes ${one.memory_bytes} against ${other.memory_bytes}`;
}

export function comparisonTable(comparisons: readonly Comparison[]): Table {
	const times = (ratio: number) => (Number.isFinite(ratio) ? ratio.toFixed(3) : "?");
	return {
		heads: ["against the baseline", "ratio", "from", "to", "compared", "verdict"],
		rows: comparisons.map(({ scenario, ratio, low, high, compared, verdict }) => [
			scenario,
			times(ratio),
			times(low),
			times(high),
			compared,
			verdict,
		]),
	};
}
