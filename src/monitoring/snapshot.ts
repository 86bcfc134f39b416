/** The values of all metrics at a moment, metric by metric. */
import { METRICS, type MetricName } from "../metrics.ts";
import { LATENCY_BOUNDS } from "./latency.ts";

/** One line of the answer to a scrape. */
export interface Sample {
	/** Absent: the metric's own. */
	readonly metricName?: string;
	readonly labels: Readonly<Record<string, string | number>>;
	readonly value: number;
}

export class Snapshot {
	readonly #samples = new Map<MetricName, Sample[]>();

	/** Notes a value, with what its labels are, in their order. */
	set(name: MetricName, value: number, ...labels: readonly string[]): void {
		this.#of(name).push({ labels: labelled(name, labels), value });
	}

	/** Notes a histogram: how many took how long, as `Latencies` has them. */
	setLatencies(
		name: MetricName,
		counts: Float64Array,
		seconds: number,
		...labels: readonly string[]
	): void {
		const own = labelled(name, labels);
		const samples = this.#of(name);
		let sum = 0;
		for (const [index, bound] of LATENCY_BOUNDS.entries()) {
			sum += counts[index] as number;
			const le = { ...own, le: bound };
			samples.push({ metricName: `${name}_bucket`, labels: le, value: sum });
		}
		sum += counts[LATENCY_BOUNDS.length] as number;
		const all = { ...own, le: "+Inf" };
		samples.push({ metricName: `${name}_bucket`, labels: all, value: sum });
		samples.push({ metricName: `${name}_sum`, labels: own, value: seconds });
		samples.push({ metricName: `${name}_count`, labels: own, value: sum });
	}

	/** In the order in which they were noted. */
	samples(name: MetricName): readonly Sample[] {
		return this.#samples.get(name) ?? [];
	}

	#of(name: MetricName): Sample[] {
		let samples = this.#samples.get(name);
		if (samples === undefined) {
			samples = [];
			this.#samples.set(name, samples);
		}
		return samples;
	}
}

function labelled(name: MetricName, values: readonly string[]): Record<string, string> {
	const { labels } = METRICS[name];
	return Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""]));
}
