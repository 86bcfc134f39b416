/** Lines, bars and intervals as SVG: they need no script and no network. */
import type { Axis } from "./axis.ts";
import { element, escapeText, label, line } from "./markup.ts";

export interface Series {
	readonly name: string;
	readonly points: readonly (readonly [x: number, y: number])[];
	/** What it is compared with, not what was measured. */
	readonly isReference?: boolean;
}

export interface Limit {
	readonly name: string;
	readonly value: number;
}

export interface LineChart {
	readonly title: string;
	readonly x: Axis;
	readonly y: Axis;
	readonly series: readonly Series[];
	readonly limit?: Limit;
}

const WIDTH = 480;
const HEIGHT = { withLegend: 270, without: 254 };
const PLOT = { left: 58, right: 464, top: 22, bottom: 216 };

/** As many as the style sheet has. */
const COLORS = 6;

export function lineChart({ title, x, y, series, limit }: LineChart): string {
	const at = ([valueX, valueY]: readonly [number, number]) =>
		[
			PLOT.left + x.place(valueX) * (PLOT.right - PLOT.left),
			PLOT.bottom - y.place(valueY) * (PLOT.bottom - PLOT.top),
		] as const;
	// A single line is called what the chart is.
	const hasLegend = series.length > 1;
	const drawn = series.map(({ points, isReference = false }, index) => {
		const path = points.map((point) =>
			at(point)
				.map((value) => value.toFixed(1))
				.join(" "),
		);
		const className = isReference ? "series reference" : `series color${index % COLORS}`;
		return element("path", { d: `M${path.join("L")}`, class: className });
	});
	const content = [
		...y.ticks.map((tick) => {
			const [, height] = at([x.from, tick.at]);
			return (
				line([PLOT.left, height], [PLOT.right, height], "grid") +
				label(PLOT.left - 6, height + 4, tick.text, "end")
			);
		}),
		...x.ticks.map((tick) => {
			const [along] = at([tick.at, y.from]);
			return (
				line([along, PLOT.top], [along, PLOT.bottom], "grid") +
				label(along, PLOT.bottom + 16, tick.text, "middle")
			);
		}),
		label(PLOT.right, PLOT.bottom + 31, x.title, "end", "axis"),
		label(PLOT.left - 6, PLOT.top - 11, y.title, "end", "axis"),
		...(limit === undefined ? [] : [limitLine(at([x.from, limit.value])[1], limit.name)]),
		...drawn,
		hasLegend ? legend(series) : "",
	];
	return figure(title, WIDTH, HEIGHT[hasLegend ? "withLegend" : "without"], content.join(""));
}

function limitLine(height: number, name: string): string {
	return (
		line([PLOT.left, height], [PLOT.right, height], "limit") +
		label(PLOT.right, height - 4, name, "end", "limit-label")
	);
}

/** Beneath the plot; one line, of which the names are short. */
function legend(series: readonly Series[]): string {
	let left = PLOT.left;
	const entries = series.map(({ name, isReference = false }, index) => {
		const className = isReference ? "series reference" : `series color${index % COLORS}`;
		const y = HEIGHT.withLegend - 10;
		const entry = line([left, y - 4], [left + 16, y - 4], className) + label(left + 21, y, name);
		left += 34 + name.length * LETTER_WIDTH;
		return entry;
	});
	return entries.join("");
}

/** Of the labels' font, about. */
const LETTER_WIDTH = 6.2;

export interface Bar {
	readonly name: string;
	readonly value: number;
	/** What stands behind it. */
	readonly text: string;
	/** A limit of its own. */
	readonly limit?: Limit;
}

const BAR_WIDTH = 980;
const BAR_HEIGHT = 24;
const BARS = { left: 250, right: 800, top: 8 };

/** One bar beneath the other, with a limit for each, for all, or none. */
export function barChart(title: string, bars: readonly Bar[], axis: Axis, limit?: Limit): string {
	const bottom = BARS.top + bars.length * BAR_HEIGHT;
	const along = (value: number) =>
		BARS.left + Math.min(1, axis.place(value)) * (BARS.right - BARS.left);
	const rows = bars.map((bar, index) => {
		const top = BARS.top + index * BAR_HEIGHT;
		const end = along(bar.value);
		const own = bar.limit;
		const mark = own && along(own.value);
		return [
			label(BARS.left - 8, top + 15, bar.name, "end"),
			element("rect", {
				...{ x: BARS.left, y: top + 4, width: Math.max(1, end - BARS.left), height: 15 },
				...{ rx: 2, class: "bar" },
			}),
			mark === undefined ? "" : line([mark, top + 1], [mark, top + 22], "mark"),
			label(Math.max(end, mark ?? 0) + 6, top + 15, bar.text, "start", "value"),
		].join("");
	});
	const content = [
		...axis.ticks.map(
			({ at, text }) =>
				line([along(at), BARS.top], [along(at), bottom], "grid") +
				label(along(at), bottom + 15, text, "middle"),
		),
		...rows,
		...(limit === undefined
			? []
			: [
					line([along(limit.value), BARS.top], [along(limit.value), bottom], "limit"),
					label(along(limit.value) + 4, bottom + 30, limit.name, "middle", "limit-label"),
				]),
		label(BARS.right + 170, bottom + 15, axis.title, "end", "axis"),
	];
	return figure(title, BAR_WIDTH, bottom + 38, content.join(""), "wide");
}

export interface IntervalRow {
	readonly name: string;
	readonly ratio: number;
	readonly low: number;
	readonly high: number;
	readonly verdict: string;
}

/** Ratios with their intervals around 1; `bound` is the least that is allowed. */
export function intervalChart(title: string, rows: readonly IntervalRow[], bound: number): string {
	const reach = Math.max(
		...rows.map(({ low, high }) => Math.max(high, 1 / Math.max(low, 0.1))),
		1 / bound,
		1.1,
	);
	const width = Math.log(Math.min(reach * 1.05, 10));
	const along = (ratio: number) => {
		const part = (Math.log(Math.max(ratio, 1e-9)) / width + 1) / 2;
		return BARS.left + Math.min(1, Math.max(0, part)) * (BARS.right - BARS.left);
	};
	const bottom = BARS.top + rows.length * BAR_HEIGHT;
	const drawn = rows.map(({ name, ratio, low, high, verdict }, index) => {
		const middle = BARS.top + index * BAR_HEIGHT + 12;
		const text = `${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}) ${verdict}`;
		return [
			label(BARS.left - 8, middle + 4, name, "end"),
			line([along(low), middle], [along(high), middle], `interval ${verdict}`),
			element("circle", { cx: along(ratio), cy: middle, r: 4, class: `dot ${verdict}` }),
			label(BARS.right + 8, middle + 4, text, "start", "value"),
		].join("");
	});
	const content = [
		line([along(1), BARS.top], [along(1), bottom], "grid"),
		label(along(1), bottom + 15, "as before", "middle"),
		line([along(bound), BARS.top], [along(bound), bottom], "limit"),
		label(along(bound), bottom + 30, `${bound.toFixed(2)}: allowed`, "middle", "limit-label"),
		...drawn,
	];
	return figure(title, BAR_WIDTH + 70, bottom + 38, content.join(""), "wide");
}

function figure(
	title: string,
	width: number,
	height: number,
	content: string,
	className = "",
): string {
	const drawing = element(
		"svg",
		{ viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
		content,
	);
	const caption = element("figcaption", {}, escapeText(title));
	return element("figure", { class: className }, caption + drawing);
}
