/**
 * Copies a data directory while a broker uses it, without asking the broker for anything.
 *
 * What makes the copy one from which a broker can start is the order:
 *
 * - The flush journal before everything else: what it holds is in the segments already, or comes
 *   there when the copy is opened. Where it changes while it is copied, a broker is running: then
 *   all that it holds can be read in the segments, and it is left out.
 * - Committed offsets next: a group may read again, but never begins behind the end of a log.
 * - Each partition as it is at one moment (partition-copy.ts).
 * - The metadata file last: it has handed out every producer id that is in the logs. It is read
 *   until two readings are equal; then nothing was committed between them. Meanwhile what was
 *   created since gets its directories, without records: so no topic of the metadata lacks one.
 * - `format.json` at the very end: until then the copy is no data directory.
 *
 * The checkpoint stays behind, so a start believes nothing but closed segments and reads the rest.
 */
import { existsSync, statSync } from "node:fs";
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type PartitionFiles, partitionsOf, unlessGone } from "./data-files.ts";
import { type BackupCounts, copyPartition, copyWhole, makeDurable } from "./partition-copy.ts";

const METADATA_FILE = "metadata.redb";
const FORMAT_FILE = "format.json";
const JOURNAL = "journal";
const JOURNAL_FILES = ["0", "1"];
const PARTITION_FILE = "partition.json";
const OFFSETS_TOPIC = "__consumer_offsets";
/** Commits to the metadata take milliseconds, and come when somebody changes a topic. */
const METADATA_ATTEMPTS_MAX = 200;
const METADATA_PAUSE_MS = 25;

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
	await mkdir(join(to, "logs"), { mode: 0o700 });
	await copyJournal(from, to, counts);
	const copied = new Set<string>();
	const partitions = [...partitionsOf(from)];
	const isFirst = ({ topic }: PartitionFiles) => topic === OFFSETS_TOPIC;
	for (const { path } of [
		...partitions.filter(isFirst),
		...partitions.filter((partition) => !isFirst(partition)),
	]) {
		await copyPartition(join(from, path), join(to, path), counts);
		copied.add(path);
		counts.partitions += 1;
		onPartition(counts);
	}
	await copyMetadata(from, to, counts, async () => {
		for (const { path, files } of partitionsOf(from)) {
			const isNamed = files.some(({ name }) => name === PARTITION_FILE);
			if (copied.has(path) || !isNamed) continue;
			await mkdir(join(to, path), { recursive: true, mode: 0o700 });
			const [own, other] = [from, to].map((root) => join(root, path, PARTITION_FILE));
			await copyWhole(own as string, other as string, counts);
			copied.add(path);
		}
	});
	await copyWhole(join(from, FORMAT_FILE), join(to, FORMAT_FILE), counts);
	await syncTree(to);
	return counts;
}

async function copyJournal(from: string, to: string, counts: BackupCounts): Promise<void> {
	const states = () => JOURNAL_FILES.map((name) => stateOf(join(from, JOURNAL, name))).join();
	const before = states();
	if (before === ",") return;
	await mkdir(join(to, JOURNAL), { mode: 0o700 });
	for (const name of JOURNAL_FILES) {
		try {
			await copyWhole(join(from, JOURNAL, name), join(to, JOURNAL, name), counts);
		} catch (error) {
			// There is none, or a broker has just emptied it.
			if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
		}
	}
	if (states() !== before) await rm(join(to, JOURNAL), { recursive: true });
}

/** What changes when a file is written to or another takes its place. */
function stateOf(path: string): string | undefined {
	const stats = unlessGone(() => statSync(path, { bigint: true }));
	return stats && `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
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
		const isDone = await meanwhile().then(
			() => true,
			(error: NodeJS.ErrnoException) => {
				// A topic that was deleted; the metadata has changed as well.
				if (error.code === "ENOENT") return false;
				throw error;
			},
		);
		const after = await readFile(join(from, METADATA_FILE));
		if (isDone && after.equals(before)) {
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
	const journal = existsSync(join(root, JOURNAL)) ? [JOURNAL] : [];
	for (const path of new Set([...partitions, ...topics, ...journal, "logs", "."])) {
		const directory = await open(join(root, path));
		try {
			await directory.sync();
		} finally {
			await directory.close();
		}
	}
}
