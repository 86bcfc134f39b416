/** What docs/operating.md and docs/monitoring/ say of metrics is what there is. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { METRICS } from "../../src/metrics.ts";
import { useBroker } from "../kafka/use-broker.ts";
import { MISSING_PROMTOOL, promtoolBinary } from "../optional-parts.ts";
import { seriesOf } from "./series.ts";

const documents = new URL("../../docs/", import.meta.url);
const page = readFileSync(new URL("operating.md", documents), "utf8");

test("the table of metrics in docs/operating.md is that of src/metrics.ts", () => {
	const rows = Object.entries(METRICS).map(([name, { type, labels, help }]) => {
		const named = labels.map((label) => `\`${label}\``).join(", ");
		return `| \`${name}\` | ${type} | ${named} | ${help} |`;
	});
	const table = ["| metric | type | labels | what |", "|---|---|---|---|", ...rows].join("\n");
	const [, written] = /(\| metric \| type [\s\S]*?)\n\n/.exec(page) ?? [];
	expect(written).toBe(table);
});

const used = useBroker();
const scrape = async () => (await fetch(`${used.broker.addresses.http}/metrics`)).text();

describe.each(["alerts.yaml", "grafana.json"])("docs/monitoring/%s", (name) => {
	const file = new URL(`monitoring/${name}`, documents);
	const text = readFileSync(file, "utf8");
	/** What stands where a metric would in an expression. */
	const metrics = [...new Set(text.match(/\b(?:millrace|process|nodejs)_[a-z0-9_]+/g))];

	test("names only metrics that there are", async () => {
		const { families } = seriesOf(await scrape());
		expect(metrics.length).toBeGreaterThan(10);
		const known = (metric: string) =>
			families.has(metric) ||
			families.get(metric.replace(/_(bucket|count|sum)$/, "")) === "histogram";
		expect(metrics.filter((metric) => !known(metric))).toEqual([]);
	});

	test("selects by labels that the metrics have", () => {
		const selected = [...text.matchAll(/\b(millrace_[a-z0-9_]+)\{([^}]*)\}/g)];
		for (const [, metric = "", selector = ""] of selected) {
			const name = metric.replace(/_(bucket|count|sum)$/, "") as keyof typeof METRICS;
			const labels: readonly string[] = METRICS[name].labels;
			const asked = [...selector.matchAll(/(\w+)=/g)].map(([, label]) => label as string);
			const foreign = asked.filter((label) => !["instance", "job", ...labels].includes(label));
			expect(foreign, metric).toEqual([]);
		}
	});
});

test("promtool finds nothing wrong with a scrape, nor with the alert rules", async (context) => {
	const promtool = promtoolBinary() ?? context.skip(MISSING_PROMTOOL);
	const checked = spawnSync(promtool, ["check", "metrics"], { input: await scrape() });
	expect([checked.status, `${checked.stdout}`, `${checked.stderr}`]).toEqual([0, "", ""]);
	const alerts = fileURLToPath(new URL("monitoring/alerts.yaml", documents));
	const rules = spawnSync(promtool, ["check", "rules", "--lint-fatal", alerts]);
	expect([rules.status, `${rules.stderr}`]).toEqual([0, ""]);
	const broken = spawnSync(promtool, ["check", "metrics"], { input: "not a metric\n" });
	expect(broken.status).not.toBe(0);
});
