/** Results for people: absolute, and as a part of what the hardware can do. */
import type { BenchResults, RooflineFigures, ScenarioResult } from "./results.ts";

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

export function throughputTable({ results }: BenchResults): Table {
	return {
		heads: [
			"throughput",
			"records/s",
			"MB/s",
			"% of limit",
			"broker CPU s/GiB",
			"client CPU s/GiB",
		],
		rows: results.filter(({ latency }) => latency === null).map(throughputRow),
	};
}

function throughputRow(result: ScenarioResult): string[] {
	const bytes = result.records * result.record_bytes;
	return [
		result.scenario,
		Math.round(result.records_per_second).toLocaleString("en"),
		(result.bytes_per_second / MEGA).toFixed(1),
		percent(result),
		result.broker?.cpu_seconds_per_gib.toFixed(2) ?? "-",
		((result.client_cpu_seconds / bytes) * GIBIBYTE).toFixed(2),
	];
}

export function latencyTable({ results }: BenchResults): Table {
	const rows = results.flatMap(({ scenario, latency, echo, ...result }) => {
		if (latency === null) return [];
		const cells = (of: typeof latency) =>
			[of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.max_us].map((us) => us.toFixed(0));
		const own = [scenario, ...cells(latency), percent(result)];
		return echo === null ? [own] : [own, ["  bare echo, paced alike", ...cells(echo), ""]];
	});
	return { heads: ["latency in us", "p50", "p90", "p99", "p99.9", "max", "% of limit"], rows };
}

function percent({ roofline }: Pick<ScenarioResult, "roofline">): string {
	return roofline === null ? "-" : `${roofline.percent.toFixed(0)} %`;
}

export function rooflineTable(figures: RooflineFigures): Table {
	const rate = (value: number) => `${(value / MEGA).toFixed(0)} MB/s`;
	const cost = (value: number) => value.toFixed(2);
	return {
		heads: ["limits of this machine", ""],
		rows: [
			["memcpy", rate(figures.copy)],
			["CRC32C", rate(figures.crc32c)],
			["mapped store with CRC32C", rate(figures.mapped_store)],
			["pwrite with CRC32C", rate(figures.pwrite_store)],
			["1 MiB writes with fdatasync", rate(figures.sync_stream)],
			["loopback TCP to file", rate(figures.loopback_receive)],
			["  CPU s/GiB of the receiver", cost(figures.loopback_receive_cpu_seconds_per_gib)],
			["mapped file to loopback TCP", rate(figures.loopback_send)],
			["  CPU s/GiB of the sender", cost(figures.loopback_send_cpu_seconds_per_gib)],
			["fdatasync of a small append", `${figures.sync_us.toFixed(0)} us`],
		],
	};
}

/** Which limit each scenario is compared with: what the columns of per cents mean. */
export function limitsOf({ results }: BenchResults): string[] {
	return results.flatMap(({ scenario, roofline }) =>
		roofline === null ? [] : [`${scenario}: ${roofline.limit}`],
	);
}

/** What a terminal shows. */
export function describeResults(results: BenchResults): string {
	const { machine, millrace, profile, seconds, rounds, roofline } = results;
	const tables = [throughputTable(results), latencyTable(results)].filter(
		({ rows }) => rows.length > 0,
	);
	if (roofline !== null) tables.push(rooflineTable(roofline));
	const limits = limitsOf(results).map((line) => `  ${line}`);
	return [
		`millrace ${millrace}, profile ${profile}: ${rounds} x ${seconds} s, ` +
			`${machine.cpus} x ${machine.cpu}, node ${machine.node}, load ${machine.load_average}`,
		...tables.map(formatTable),
		["limits compared with:", ...limits].join("\n"),
		"",
	].join("\n\n");
}
