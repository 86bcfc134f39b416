/**
 * The answer to a scrape, in Prometheus' text format: the broker's metrics, and those that
 * prom-client has of the process. Loaded when the first scrape comes.
 */
import prom from "prom-client";

import { METRICS, type MetricName } from "../metrics.ts";
import { nextTurn } from "../next-turn.ts";
import { Collector, type MetricSources } from "./collector.ts";
import { Snapshot } from "./snapshot.ts";

/**
 * Of the process's own metrics: what lists a directory of the system or all objects of Node, which
 * holds the loop where there are many.
 */
const LEFT_OUT = [
	"process_open_fds",
	"nodejs_active_handles",
	"nodejs_active_handles_total",
	"nodejs_active_requests",
	"nodejs_active_requests_total",
	"nodejs_active_resources",
	"nodejs_active_resources_total",
];

/**
 * A metric whose values were gathered elsewhere: the library's own would have each of them set
 * through a table of its own first. It is a Gauge for its registration alone.
 */
class Collected extends prom.Gauge {
	readonly #metric: MetricName;
	readonly #snapshot: () => Snapshot;

	constructor(name: MetricName, snapshot: () => Snapshot, registry: prom.Registry) {
		const { labels, help } = METRICS[name];
		super({ name, help, labelNames: [...labels], registers: [registry] });
		this.#metric = name;
		this.#snapshot = snapshot;
	}

	override get() {
		const { help, type } = METRICS[this.#metric];
		const values = this.#snapshot().samples(this.#metric);
		const collected = { name: this.#metric, help, type, values: [...values], aggregator: "sum" };
		// The library's declarations call types by numbers; its code has them as strings.
		return Promise.resolve(collected as unknown as Awaited<ReturnType<prom.Gauge["get"]>>);
	}
}

export class Exporter {
	readonly contentType: string;
	readonly #registry = new prom.Registry();
	readonly #collector: Collector;
	#snapshot = new Snapshot();
	#running: Promise<string> | undefined;

	constructor(sources: MetricSources) {
		this.#collector = new Collector(sources);
		this.contentType = this.#registry.contentType;
		for (const name of Object.keys(METRICS) as MetricName[]) {
			new Collected(name, () => this.#snapshot, this.#registry);
		}
		prom.collectDefaultMetrics({ register: this.#registry });
		for (const name of LEFT_OUT) this.#registry.removeSingleMetric(name);
	}

	/** The text of now. Those who ask at the same time share it. */
	text(): Promise<string> {
		this.#running ??= this.#make().finally(() => {
			this.#running = undefined;
		});
		return this.#running;
	}

	async #make(): Promise<string> {
		this.#snapshot = await this.#collector.collect();
		const parts: string[] = [];
		for (const { name } of this.#registry.getMetricsAsArray()) {
			parts.push(await this.#registry.getSingleMetricAsString(name));
			// Thousands of lines are some milliseconds.
			await nextTurn();
		}
		this.#snapshot = new Snapshot();
		return `${parts.join("\n\n")}\n`;
	}
}
