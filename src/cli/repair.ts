/** `millrace repair`: cuts what cannot be read out of a data directory that no broker uses. */
import { Command } from "commander";

import { flagName, OPTIONS } from "../config/options.ts";
import {
	inventoryOf,
	type RepairAction,
	type RepairReport,
	repairDataDirectory,
} from "../storage/repair.ts";
import { planCatalogue } from "../topics/lost-catalogue.ts";
import { confirm } from "./confirm.ts";
import { checkIsDataDirectory, checkMayWrite, directoryOf } from "./data-directory.ts";
import { DamageFoundError, UsageError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";
import { formatBytes } from "./sizes.ts";

interface RepairCommandOptions {
	readonly config?: string;
	readonly dataDir?: string;
	readonly dryRun?: boolean;
	readonly yes?: boolean;
	readonly bringBack?: readonly string[];
	readonly json?: boolean;
}

export function repairCommand(): Command {
	return new Command("repair")
		.description(
			"cut what cannot be read out of a data directory while no broker uses it, after copying it " +
				"to salvage/ there, and make again what tells of topics and offsets",
		)
		.option("--config <file>", "the broker's configuration file, for its data.dir")
		.option(`--${flagName(OPTIONS.dataDir)} <dir>`, "the data directory (default: the broker's)")
		.option("--dry-run", "say what would be done and do nothing")
		.option("--yes", "do not ask")
		.option(
			"--bring-back <name>",
			"serve this directory of set-aside/ again; repeat for more",
			(name: string, before: readonly string[] = []) => [...before, name],
		)
		.addOption(jsonOption())
		.action(runRepair);
}

async function runRepair(options: RepairCommandOptions): Promise<void> {
	const { config, dataDir, dryRun = false, yes = false, bringBack = [], json } = options;
	const directory = await directoryOf(config, dataDir);
	await (dryRun ? checkIsDataDirectory : checkMayWrite)(directory);
	if (!dryRun && !yes && !(await confirm(`Repair ${directory}?`))) {
		throw new UsageError(
			`${directory} was not repaired: see what would be done with --dry-run, confirm with --yes`,
		);
	}
	if (process.stderr.isTTY) process.stderr.write(`reading ${directory} ...\n`);
	const catalogue = planCatalogue(await inventoryOf(directory), bringBack);
	const report = await repairDataDirectory(directory, {
		...catalogue,
		isDryRun: dryRun,
		// As a name of files: no colons.
		salvageName: new Date().toISOString().replaceAll(/[:.]/g, "-"),
	});
	process.stdout.write(`${json === true ? JSON.stringify(report) : describe(report)}\n`);
	if (report.problems.length > 0) {
		throw new DamageFoundError(`${count(report.problems.length, "thing")} could not be repaired`);
	}
	if (dryRun && report.actions.length > 0) {
		throw new DamageFoundError("nothing was changed; repair with --yes");
	}
}

function describe(report: RepairReport): string {
	const { logCount, recordCount, bytes, actions, problems, salvage } = report;
	const verb = report.isDryRun ? "would be done" : "done";
	const lines = [
		`${logCount} logs, ${recordCount} records, ${formatBytes(bytes)} are whole: ` +
			(actions.length === 0 ? "nothing to repair" : `${count(actions.length, "thing")} ${verb}`),
		...actions.map(describeAction),
		...problems.map(({ subject, detail }) => `${subject}: NOT REPAIRED: ${detail}`),
	];
	if (salvage !== undefined) lines.push(`what was cut out, and this report: ${salvage}`);
	return lines.join("\n");
}

function describeAction(action: RepairAction): string {
	const { subject, detail, file, fromOffset, toOffset, position, bytes, salvagedTo } = action;
	const offsets =
		fromOffset === undefined
			? ""
			: toOffset === undefined
				? `offsets from ${fromOffset} on: `
				: `offsets ${fromOffset} to ${toOffset}: `;
	const place = position === undefined ? "" : `, ${bytes} bytes from ${position} on`;
	const where = file === "" ? "" : ` (${file}${place})`;
	const kept = salvagedTo === undefined ? "" : `, kept as ${salvagedTo}`;
	return `${subject}: ${offsets}${detail}${where}${kept}`;
}

function count(number: number, noun: string): string {
	return number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
}
