/** Results for people: absolute, and as a part of what the hardware can do. */

import { KEEP_FREE_MEMORY } from "./machine.ts";
import type { BenchResults, Figure, RooflineFigures, ScenarioResult, Trend } from "./results.ts";
import { bareLoopCost, LIMIT, median } from "./roofline.ts";

const KILO = 1e3;
const MEGA = 1e6;
const GIBIBYTE = 1_073_741_824;

export interface Table {
	readonly heads: readonly string[];
	readonly rows: readonly (readonly string[])[];
}

/** Columns of numbers are all but the first. */
export function formatTable({ heads, rows }: Table): string {
	const widths = heads.map((head, column) =>
		Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
	);
	const line = (cells: readonly string[]) =>
		cells
			.map((cell, column) => {
				const width = widths[column] ?? 0;
				return column === 0 ? cell.padEnd(width) : cell.padStart(width);
			})
			.join("  ")
			.trimEnd();
	return [heads, ...rows].map(line).join("\n");
}

/** The same for a page. */
export function markdownTable({ heads, rows }: Table): string {
	const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
	const rule = heads.map((_, column) => (column === 0 ? "---" : "---:"));
	return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

function throughputTable({ results, roofline }: BenchResults): Table {
	return {
		heads: [
			"throughput",
			"records/s",
			"MB/s",
			"% of limit",
			"broker CPU s/GiB",
			"x bare loop's",
			"client CPU s/GiB",
			"seconds",
		],
		rows: results
			.filter(({ figure }) => figure.unit === "records/s")
			.map((result) => throughputRow(result, roofline)),
	};
}

function throughputRow(result: ScenarioResult, roofline: RooflineFigures | null): string[] {
	const bytes = result.records * result.record_bytes;
	return [
		result.scenario,
		Math.round(result.records_per_second).toLocaleString("en"),
		(result.bytes_per_second / MEGA).toFixed(1),
		percent(result),
		result.broker?.cpu_seconds_per_gib.toFixed(2) ?? "-",
		besideBareLoop(result, roofline)?.toFixed(1) ?? "-",
		((result.client_cpu_seconds / bytes) * GIBIBYTE).toFixed(2),
		timedSeconds(result),
	];
}

/** Of the timed part, which may end early, in the median round. */
function timedSeconds({ rounds, seconds }: ScenarioResult): string {
	const all = rounds.map((round) => round.seconds ?? seconds);
	return (all.length === 0 ? seconds : median(all)).toFixed(1);
}

/**
 * The broker's CPU time as a multiple of a bare loop's; null where none does the same. Files of
 * before it was kept have only what both were over all rounds.
 */
export function besideBareLoop(
	{ cpu_beside_bare_loop: kept, broker, roofline: share }: ScenarioResult,
	figures: RooflineFigures | null,
): number | null {
	if (kept !== undefined) return kept;
	const bare = bareLoopCost(share, figures);
	return broker === null || bare === null ? null : broker.cpu_seconds_per_gib / bare;
}

function latencyTable({ results }: BenchResults): Table {
	const rows = results.flatMap((result) => {
		const { scenario, figure, latency, beside, broker } = result;
		if (latency === null) return [];
		const cells = (of: typeof latency) =>
			[of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.p9999_us, of.max_us].map(
				(us) => us?.toFixed(0) ?? "-",
			);
		const own = [
			scenario,
			...cells(latency),
			percent(result, ` of ${figure.name}`),
			broker?.cpu_us_per_record.toFixed(1) ?? "-",
			timedSeconds(result),
		];
		const beneath = beside && [`  ${beside.name}`, ...cells(beside.latency), "", "", ""];
		return beneath === null ? [own] : [own, beneath];
	});
	return {
		heads: [
			...["latency in us", "p50", "p90", "p99", "p99.9", "p99.99", "max", "% of limit"],
			...["broker CPU us/record", "seconds"],
		],
		rows,
	};
}

/** Starts and memory. */
function otherTable({ results }: BenchResults): Table {
	return {
		heads: ["start and memory", "", "% of limit"],
		rows: results
			.filter(({ figure }) => figure.unit === "ms" || figure.unit === "bytes")
			.map((result) => [result.scenario, quantity(result.figure), percent(result)]),
	};
}

function extrasTable({ results }: BenchResults): Table {
	return {
		heads: ["also measured", "", ""],
		rows: results.flatMap(({ scenario, extras }) =>
			extras.map((extra) => [scenario, extra.name, quantity(extra)]),
		),
	};
}

/** What grew over a long run, in which every figure is of windows. */
function soakTable({ results }: BenchResults): Table {
	return {
		heads: ["over a long run", "median", "growth", "from", "to", "verdict"],
		rows: results.flatMap(({ scenario, soak }) =>
			(soak?.trends ?? []).map(({ what, median, change, verdict }) => [
				`${scenario}: ${what}`,
				quantity({ value: median, unit: UNITS[what] }),
				...[change?.median, change?.low, change?.high].map((part) =>
					Number.isFinite(part) ? `${((part as number) * 100).toFixed(1)} %` : "?",
				),
				verdict,
			]),
		),
	};
}

const UNITS = {
	p50: "us",
	p99: "us",
	"p99.9": "us",
	memory: "bytes",
	"open files": "files",
} as const satisfies Record<Trend["what"], string>;

/** Every table of results that has rows, in the order in which they are shown. */
export function resultTables(results: BenchResults): Table[] {
	const tables = [throughputTable, latencyTable, otherTable, soakTable, extrasTable].map((table) =>
		table(results),
	);
	if (results.roofline !== null) tables.push(rooflineTable(results.roofline));
	return tables.filter(({ rows }) => rows.length > 0);
}

interface Quantity {
	readonly value: number | null;
	readonly unit: Figure["unit"] | "files";
}

function quantity({ value, unit }: Quantity): string {
	if (value === null) return "-";
	if (unit === "bytes" && value >= MEGA) return `${(value / MEGA).toFixed(1)} MB`;
	if (unit === "bytes" && value >= KILO) return `${(value / KILO).toFixed(1)} KB`;
	return `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
}

function percent({ roofline }: Pick<ScenarioResult, "roofline">, ofWhat = ""): string {
	return roofline === null ? "-" : `${roofline.percent.toFixed(0)} %${ofWhat}`;
}

function rooflineTable(figures: RooflineFigures): Table {
	const rate = (value: number) => `${(value / MEGA).toFixed(0)} MB/s`;
	const cost = (value: number) => value.toFixed(2);
	return {
		heads: ["limits of this machine", ""],
		rows: [
			["memcpy", rate(figures.copy)],
			["CRC32C", rate(figures.crc32c)],
			[LIMIT.mapped, rate(figures.mapped_store)],
			[LIMIT.pwrite, rate(figures.pwrite_store)],
			[LIMIT.syncStream, rate(figures.sync_stream)],
			[LIMIT.receive, rate(figures.loopback_receive)],
			["  CPU s/GiB of the receiver", cost(figures.loopback_receive_cpu_seconds_per_gib)],
			[LIMIT.send, rate(figures.loopback_send)],
			["  CPU s/GiB of the sender", cost(figures.loopback_send_cpu_seconds_per_gib)],
			...limitRow(LIMIT.sendfile, figures.loopback_sendfile, rate),
			...limitRow("  CPU s/GiB of the sender", figures.loopback_sendfile_cpu_seconds_per_gib, cost),
			[LIMIT.sync, `${figures.sync_us.toFixed(0)} us`],
			...limitRow(LIMIT.syncPaced, figures.sync_paced_us, (us) => `${us.toFixed(0)} us`),
		],
	};
}

/** None for what this system, or an older file, does not have. */
function limitRow(
	name: string,
	value: number | undefined,
	text: (value: number) => string,
): string[][] {
	return value === undefined ? [] : [[name, text(value)]];
}

/** How often and how long scenarios are timed; the tables have what became of it. */
export function timedParts({ rounds, seconds }: BenchResults): string {
	return `${rounds} x ${seconds} s a scenario, or until as much is stored as the profile allows`;
}

/** Which limit each scenario is compared with: what the columns of per cents mean. */
export function limitsOf({ results }: BenchResults): string[] {
	return results.flatMap(({ scenario, roofline }) =>
		roofline === null ? [] : [`${scenario}: ${roofline.limit}`],
	);
}

/** What a terminal shows. */
export function describeResults(results: BenchResults): string {
	const { machine, millrace, profile } = results;
	const limits = limitsOf(results).map((line) => `  ${line}`);
	return [
		`millrace ${millrace}, profile ${profile}: ${timedParts(results)}; ` +
			`${machine.cpus} x ${machine.cpu}, node ${machine.node}, load ${machine.load_average}`,
		...resultTables(results).map(formatTable),
		["limits compared with:", ...limits].join("\n"),
		...(machine.reports_free_pages ? [KEEP_FREE_MEMORY] : []),
		"",
	].join("\n\n");
}
