/**
 * What is left of a broker that ends by an error which nobody caught, and of a panic of its storage
 * core: a file in the data directory for whoever has to find out why. Of an error it holds Node's
 * diagnostic report - the error with its stack, the heap, the event loop's handles, limits, loaded
 * libraries - without the environment, which has secrets; of a panic its place, message, thread and
 * backtrace.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { loadNative } from "./native.ts";
import { VERSION } from "./version.ts";

/** Where they lie, below the data directory. */
const DIRECTORY = "crashes";
const FILE_NAME = /^(?:crash|panic)-([\dTZ-]+)\.(?:json|txt)$/;
/** A broker that is started again after each crash would fill the disk. */
const REPORTS_MAX = 10;

/**
 * Writes the report of an error; returns its path, or why there is none: whoever ends has to go on
 * ending. The oldest make room.
 */
export function writeCrashReport(dataDir: string, thrown: unknown): string | Error {
	const error = thrown instanceof Error ? thrown : new Error(String(thrown));
	try {
		const directory = join(dataDir, DIRECTORY);
		mkdirSync(directory, { recursive: true, mode: 0o700 });
		removeOldest(directory, REPORTS_MAX - 1);
		// Names of network peers would be asked for one by one. The types do not know of it yet.
		Object.assign(process.report, { excludeNetwork: true });
		const { environmentVariables: _, ...report } = process.report.getReport(error) as Record<
			string,
			unknown
		>;
		const path = join(directory, `crash-${timeInName()}.json`);
		const content = { version: VERSION, error: error.stack ?? String(error), ...report };
		writeFileSync(path, `${JSON.stringify(content, null, "\t")}\n`, { mode: 0o600 });
		return path;
	} catch (failure) {
		return failure instanceof Error ? failure : new Error(String(failure));
	}
}

/**
 * Has the panics of this process written to files there as well, from now on; to be called once a
 * process. Those of earlier ones make room; returns why they could not, which is no reason to end.
 */
export function reportPanics(dataDir: string): Error | null {
	const directory = join(dataDir, DIRECTORY);
	loadNative().reportPanics(join(directory, `panic-${timeInName()}`));
	try {
		if (existsSync(directory)) removeOldest(directory, REPORTS_MAX);
		return null;
	} catch (failure) {
		return failure as Error;
	}
}

/** The time now, as names of reports have it: they sort by it. */
const timeInName = () => new Date().toISOString().replaceAll(/[:.]/g, "-");

function removeOldest(directory: string, kept: number): void {
	const timeOf = (name: string) => FILE_NAME.exec(name)?.[1] ?? "";
	const names = readdirSync(directory).filter((name) => FILE_NAME.test(name));
	names.sort((left, right) => (timeOf(left) < timeOf(right) ? -1 : 1));
	for (const name of names.slice(0, Math.max(names.length - kept, 0))) {
		rmSync(join(directory, name));
	}
}
