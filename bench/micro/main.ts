/**
 * What the single steps on the way of a record cost, with benchmark.js: `npm run bench:micro`, with
 * `-- --filter TEXT` for some of them and `-- --quick` to see only that they work. The core's inner
 * loops have their own, in Rust: `cargo bench`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import Benchmark from "benchmark";
import { Storage } from "#dist/storage/storage.js";

import { warmPageCache } from "../harness/page-cache.ts";
import { formatTable } from "../harness/report.ts";
import { clientCases } from "./client-cases.ts";
import { kafkaCases } from "./kafka-cases.ts";
import type { MicroCase } from "./micro-case.ts";
import { rooflineCases } from "./roofline-cases.ts";
import { storageCases } from "./storage-cases.ts";

interface Measured {
	readonly name: string;
	readonly perSecond: number;
	/** Relative margin of error, in per cent. */
	readonly marginPercent: number;
	readonly bytesPerSecond: number | null;
}

const QUICK_SECONDS = 0.01;
const SECONDS = 0.5;

/** What all cases together store, generously. */
const WARMED_BYTES = 4 * 1_073_741_824;

function measure({ name, bytes, run, isAsync }: MicroCase, seconds: number): Promise<Measured> {
	return new Promise((resolve, reject) => {
		const settle = (deferred: Benchmark.Deferred): void => {
			Promise.resolve(run()).then(() => deferred.resolve(), reject);
		};
		const benchmark = new Benchmark(name, isAsync === true ? settle : run, {
			async: true,
			defer: isAsync === true,
			maxTime: seconds,
			...(seconds === QUICK_SECONDS ? { minTime: QUICK_SECONDS, minSamples: 1 } : {}),
		});
		benchmark.on("error", () => {
			const { error } = benchmark as unknown as { error: Error };
			reject(new Error(`${name} failed`, { cause: error }));
		});
		benchmark.on("complete", () => {
			const perSecond = benchmark.hz;
			const bytesPerSecond = bytes === undefined ? null : bytes * perSecond;
			resolve({ name, perSecond, marginPercent: benchmark.stats.rme, bytesPerSecond });
		});
		benchmark.run();
	});
}

const { values: options } = parseArgs({
	options: {
		filter: { type: "string", default: "" },
		quick: { type: "boolean", default: false },
		json: { type: "boolean", default: false },
	},
});
const directory = await mkdtemp(join(tmpdir(), "millrace-micro-"));
await warmPageCache(directory, options.quick ? 0 : WARMED_BYTES);
const storage = await Storage.open({ dataDir: join(directory, "data") });
try {
	const cases = [
		...clientCases(),
		...kafkaCases(),
		...(await storageCases(storage)),
		...rooflineCases(),
	];
	const measured: Measured[] = [];
	for (const each of cases.filter(({ name }) => name.includes(options.filter))) {
		measured.push(await measure(each, options.quick ? QUICK_SECONDS : SECONDS));
	}
	const rows = measured.map(({ name, perSecond, marginPercent, bytesPerSecond }) => [
		name,
		Math.round(perSecond).toLocaleString("en"),
		(1e9 / perSecond).toFixed(0),
		`${marginPercent.toFixed(1)} %`,
		bytesPerSecond === null ? "" : (bytesPerSecond / 1e6).toFixed(0),
	]);
	const table = formatTable({ heads: ["step", "calls/s", "ns", "+-", "MB/s"], rows });
	process.stdout.write(options.json ? `${JSON.stringify(measured)}\n` : `${table}\n`);
} finally {
	await storage.close();
	await rm(directory, { recursive: true });
}
