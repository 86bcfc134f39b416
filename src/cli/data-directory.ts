/** Finding the data directory that a command is about. */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";

import { flagName, loadConfig, OPTIONS } from "../config.ts";
import { UsageError } from "./exit-code.ts";

/** The data directory that a broker with this configuration would use. */
export function directoryOf(file: string | undefined, dataDir: string | undefined): string {
	const flags = { config: file, [flagName(OPTIONS.dataDir)]: dataDir };
	return resolve(loadConfig({ flags, environment: process.env }).config.dataDir);
}

/** The core would make one of any directory: a mistyped name must not pass as an undamaged one. */
export async function checkIsDataDirectory(directory: string): Promise<void> {
	try {
		await access(join(directory, "format.json"));
	} catch (cause) {
		throw new UsageError(`${directory} is not a data directory of Millrace`, { cause });
	}
}
