/** Results as one HTML page that needs nothing else: what `millrace bench --html` writes. */
import type { Comparison } from "../compare.ts";
import { stateBefore } from "../machine.ts";
import { besideBareLoop, resultTables, type Table, timedParts } from "../report.ts";
import type { BenchResults, ScenarioResult, SoakWindow } from "../results.ts";
import { bareLoopCost } from "../roofline.ts";
import { type Axis, linearAxis, logarithmicAxis, percentileAxis } from "./axis.ts";
import { type Bar, barChart, intervalChart, lineChart, type Series } from "./charts.ts";
import { element, escapeText } from "./markup.ts";
import { STYLE } from "./style.ts";

const MEGA = 1e6;

export interface PageOptions {
	readonly results: BenchResults;
	/** Null where the run was held against nothing. */
	readonly comparison: readonly Comparison[] | null;
	/** The part of its speed that a scenario was allowed to lose. */
	readonly regressionMax: number;
}

export function renderPage({ results, comparison, regressionMax }: PageOptions): string {
	const sections = [
		...(comparison === null ? [] : [comparisonSection(comparison, regressionMax)]),
		limitSection(results),
		latencySection(results),
		throughputSection(results),
		soakSection(results),
		costSection(results),
		curveSection(results),
		section("All figures", "", resultTables(results).map(table).join("")),
	];
	const title = `Millrace ${results.millrace}: benchmark of ${results.started_at.slice(0, 10)}`;
	return [
		'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
		'<meta name="viewport" content="width=device-width, initial-scale=1">',
		element("title", {}, escapeText(title)),
		element("style", {}, STYLE),
		"</head><body>",
		element("h1", {}, escapeText(title)),
		head(results),
		...sections,
		"</body></html>\n",
	].join("\n");
}

function head(results: BenchResults): string {
	const { machine, profile, command } = results;
	const gibibytes = (machine.memory_bytes / 1_073_741_824).toFixed(0);
	const where =
		`${machine.cpus} x ${machine.cpu}, ${gibibytes} GiB, ${machine.operating_system}, ` +
		`Node ${machine.node}; ${stateBefore(machine)}. ` +
		`Profile ${profile}: ${timedParts(results)}; shown are their medians.`;
	return element("p", {}, `${escapeText(where)}<br>${element("code", {}, escapeText(command))}`);
}

/** Nothing where there is nothing to show. */
function section(title: string, about: string, content: string): string {
	if (content === "") return "";
	const text = about === "" ? "" : element("p", {}, escapeText(about));
	return element("h2", {}, escapeText(title)) + text + content;
}

function charts(drawings: readonly string[]): string {
	return drawings.length === 0 ? "" : element("div", { class: "charts" }, drawings.join(""));
}

function comparisonSection(comparison: readonly Comparison[], regressionMax: number): string {
	const rows = comparison
		.filter(({ verdict }) => verdict !== "not compared")
		.map(({ scenario, compared, ...rest }) => ({
			name: `${scenario}${COMPARED_NAMES[compared] ?? ""}`,
			...rest,
		}));
	return section(
		"Against the baseline",
		"Ratios of this build to the baseline, with their 95 % intervals; more than 1 is better.",
		charts([intervalChart("this build / baseline", rows, 1 - regressionMax)]),
	);
}

/** What is not the speed of a scenario has its name behind that. */
const COMPARED_NAMES: Readonly<Record<string, string>> = { "broker CPU": ", CPU", p99: ", p99" };

function limitSection({ results }: BenchResults): string {
	const bars = results.flatMap(({ scenario, roofline }): Bar[] => {
		if (roofline === null) return [];
		const { percent, limit } = roofline;
		return [{ name: scenario, value: percent, text: `${percent.toFixed(0)} % of ${limit}` }];
	});
	if (bars.length === 0) return "";
	const most = Math.min(200, Math.max(100, ...bars.map(({ value }) => value)));
	const axis = linearAxis("", most, (value) => `${value} %`);
	const limit = { name: "what the machine can do", value: 100 };
	return section(
		"Beside what the machine can do",
		"Rates as a part of their limit, limits as a part of latencies: 100 % is as good as it gets.",
		charts([barChart("part of the limit that applies", bars, axis, limit)]),
	);
}

