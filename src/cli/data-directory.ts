/** Finding the data directory that a command is about. */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";

import { loadConfig } from "../config/load.ts";
import { flagName, OPTIONS } from "../config/options.ts";
import { UsageError } from "./exit-code.ts";

/** The data directory that a broker with this configuration would use. */
export async function directoryOf(
	file: string | undefined,
	dataDir: string | undefined,
): Promise<string> {
	const flags = { config: file, [flagName(OPTIONS.dataDir)]: dataDir };
	const { config } = await loadConfig({ flags, environment: process.env });
	return resolve(config.dataDir);
}

/** The core would make one of any directory: a mistyped name must not pass as an undamaged one. */
export async function checkIsDataDirectory(directory: string): Promise<void> {
	try {
		await access(join(directory, "format.json"));
	} catch (cause) {
		throw new UsageError(`${directory} is not a data directory of Millrace`, { cause });
	}
}
