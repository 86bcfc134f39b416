import { readFile, statfs } from "node:fs/promises";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";

import type { Machine } from "./results.ts";

/** From blocks of 2^order pages on Linux tells its host that they are free. */
const REPORTING_ORDER = "/sys/module/page_reporting/parameters/page_reporting_order";

/** The highest that Linux takes: only whole blocks of 4 MiB go back, and later. */
const REPORTING_ORDER_HIGHEST = 10;

/** What whoever measures is told of a machine that gives its memory back. */
export const KEEP_FREE_MEMORY =
	"free memory goes back to this machine's host within seconds, and writes that need it again " +
	"are several times slower; while you measure, as root: " +
	`echo ${REPORTING_ORDER_HIGHEST} > ${REPORTING_ORDER}`;

/** Describes this machine; `directory` is where data will be written. */
export async function describeMachine(directory: string): Promise<Machine> {
	const processors = cpus();
	const { type: magic } = await statfs(directory);
	return {
		cpu: processors[0]?.model.trim() ?? "unknown",
		cpus: processors.length,
		memory_bytes: totalmem(),
		operating_system: `${type()} ${release()} ${arch()}`,
		node: process.version,
		file_system: `0x${magic.toString(16)}`,
		load_average: Math.round((loadavg()[0] ?? 0) * 100) / 100,
		reports_free_pages: await reportsFreePages(),
	};
}

/** What a machine was up to when its run began, as a part of a sentence. */
export function stateBefore({ load_average, reports_free_pages }: Machine): string {
	const load = `load average ${load_average} before the run`;
	return reports_free_pages ? `${load}; free memory went back to its host meanwhile` : load;
}

/** False also where the system does not tell. */
async function reportsFreePages(): Promise<boolean> {
	const order = await readFile(REPORTING_ORDER, "latin1").catch(() => "-1");
	return Number(order) >= 0 && Number(order) < REPORTING_ORDER_HIGHEST;
}
