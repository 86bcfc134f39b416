/** What the text of a scrape says. */
export interface Series {
	/** Type by name of metric. */
	readonly families: ReadonlyMap<string, string>;
	/** The value of one line; undefined where there is none. */
	value(name: string, labels: Readonly<Record<string, string>>): number | undefined;
}

/** Reads Prometheus' text format, as far as it is needed. */
export function seriesOf(text: string): Series {
	const families = new Map<string, string>();
	const values = new Map<string, number>();
	for (const line of text.split("\n")) {
		const [, family, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
		if (family !== undefined && type !== undefined) families.set(family, type);
		const [, name, labels = "", value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
		if (name === undefined) continue;
		const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map((pair) => [pair[1], pair[2]]);
		values.set(keyOf(name, Object.fromEntries(pairs)), Number(value));
	}
	return { families, value: (name, labels) => values.get(keyOf(name, labels)) };
}

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
	const sorted = Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1));
	return JSON.stringify([name, sorted]);
}
