/**
 * The files of a data directory as the file system tells of them: no lock is needed, a broker may
 * be running. What lies where is in docs/storage-format.md.
 */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What stat(2) counts blocks in, whatever the file system's are. */
const BLOCK_BYTES = 512;

export interface DataFile {
	readonly name: string;
	/** Changes when another file takes its place. */
	readonly inode: bigint;
	/** Its size, as `ls` shows it. */
	readonly bytes: number;
	/** What it takes on the disk. */
	readonly allocatedBytes: number;
	readonly modifiedMs: number;
}

export interface PartitionFiles {
	/** Where they lie, below the data directory. */
	readonly path: string;
	/** As the partition's own file says; null where that cannot be read. */
	readonly topic: string | null;
	readonly topicId: string;
	readonly partition: string;
	readonly files: readonly DataFile[];
}

/** Every partition that has a directory, one after the other, by topic id and number. */
export function* partitionsOf(dataDir: string): Generator<PartitionFiles> {
	for (const topicId of directoriesIn(join(dataDir, "logs"))) {
		for (const partition of directoriesIn(join(dataDir, "logs", topicId))) {
			const path = join("logs", topicId, partition);
			const topic = topicNameIn(join(dataDir, path));
			yield { path, topic, topicId, partition, files: filesIn(join(dataDir, path)) };
		}
	}
}

/** The files in a directory, by name, without its directories; none where it is gone. */
export function filesIn(directory: string): DataFile[] {
	return entriesOf(directory).flatMap((entry) => {
		if (!entry.isFile()) return [];
		const file = unlessGone(() => lstatSync(join(directory, entry.name), { bigint: true }));
		if (file === undefined) return [];
		return [
			{
				name: entry.name,
				inode: file.ino,
				bytes: Number(file.size),
				allocatedBytes: Number(file.blocks) * BLOCK_BYTES,
				modifiedMs: Number(file.mtimeMs),
			},
		];
	});
}

/** All files below a directory, added up. */
export function sizeBelow(directory: string): Pick<DataFile, "bytes" | "allocatedBytes"> {
	const sizes = [
		...filesIn(directory),
		...directoriesIn(directory).map((name) => sizeBelow(join(directory, name))),
	];
	return sizes.reduce(
		(sum, { bytes, allocatedBytes }) => ({
			bytes: sum.bytes + bytes,
			allocatedBytes: sum.allocatedBytes + allocatedBytes,
		}),
		{ bytes: 0, allocatedBytes: 0 },
	);
}

export function directoriesIn(directory: string): string[] {
	return entriesOf(directory).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

function entriesOf(directory: string) {
	const entries = unlessGone(() => readdirSync(directory, { withFileTypes: true })) ?? [];
	return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function topicNameIn(directory: string): string | null {
	const text = unlessGone(() => readFileSync(join(directory, "partition.json"), "utf8"));
	try {
		const { topic } = JSON.parse(text ?? "");
		return typeof topic === "string" ? topic : null;
	} catch {
		// Damaged: the files are counted all the same.
		return null;
	}
}

/** A running broker removes files, and whole topics. */
export function unlessGone<Result>(look: () => Result): Result | undefined {
	try {
		return look();
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}
