import { problem } from "../http/http.ts";
import type { Route } from "../http/router.ts";
import type { MetricSources } from "./collector.ts";
import type { Exporter } from "./exporter.ts";

/** `/metrics`; 503 while there is nothing to tell of: `sources` answers null. */
export function metricsRoute(sources: () => MetricSources | null): Route {
	let exporter: Promise<Exporter> | undefined;
	return {
		method: "GET",
		path: "/metrics",
		answer: async () => {
			const found = sources();
			if (found === null) return problem(503, "the broker starts or stops");
			// Only now: few starts of a broker are followed by a scrape at once.
			exporter ??= import("./exporter.ts").then(({ Exporter }) => new Exporter(found));
			const { contentType } = await exporter;
			const body = await (await exporter).text();
			return { status: 200, headers: { "content-type": contentType }, body };
		},
	};
}
