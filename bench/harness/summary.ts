/** Rounds of a scenario put together. */
import type {
	Beside,
	Latency,
	ProcessCost,
	RooflineShare,
	RoundFigure,
	ScenarioResult,
} from "./results.ts";
import { median } from "./roofline.ts";
import type { RoundResult } from "./scenario.ts";

/**
 * The median round; of an even number, the worse one of the two in the middle. A round that is the
 * median one by its figure may be any by another: latencies, parts of a limit, and what the broker
 * used are each the median of all. Throws RangeError without rounds.
 */
export function summarize(scenario: string, rounds: readonly RoundResult[]): ScenarioResult {
	const bestFirst = [...rounds].sort((a, b) => worth(b) - worth(a));
	const middle = bestFirst[bestFirst.length >> 1];
	if (middle === undefined) throw new RangeError(`${scenario} has no rounds`);
	const medianOf = (value: (round: RoundResult) => number | null | undefined) =>
		medianOrNull(rounds.map(value));
	return {
		scenario,
		...middle,
		latency: medianLatency(middle.latency, rounds, ({ latency }) => latency),
		beside: medianBeside(middle.beside, rounds),
		roofline: medianShare(middle.roofline, rounds),
		broker: medianCost(middle.broker, rounds),
		cpu_beside_bare_loop: medianOf((round) => round.cpu_beside_bare_loop),
		rounds: rounds.map(roundFigure),
	};
}

/** More is better; a figure that is not known is the worst. */
function worth({ figure: { value, better } }: RoundResult): number {
	if (value === null) return Number.NEGATIVE_INFINITY;
	return better === "more" ? value : -value;
}

function roundFigure({ figure, latency, beside, ...round }: RoundResult): RoundFigure {
	// At a light load it is a few ticks of the system's clock.
	const broker = figure.unit === "records/s" ? round.broker : null;
	return {
		value: figure.value,
		percent: round.roofline?.percent ?? null,
		cpu_us_per_record: broker?.cpu_us_per_record ?? null,
		cpu_seconds_per_gib: broker?.cpu_seconds_per_gib ?? null,
		cpu_beside_bare_loop: round.cpu_beside_bare_loop ?? null,
		seconds: round.seconds,
		p50_us: latency?.p50_us ?? null,
		p99_us: latency?.p99_us ?? null,
		beside_p50_us: beside?.latency.p50_us ?? null,
		beside_p99_us: beside?.latency.p99_us ?? null,
	};
}

/** Of an even number the higher one in the middle; null unless all are known. */
function medianOrNull(values: readonly (number | null | undefined)[]): number | null {
	const known = values.filter((value) => value !== null && value !== undefined);
	return known.length === values.length && known.length > 0 ? median(known) : null;
}

/** Percentile by percentile; the distribution, for a plot, is that of the median round. */
function medianLatency(
	middle: Latency | null,
	rounds: readonly RoundResult[],
	latencyOf: (round: RoundResult) => Latency | null | undefined,
): Latency | null {
	if (middle === null) return null;
	const at = (name: Exclude<keyof Latency, "distribution">) =>
		medianOrNull(rounds.map((round) => latencyOf(round)?.[name]));
	return {
		p50_us: at("p50_us"),
		p90_us: at("p90_us"),
		p99_us: at("p99_us"),
		p999_us: at("p999_us"),
		p9999_us: at("p9999_us"),
		max_us: at("max_us") ?? middle.max_us,
		distribution: middle.distribution,
	};
}

function medianBeside(middle: Beside | null, rounds: readonly RoundResult[]): Beside | null {
	if (middle === null) return null;
	const latency = medianLatency(middle.latency, rounds, ({ beside }) => beside?.latency);
	return { name: middle.name, latency: latency ?? middle.latency };
}

/** Of parts the lower one in the middle, which is the worse one. */
function medianShare(
	middle: RooflineShare | null,
	rounds: readonly RoundResult[],
): RooflineShare | null {
	const shares = rounds.flatMap(({ roofline }) => (roofline === null ? [] : [roofline]));
	if (middle === null || shares.length < rounds.length) return middle;
	const percent = -median(shares.map((share) => -share.percent));
	return { ...middle, value: median(shares.map(({ value }) => value)), percent };
}

function medianCost(
	middle: ProcessCost | null,
	rounds: readonly RoundResult[],
): ProcessCost | null {
	const costs = rounds.flatMap(({ broker }) => (broker === null ? [] : [broker]));
	if (middle === null || costs.length < rounds.length) return middle;
	return {
		cpu_seconds: median(costs.map((cost) => cost.cpu_seconds)),
		cpu_seconds_per_gib: median(costs.map((cost) => cost.cpu_seconds_per_gib)),
		cpu_us_per_record: median(costs.map((cost) => cost.cpu_us_per_record)),
		anonymous_bytes_max: median(costs.map((cost) => cost.anonymous_bytes_max)),
	};
}
