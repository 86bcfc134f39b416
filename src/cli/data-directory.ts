/** Finding the data directory that a command is about. */
import { access, constants, readFile, stat } from "node:fs/promises";
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

/**
 * The core would make one of any directory: a mistyped name must not pass as an undamaged one.
 * Rejects with UsageError, also where this user may not know.
 */
export async function checkIsDataDirectory(directory: string): Promise<void> {
	try {
		await access(join(directory, "format.json"), constants.R_OK);
	} catch (cause) {
		const { code } = cause as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") {
			throw new UsageError(`${directory} is not a data directory of Millrace`, { cause });
		}
		const owner = await stat(directory).catch(() => undefined);
		const next = owner === undefined ? "" : `: ${await asUser(owner.uid)}`;
		throw new UsageError(`${directory} cannot be read by this user (${code})${next}`, { cause });
	}
}

/**
 * For commands that write to a data directory: root may write everywhere, but the broker could not
 * read what root has left there. Rejects with UsageError, also where there is no data directory.
 */
export async function checkMayWrite(directory: string): Promise<void> {
	await checkIsDataDirectory(directory);
	if (process.getuid?.() !== 0) return;
	// Whom the file belongs to is who the broker runs as, also where a volume is somebody else's.
	const { uid } = await stat(join(directory, "format.json"));
	if (uid === 0) return;
	const owner = await userName(uid);
	throw new UsageError(
		`${directory} is used by a broker that runs as ${owner ?? `user ${uid}`}, who could not read ` +
			`what root writes there; run this as that user: ${await asUser(uid)}`,
	);
}

/** How to give a command as a user. */
async function asUser(uid: number): Promise<string> {
	return `sudo -u ${(await userName(uid)) ?? `'#${uid}'`} millrace ...`;
}

/** The name of a user; undefined where the system's own file has none. */
async function userName(uid: number): Promise<string | undefined> {
	const text = await readFile("/etc/passwd", "utf8").catch(() => "");
	const users = text.split("\n").map((line) => line.split(":"));
	return users.find(([, , id]) => id === `${uid}`)?.[0];
}