/** Each by itself, beside what it is compared with; those of a curve together. */
function latencySection({ results }: BenchResults): string {
	const single = results
		.filter(({ latency, curve }) => latency !== null && !isPaced(curve))
		.map(({ scenario, latency, beside }) =>
			latencyChart(scenario, [
				{ name: "measured", points: latency?.distribution ?? [] },
				...(beside === null
					? []
					: [{ name: beside.name, points: beside.latency.distribution, isReference: true }]),
			]),
		);
	const together = curvesOf(results).map(([of, points]) =>
		latencyChart(
			`paced produce: latency by the number of ${of}`,
			points.map(({ latency, curve }) => ({
				name: (curve?.count ?? 0).toLocaleString("en"),
				points: latency?.distribution ?? [],
			})),
		),
	);
	return section(
		"Latency",
		"From when a record was due, at a load that waits for nobody. Both axes are logarithmic.",
		charts([...single, ...together]),
	);
}

function latencyChart(title: string, all: readonly Series[]): string {
	// Of so few samples no percentile tells anything.
	const series = all.filter((one) => one.points.length > 0);
	const points = series.flatMap((one) => one.points);
	if (points.length === 0) return "";
	const times = points.map(([, us]) => us);
	return lineChart({
		title,
		x: percentileAxis(Math.max(...points.map(([percentile]) => percentile))),
		y: logarithmicAxis("", [Math.min(...times), Math.max(...times)], duration),
		series,
	});
}

function throughputSection({ results }: BenchResults): string {
	const drawings = results.flatMap(({ scenario, timeline, record_bytes, roofline }) => {
		if (timeline.length < 2) return [];
		const rates = rateOverTime(timeline).map(
			([seconds, rate]) => [seconds, (rate * record_bytes) / MEGA] as const,
		);
		const most = Math.max(...rates.map(([, rate]) => rate));
		const limit =
			roofline?.unit === "bytes/s"
				? { name: roofline.limit, value: roofline.value / MEGA }
				: undefined;
		const seconds = Math.max(...rates.map(([at]) => at));
		return [
			lineChart({
				title: scenario,
				x: linearAxis("seconds", seconds, (value) => String(Number(value.toFixed(2)))),
				y: linearAxis("MB/s", Math.max(most, limit?.value ?? 0) * 1.05, (value) =>
					value.toLocaleString("en"),
				),
				series: [{ name: "measured", points: rates }],
				...(limit === undefined ? {} : { limit }),
			}),
		];
	});
	return section(
		"Throughput over time",
		"Values only; the dashed line is the limit.",
		charts(drawings),
	);
}

/** Rates between neighbouring points of a timeline, each at the later one. */
function rateOverTime(timeline: ScenarioResult["timeline"]): [seconds: number, rate: number][] {
	return timeline.map(([seconds, records], index) => {
		const [secondsBefore, recordsBefore] = timeline[index - 1] ?? [0, 0];
		return [seconds, (records - recordsBefore) / (seconds - secondsBefore)];
	});
}

/** Each figure of a long run over time: latencies together, what the broker held by itself. */
function soakSection({ results }: BenchResults): string {
	const drawings = results.flatMap(({ scenario, soak }) => {
		if (soak === undefined) return [];
		const { windows } = soak;
		const x = linearAxis("seconds", windows.at(-1)?.ends_at_seconds ?? 0, (value) =>
			String(Number(value.toFixed(2))),
		);
		const series = (name: string, value: (window: SoakWindow) => number | null): Series => ({
			name,
			points: windows.flatMap((window) => {
				const found = value(window);
				return found === null ? [] : [[window.ends_at_seconds, found] as const];
			}),
		});
		const latencies = [
			series("p50", ({ p50_us }) => p50_us),
			series("p99", ({ p99_us }) => p99_us),
			series("p99.9", ({ p999_us }) => p999_us),
		];
		const megabytes = series("memory", ({ anonymous_bytes: bytes }) => bytes && bytes / MEGA);
		const files = series("open files", ({ open_files }) => open_files);
		return [
			soakChart(`${scenario}: latency`, x, latencies, (values) =>
				logarithmicAxis("", [Math.min(...values), Math.max(...values)], duration),
			),
			...[
				{ title: "anonymous memory of the broker", unit: "MB", one: megabytes },
				{ title: "open files of the broker", unit: "", one: files },
			].map(({ title, unit, one }) =>
				soakChart(`${scenario}: ${title}`, x, [one], (values) =>
					linearAxis(unit, Math.max(...values), (value) => value.toLocaleString("en")),
				),
			),
		];
	});
	return section(
		"Over a long run",
		"A load that the machine does easily, in windows: nothing should grow.",
		charts(drawings),
	);
}

