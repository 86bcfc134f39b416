/** From values to places in a drawing. */

export interface Tick {
	readonly at: number;
	readonly text: string;
}

export interface Axis {
	readonly title: string;
	readonly from: number;
	readonly to: number;
	readonly ticks: readonly Tick[];
	/** How far along the axis a value is, from 0 to 1. */
	place(value: number): number;
}

/** From 0 to a round number at or above `most`. */
export function linearAxis(title: string, most: number, format: (value: number) => string): Axis {
	const step = roundStep(most / 4);
	const count = Math.max(1, Math.ceil(most / step - 1e-9));
	const to = step * count;
	const ticks = Array.from({ length: count + 1 }, (_, index) => step * index);
	return {
		title,
		from: 0,
		to,
		ticks: ticks.map((at) => ({ at, text: format(at) })),
		place: (value) => value / to,
	};
}

/** From the power of ten at or below `least` to the one at or above `most`. */
export function logarithmicAxis(
	title: string,
	[least, most]: readonly [number, number],
	format: (value: number) => string,
): Axis {
	const first = Math.floor(Math.log10(least) + 1e-9);
	const last = Math.max(first + 1, Math.ceil(Math.log10(most) - 1e-9));
	const ticks = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
	return {
		title,
		from: 10 ** first,
		to: 10 ** last,
		ticks: ticks.map((at) => ({ at, text: format(at) })),
		place: (value) => (Math.log10(value) - first) / (last - first),
	};
}

/** Percentiles, each nine as wide as the one before. */
export function percentileAxis(most: number): Axis {
	const nines = (percentile: number) => -Math.log10(1 - percentile / 100);
	const shown = [50, 90, 99, 99.9, 99.99, 99.999].filter((at) => at <= most + 1e-9);
	const to = Math.max(1, nines(most));
	return {
		title: "percentile",
		from: 0,
		to: most,
		ticks: shown.map((at) => ({ at, text: `p${at}` })),
		place: (value) => nines(value) / to,
	};
}

/** 1, 2 or 5 times a power of ten, at or above `least`. */
function roundStep(least: number): number {
	const power = 10 ** Math.floor(Math.log10(Math.max(least, 1e-9)));
	const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= least * (1 - 1e-9)) ?? 10;
	return factor * power;
}
