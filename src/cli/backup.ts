/**
 * `millrace backup`: a copy of a data directory from which a broker can start, also while a broker
 * uses the original. Every record that was acknowledged before it began is in it.
 */
import { mkdir, readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { Command } from "commander";

import { flagName, OPTIONS } from "../config/options.ts";
import { copyDataDirectory } from "../storage/backup-copy.ts";
import type { BackupCounts } from "../storage/partition-copy.ts";
import type { RecoveryEntry } from "../storage/storage.ts";
import { checkIsDataDirectory, directoryOf } from "./data-directory.ts";
import { UsageError } from "./exit-code.ts";
import { type FileSystem, fileSystemAt } from "./file-systems.ts";
import { whileOpen } from "./open-directory.ts";
import { jsonOption } from "./options.ts";
import { formatBytes } from "./sizes.ts";

interface BackupOptions {
	readonly config?: string;
	readonly dataDir?: string;
	readonly json?: boolean;
}

export function backupCommand(): Command {
	return new Command("backup")
		.description("copy the data directory to a new one; a broker may be running")
		.argument("<directory>", "where to: a directory that is not there yet, or empty")
		.option("--config <file>", "the broker's configuration file, for its data.dir")
		.option(`--${flagName(OPTIONS.dataDir)} <dir>`, "the data directory (default: the broker's)")
		.addOption(jsonOption())
		.action(async (target: string, { config, dataDir, json }: BackupOptions) => {
			const [from, to] = [await directoryOf(config, dataDir), resolve(target)];
			await checkDirectories(from, to);
			const progress = process.stderr.isTTY ? tell : () => undefined;
			const counts = await copyDataDirectory(from, to, progress);
			// It proves that a broker can.
			const recovered = await whileOpen(to);
			const told = { ...counts, recovered };
			const text = json === true ? JSON.stringify(told) : describe(counts, to, recovered);
			process.stdout.write(`${text}\n`);
		});
}

async function checkDirectories(from: string, to: string): Promise<void> {
	await checkIsDataDirectory(from);
	if (`${to}/`.startsWith(`${from}/`)) throw new UsageError(`${to} is within ${from}`);
	checkTarget(to, await fileSystemAt(to));
	await mkdir(to, { recursive: true, mode: 0o700 });
	if ((await readdir(to)).length > 0) throw new UsageError(`${to} is not empty`);
}

/** Before anything is copied: the copy is opened in the end. Throws UsageError. */
export function checkTarget(to: string, { name, kind }: FileSystem): void {
	if (kind !== "network") return;
	throw new UsageError(
		`${to} is on ${name}, where no data directory can be opened, as this one is in the end: ` +
			"back up to a local disk, then copy the finished backup",
	);
}

function tell({ partitions, bytes }: BackupCounts): void {
	process.stderr.write(`\r\x1b[K${partitions} partitions, ${formatBytes(bytes)}`);
}

function describe(
	{ partitions, files, bytes }: BackupCounts,
	to: string,
	recovered: readonly RecoveryEntry[],
): string {
	const copied = `${partitions} partitions, ${files} files, ${formatBytes(bytes)}`;
	const sum = `${copied} copied to ${to} and opened`;
	return [sum, ...recovered.map(({ detail }) => detail)].join("\n");
}
