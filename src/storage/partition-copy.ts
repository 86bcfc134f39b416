/**
 * Copies the files of a partition that a broker may be writing to, as they are at one moment.
 *
 * A log's files only grow at their end, or give way to others of their name. So after copying the
 * directory is looked at again: where a file that was copied has gone, or another one has its name,
 * retention or compaction came in between, and what has changed is copied anew. Otherwise each
 * segment is copied up to where it was when its turn came, perhaps with half a batch at its end,
 * which recovery cuts.
 */
import { constants } from "node:fs";
import { copyFile, type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";

import { type DataFile, filesIn } from "./data-files.ts";

const DIRECTORY_MODE = 0o700;
/** Each time only what has changed is copied, which takes less and less. */
const ATTEMPTS_MAX = 50;

/** What a copy is made of. */
export interface BackupCounts {
	partitions: number;
	files: number;
	bytes: number;
}

/** A file of the original that has been copied. */
interface Copied {
	readonly inode: bigint;
	/** It stays open, so that no other file is given its inode. */
	readonly handle: FileHandle;
	/** Nothing is written to it any more. */
	readonly isComplete: boolean;
}

/**
 * Copies a partition. One that is deleted meanwhile is left out. Throws where it changes faster
 * than it can be copied.
 */
export async function copyPartition(
	source: string,
	target: string,
	counts: BackupCounts,
): Promise<void> {
	const copied = new Map<string, Copied>();
	try {
		for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
			if (await isCopied(source, target, copied, counts)) return;
		}
		throw new Error(
			`${source} changes faster than it can be copied: try again when it changes less`,
		);
	} finally {
		for (const { handle } of copied.values()) await handle.close();
	}
}

/** Copies what is not copied yet; whether nothing changed meanwhile. */
async function isCopied(
	source: string,
	target: string,
	copied: Map<string, Copied>,
	counts: BackupCounts,
): Promise<boolean> {
	await mkdir(target, { recursive: true, mode: DIRECTORY_MODE });
	const files = filesIn(source).filter(({ name }) => !name.endsWith(".tmp"));
	const lasting = files.filter((file) => !isAlwaysCopied(file));
	for (const { name } of filesIn(target)) {
		const file = lasting.find((other) => other.name === name);
		const before = copied.get(name);
		if (before?.isComplete === true && before.inode === file?.inode) continue;
		await before?.handle.close();
		copied.delete(name);
		await rm(join(target, name));
	}
	for (const file of files.filter(isAlwaysCopied)) {
		// What has gone meanwhile is made again, or tells of a start before which nothing is left.
		await unlessMissing(copyWhole(join(source, file.name), join(target, file.name), counts));
	}
	const lastLog = lasting.filter(({ name }) => name.endsWith(".log")).at(-1)?.name;
	for (const file of lasting) {
		if (copied.has(file.name)) continue;
		const handle = await openListed(source, file);
		if (handle === undefined) return false;
		const isComplete = file.name !== lastLog && !file.name.endsWith(".cleaned");
		copied.set(file.name, { inode: file.inode, handle, isComplete });
		const path = join(target, file.name);
		if (!(await unlessMissing(copyWhole(join(source, file.name), path, counts)))) return false;
	}
	const after = new Map(filesIn(source).map(({ name, inode }) => [name, inode]));
	if (after.size === 0) {
		await rm(target, { recursive: true });
		return true;
	}
	return lasting.every(({ name, inode }) => after.get(name) === inode);
}

/**
 * Hints, which are made again where they are not right, and the log start. They are copied ahead of
 * the logs, and so tell of no more than is in those; any that was true meanwhile will do.
 */
const isAlwaysCopied = ({ name }: DataFile) =>
	/\.(index|timeindex|snapshot)$/.test(name) || name === "start.json";

/** The file that was listed; undefined when another one has its name by now. */
async function openListed(
	directory: string,
	{ name, inode }: DataFile,
): Promise<FileHandle | undefined> {
	let handle: FileHandle | undefined;
	await unlessMissing(
		open(join(directory, name)).then((opened) => {
			handle = opened;
		}),
	);
	if (handle === undefined || (await handle.stat({ bigint: true })).ino === inode) return handle;
	await handle.close();
	return undefined;
}

/** `false` when the file was not there. */
async function unlessMissing(work: Promise<void>): Promise<boolean> {
	try {
		await work;
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
		return false;
	}
}

/** One file, durably; the file system shares its blocks where it can. */
export async function copyWhole(from: string, to: string, counts: BackupCounts): Promise<void> {
	await copyFile(from, to, constants.COPYFILE_FICLONE);
	await makeDurable(to, counts);
}

/** Has a file of the copy written to the disk, and counts it. */
export async function makeDurable(path: string, counts: BackupCounts): Promise<void> {
	const file = await open(path, "r+");
	try {
		await file.datasync();
		counts.bytes += (await file.stat()).size;
		counts.files += 1;
	} finally {
		await file.close();
	}
}
