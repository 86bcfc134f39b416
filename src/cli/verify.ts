/** `millrace verify`: checks every log of a data directory that no broker uses. */
import { resolve } from "node:path";
import { Command } from "commander";

import { flagName, loadConfig, OPTIONS } from "../config.ts";
import { MillraceError } from "../errors.ts";
import { type VerifyReport, verifyDataDirectory } from "../storage/verify.ts";
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
			if (process.stderr.isTTY) process.stderr.write(`checking ${directory} ...\n`);
			const report = await verifyDataDirectory(directory);
			process.stdout.write(`${json === true ? JSON.stringify(report) : describe(report)}\n`);
			if (report.findings.length > 0) {
				throw new MillraceError(
					"DATA_DAMAGED",
					"what is listed above cannot be read; a broker that starts here sets it aside",
				);
			}
		});
}

function describe({ logCount, recordCount, bytes, findings }: VerifyReport): string {
	const size = `${logCount} logs, ${recordCount} records, ${bytes} bytes`;
	if (findings.length === 0) return `${size}: no damage`;
	const lines = findings.map(({ subject, detail }) => `${subject}: ${detail}`);
	return [`${size}: ${findings.length} damaged places`, ...lines].join("\n");
}
