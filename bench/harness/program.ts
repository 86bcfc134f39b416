/** Other programs of a run, from their start to their end. */
import { spawn } from "node:child_process";

import { endWithRun } from "./interruption.ts";

/** How a program has ended, and what it wrote to those of its outputs that were piped. */
export interface Ended {
	/** Its exit code, or the signal that ended it. */
	readonly status: number | string | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** Where a program writes: to this one's own output, or into what is returned. */
export type Output = "inherit" | "pipe";

/** Runs a program of Node to its end. Rejects where it cannot be started. */
export async function runProgram(
	file: string,
	parameters: readonly string[],
	stdout: Output,
	stderr: Output,
): Promise<Ended> {
	// It has brokers and directories of its own to take away.
	const child = endWithRun(
		spawn(process.execPath, [file, ...parameters], { stdio: ["ignore", stdout, stderr] }),
		"SIGTERM",
	);
	const texts = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"] as const) {
		child[name]?.setEncoding("utf8").on("data", (part: string) => {
			texts[name] += part;
		});
	}
	const status = await new Promise<number | string | null>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code, signal) => resolve(code ?? signal));
	});
	return { status, ...texts };
}
