/**
 * Copies a data directory while a broker uses it, without asking the broker for anything.
 *
 * What makes the copy consistent is the order, and looking twice:
 *
 * - Files of a log only grow at their end, or give way to others. So a partition is copied and then
 *   looked at again: where a file that was copied has gone, or another one has its name, retention
 *   or compaction came in between, and the partition is copied anew. Otherwise each log is copied up
 *   to where it was when its turn came, perhaps with half a batch at its end, which recovery cuts.
 * - Committed offsets first: a group may read again, but never begins behind the end of a log.
 * - The metadata file last: it has handed out every producer id that is in the logs. It is read
 *   until two readings are equal; then nothing was committed between them. Meanwhile what was
 *   created since gets its directories, without records: so no topic of the metadata lacks one.
 * - `format.json` at the very end: until then the copy is no data directory.
 *
 * The checkpoint stays behind, so a start believes nothing but closed segments and reads the rest.
 */
import { constants } from "node:fs";
import { copyFile, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type DataFile, filesIn, type PartitionFiles, partitionsOf } from "./data-files.ts";

const METADATA_FILE = "metadata.redb";
const FORMAT_FILE = "format.json";
const PARTITION_FILE = "partition.json";
const OFFSETS_TOPIC = "__consumer_offsets";
const DIRECTORY_MODE = 0o700;
/** A partition changes by retention or compaction: not this often while it is copied. */
const ATTEMPTS_MAX = 20;
/** Commits to the metadata take milliseconds, and come when somebody changes a topic. */
const METADATA_ATTEMPTS_MAX = 200;
const METADATA_PAUSE_MS = 25;

/** What a copy is made of. */
export interface BackupCounts {
	partitions: number;
	files: number;
	bytes: number;
}

/**
 * Copies the data directory `from` to the directory `to`, which is empty, durably. Throws what the
 * file system says, and where something changes faster than it can be copied.
 */
export async function copyDataDirectory(
	from: string,
	to: string,
	onPartition: (done: BackupCounts) => void = () => undefined,
): Promise<BackupCounts> {
	const counts: BackupCounts = { partitions: 0, files: 0, bytes: 0 };
	const copied = new Set<string>();
	const partitions = [...partitionsOf(from)];
	const isFirst = ({ topic }: PartitionFiles) => topic === OFFSETS_TOPIC;
	for (const { path } of [
		...partitions.filter(isFirst),
		...partitions.filter((partition) => !isFirst(partition)),
	]) {
		await copyPartition(from, to, path, counts);
		copied.add(path);
		counts.partitions += 1;
		onPartition(counts);
	}
	await copyMetadata(from, to, counts, async () => {
		for (const { path, files } of partitionsOf(from)) {
			if (copied.has(path)) continue;
			const own = files.filter(({ name }) => name === PARTITION_FILE);
			await copyFiles(join(from, path), join(to, path), own, counts);
			copied.add(path);
		}
	});
	await copyWhole(join(from, FORMAT_FILE), join(to, FORMAT_FILE), counts);
	await syncTree(to);
	return counts;
}

/** Copies a partition as it is at one moment. One that is deleted meanwhile is left out. */
async function copyPartition(
	from: string,
	to: string,
	path: string,
	counts: BackupCounts,
): Promise<void> {
	for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		const before = filesIn(join(from, path));
		const wanted = before.filter(({ name }) => !name.endsWith(".tmp")).sort(hintsFirst);
		const isWhole = await copyFiles(join(from, path), join(to, path), wanted, counts);
		const after = new Map(filesIn(join(from, path)).map(({ name, inode }) => [name, inode]));
		const isUnchanged = before
			.filter((file) => !isHint(file) && !file.name.endsWith(".tmp"))
			.every(({ name, inode }) => after.get(name) === inode);
		if (isWhole && isUnchanged) return;
		await rm(join(to, path), { recursive: true });
		if (after.size === 0) return;
	}
	throw new Error(`${path} changes faster than it can be copied: try again when less is deleted`);
}

/** What is made again where it is not right. */
const isHint = ({ name }: DataFile) => /\.(index|timeindex|snapshot)$/.test(name);

/** Hints tell of no more than is in a log that is copied behind them. */
function hintsFirst(left: DataFile, right: DataFile): number {
	const [leftRank, rightRank] = [left, right].map((file) => (isHint(file) ? 0 : 1)) as [
		0 | 1,
		0 | 1,
	];
	return leftRank - rightRank || (left.name < right.name ? -1 : 1);
}

/** Copies files of a directory; `false` when one that is no hint has gone. */
async function copyFiles(
	from: string,
	to: string,
	files: readonly DataFile[],
	counts: BackupCounts,
): Promise<boolean> {
	await mkdir(to, { recursive: true, mode: DIRECTORY_MODE });
	let isWhole = true;
	for (const file of files) {
		try {
			await copyWhole(join(from, file.name), join(to, file.name), counts);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
			isWhole &&= isHint(file);
		}
	}
	return isWhole;
}

/** One file, of which the file system shares the blocks where it can. */
async function copyWhole(from: string, to: string, counts: BackupCounts): Promise<void> {
	await copyFile(from, to, constants.COPYFILE_FICLONE);
	await makeDurable(to, counts);
}

async function makeDurable(path: string, counts: BackupCounts): Promise<void> {
	const file = await open(path, "r+");
	try {
		await file.datasync();
		counts.bytes += (await file.stat()).size;
		counts.files += 1;
	} finally {
		await file.close();
	}
}

/**
 * A file that is written in place, by a transaction at a time: as it was all the while that
 * `meanwhile` took.
 */
async function copyMetadata(
	from: string,
	to: string,
	counts: BackupCounts,
	meanwhile: () => Promise<void>,
): Promise<void> {
	let before = await readFile(join(from, METADATA_FILE));
	for (let attempt = 0; attempt < METADATA_ATTEMPTS_MAX; attempt++) {
		await meanwhile();
		const after = await readFile(join(from, METADATA_FILE));
		if (after.equals(before)) {
			await writeFile(join(to, METADATA_FILE), after, { mode: 0o600 });
			return await makeDurable(join(to, METADATA_FILE), counts);
		}
		before = after;
		await sleep(METADATA_PAUSE_MS);
	}
	throw new Error("the metadata changes faster than it can be copied: try again later");
}

/** Makes the names in a copy durable: the files are. */
async function syncTree(root: string): Promise<void> {
	const partitions = [...partitionsOf(root)].map(({ path }) => path);
	const topics = partitions.map((path) => join(path, ".."));
	for (const path of new Set([...partitions, ...topics, "logs", "."])) {
		const directory = await open(join(root, path));
		try {
			await directory.sync();
		} finally {
			await directory.close();
		}
	}
}
