/** `millrace verify`: checks every log of a data directory that no broker uses. */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command } from "commander";

import { flagName, loadConfig, OPTIONS } from "../config.ts";
import { type VerifyReport, verifyDataDirectory } from "../storage/verify.ts";
import { DamageFoundError, UsageError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";

interface VerifyOptions {
	readonly config?: string;
	readonly dataDir?: string;
	readonly json?: boolean;
}

export function verifyCommand(): Command {
	return new Command("verify")
		.description("check every log of a data directory while no broker uses it; changes nothing")
		.option("--config <file>", "the broker's configuration file, for its data.dir")
		.option(`--${flagName(OPTIONS.dataDir)} <dir>`, "the data directory (default: the broker's)")
		.addOption(jsonOption())
		.action(async ({ config: file, dataDir, json }: VerifyOptions) => {
			const flags = { config: file, [flagName(OPTIONS.dataDir)]: dataDir };
			const { config } = loadConfig({ flags, environment: process.env });
			const directory = resolve(config.dataDir);
			await checkIsDataDirectory(directory);
			if (process.stderr.isTTY) process.stderr.write(`checking ${directory} ...\n`);
			const report = await verifyDataDirectory(directory);
			process.stdout.write(`${json === true ? JSON.stringify(report) : describe(report)}\n`);
			if (report.findings.length > 0) {
				throw new DamageFoundError("a broker that starts here sets aside what cannot be read");
			}
		});
}

/** The core would make one of any directory: a mistyped name must not pass as an undamaged one. */
async function checkIsDataDirectory(directory: string): Promise<void> {
	try {
		await access(join(directory, "format.json"));
	} catch (cause) {
		throw new UsageError(`${directory} is not a data directory of Millrace`, { cause });
	}
}

function describe({ logCount, recordCount, bytes, findings }: VerifyReport): string {
	const places = findings.length === 1 ? "1 place is" : `${findings.length} places are`;
	const verdict = findings.length === 0 ? "no damage" : `${places} damaged`;
	const lines = findings.map(({ subject, detail }) => `${subject}: ${detail}`);
	return [`${logCount} logs, ${recordCount} records, ${bytes} bytes: ${verdict}`, ...lines].join(
		"\n",
	);
}