/** Nothing where the system told nothing. */
function soakChart(
	title: string,
	x: Axis,
	series: readonly Series[],
	axisOf: (values: readonly number[]) => Axis,
): string {
	const values = series.flatMap(({ points }) => points.map(([, value]) => value));
	return values.length === 0 ? "" : lineChart({ title, x, y: axisOf(values), series });
}

function costSection({ results, roofline }: BenchResults): string {
	const bars = results.flatMap((result): Bar[] => {
		const cost = result.broker?.cpu_seconds_per_gib;
		if (cost === undefined || result.figure.unit !== "records/s") return [];
		const bare = bareLoopCost(result.roofline, roofline);
		const ratio = besideBareLoop(result, roofline);
		const name = result.scenario;
		if (bare === null || ratio === null) return [{ name, value: cost, text: cost.toFixed(2) }];
		const text = `${cost.toFixed(2)}, ${ratio.toFixed(1)} x the bare loop's`;
		return [{ name, value: cost, text, limit: { name: "bare loop", value: bare } }];
	});
	if (bars.length === 0) return "";
	const axis = linearAxis(
		"CPU s/GiB",
		Math.max(...bars.map(({ value, limit }) => Math.max(value, limit?.value ?? 0))),
		(value) => String(Number(value.toFixed(2))),
	);
	return section(
		"CPU time of the broker",
		"Seconds for a GiB of values. Marked: what a bare C++ loop takes that moves the same bytes.",
		charts([barChart("broker CPU s/GiB", bars, axis)]),
	);
}

/** Cost and latency over how many things there are. */
function curveSection({ results }: BenchResults): string {
	const drawings = curvesOf(results).flatMap(([of, points]) => {
		const counts = points.map(({ curve }) => curve?.count ?? 1);
		const cost = points.flatMap(({ broker, curve }) =>
			broker === null || curve === null
				? []
				: [[curve.count, broker.cpu_us_per_record] as [number, number]],
		);
		if (cost.length < 2) return [];
		const number = (value: number) => value.toLocaleString("en");
		return [
			lineChart({
				title: `broker CPU us a record, by the number of ${of}`,
				x: logarithmicAxis(of, [Math.min(...counts), Math.max(...counts)], number),
				y: linearAxis("us", Math.max(...cost.map(([, us]) => us)), number),
				series: [{ name: "paced produce", points: cost }],
			}),
		];
	});
	return section(
		"With more and more around",
		"The same work: what it costs should not depend on how many things exist.",
		charts(drawings),
	);
}

const CURVES: readonly string[] = ["connections", "partitions"];

function isPaced(curve: ScenarioResult["curve"]): boolean {
	return curve !== null && CURVES.includes(curve.of);
}

/** The scenarios of each curve that have latencies, in the order of their counts. */
function curvesOf(results: readonly ScenarioResult[]): [of: string, points: ScenarioResult[]][] {
	return CURVES.flatMap((of): [string, ScenarioResult[]][] => {
		const points = results.filter(({ curve, latency }) => curve?.of === of && latency !== null);
		return points.length === 0 ? [] : [[of, points]];
	});
}

function duration(us: number): string {
	if (us >= 1e6) return `${us / 1e6} s`;
	return us >= 1e3 ? `${us / 1e3} ms` : `${us} us`;
}

function table({ heads, rows }: Table): string {
	const row = (name: "th" | "td") => (cells: readonly string[]) =>
		element("tr", {}, cells.map((cell) => element(name, {}, escapeText(cell))).join(""));
	const content = row("th")(heads) + rows.map(row("td")).join("");
	return element("div", { class: "scroll" }, element("table", {}, content));
}
