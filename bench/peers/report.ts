/** A comparison for people: figures of every contender, and ratios to each peer. */
import type { Table } from "../harness/report.ts";
import type {
	ContenderDescription,
	ContenderRounds,
	GroupResults,
	PeerRound,
	PeerScenarioResults,
} from "./results.ts";

const MEGA = 1e6;
const GIBIBYTE = 1_073_741_824;

/** A figure of Millrace as a multiple of a peer's: of the median round, the lowest, the highest. */
export interface Ratio {
	readonly median: number;
	readonly min: number;
	readonly max: number;
}

/** A figure of a round, or null where it is not known. */
export type PeerFigure = (round: PeerRound) => number | null;

export const rateOf: PeerFigure = ({ records_per_second }) => records_per_second;
export const cpuOf: PeerFigure = ({ broker }) => broker?.cpu_seconds_per_gib ?? null;
const memoryOf: PeerFigure = ({ broker }) => broker?.anonymous_bytes_max ?? null;

/** Null where a figure is missing, or is 0: shorter than the clock of processes ticks. */
export function ratioOf(
	ours: ContenderRounds,
	theirs: ContenderRounds,
	figure: PeerFigure,
): Ratio | null {
	const ratios = ours.rounds.flatMap((round, index) => {
		const other = theirs.rounds[index];
		const [own, beside] = [figure(round), other === undefined ? null : figure(other)];
		return own && beside ? [own / beside] : [];
	});
	if (ratios.length !== ours.rounds.length || ratios.length === 0) return null;
	return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}

/** The mean of the two in the middle where the number is even. */
function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] ?? Number.NaN;
	return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

function medianOf({ rounds }: ContenderRounds, figure: PeerFigure): number | null {
	const values = rounds.map(figure).filter((value) => value !== null);
	return values.length === rounds.length ? median(values) : null;
}

/** One table a group; the ratios of a row are Millrace's figure as a multiple of that row's. */
export function peersTable({ peer, scenarios, contenders }: GroupResults): Table {
	return {
		heads: [
			`beside ${peer}`,
			"records/s",
			"MB/s",
			"broker CPU s/GiB",
			"memory MB",
			"client CPU s/GiB",
			"timed s",
			"uncounted",
			"Millrace: rate",
			"CPU",
			"memory",
		],
		rows: scenarios.flatMap((scenario) => [
			[scenario.scenario, ...Array.from({ length: 10 }, () => "")],
			...scenario.contenders.map((own) => row(scenario, own, titleOf(contenders, own))),
		]),
	};
}

/** For people. */
function titleOf(contenders: readonly ContenderDescription[], own: ContenderRounds): string {
	return contenders.find(({ contender }) => contender === own.contender)?.title ?? own.contender;
}

function row(scenario: PeerScenarioResults, own: ContenderRounds, title: string): string[] {
	const { record_bytes, contenders } = scenario;
	const rate = medianOf(own, rateOf) ?? Number.NaN;
	const clientCost = medianOf(own, ({ client_cpu_seconds, records }) =>
		client_cpu_seconds === null ? null : (client_cpu_seconds / (records * record_bytes)) * GIBIBYTE,
	);
	const memory = medianOf(own, memoryOf);
	const [ours] = contenders;
	const ratios =
		ours === undefined || ours === own
			? ["", "", ""]
			: [rateOf, cpuOf, memoryOf].map((figure) => describeRatio(ratioOf(ours, own, figure)));
	return [
		`  ${title}`,
		Math.round(rate).toLocaleString("en"),
		((rate * record_bytes) / MEGA).toFixed(1),
		medianOf(own, cpuOf)?.toFixed(2) ?? "-",
		memory === null ? "-" : (memory / MEGA).toFixed(0),
		clientCost?.toFixed(2) ?? "-",
		medianOf(own, ({ seconds }) => seconds)?.toFixed(2) ?? "-",
		describeUncounted(own),
		...ratios,
	];
}

/** A run that was gone on with has started its brokers anew, and had other numbers of them. */
function describeUncounted({ rounds }: ContenderRounds): string {
	const known = rounds.flatMap(({ uncounted_rounds: uncounted }) => uncounted ?? []);
	if (known.length === 0) return "-";
	const [fewest, most] = [Math.min(...known), Math.max(...known)];
	return fewest === most ? `${most}` : `${fewest}-${most}`;
}

function describeRatio(ratio: Ratio | null): string {
	if (ratio === null) return "-";
	const [middle, min, max] = [ratio.median, ratio.min, ratio.max].map((value) =>
		value.toFixed(value >= 100 ? 0 : value >= 0.1 ? 2 : 3),
	);
	return `${middle}x (${min}-${max})`;
}

const COMPARED: readonly [PeerFigure, (ratio: Ratio) => boolean, string, string][] = [
	[rateOf, ({ median }) => median < 1, "is faster", "rate"],
	[cpuOf, ({ median }) => median > 1, "uses less CPU", "CPU"],
	[memoryOf, ({ median }) => median > 1, "uses less memory", "memory"],
];

/** A line for every figure in which a peer is better. */
export function peersWins({ scenarios, contenders }: GroupResults): string[] {
	return scenarios.flatMap(({ scenario, contenders: [ours, ...theirs] }) =>
		theirs.flatMap((own) =>
			COMPARED.flatMap(([figure, isLost, how, what]) => {
				const ratio = ours === undefined ? null : ratioOf(ours, own, figure);
				if (ratio === null || !isLost(ratio)) return [];
				const title = titleOf(contenders, own);
				return [`${scenario}: ${title} ${how} (Millrace has ${describeRatio(ratio)} its ${what})`];
			}),
		),
	);
}

/** What made the load, each once. */
export function loadsOf({ scenarios }: GroupResults): string[] {
	return [...new Set(scenarios.map(({ load }) => load))];
}

/** Who was measured, and what its ack waits for. */
export function settingsTable({ contenders }: GroupResults): Table {
	return {
		heads: ["contender", "version", "written", "flushed"],
		rows: contenders.map(({ title, version, written, flushed }) => [
			title,
			version,
			written,
			flushed,
		]),
	};
}
