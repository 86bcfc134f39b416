import { statfs } from "node:fs/promises";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";

import type { Machine } from "./results.ts";

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
	};
}
