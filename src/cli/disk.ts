/**
 * `millrace disk`: what takes how much of the disk, topic by topic. It looks at the files
 * themselves, so it works while a broker runs, and where a full disk keeps one from starting.
 */
import { join } from "node:path";
import { Command } from "commander";

import { flagName, OPTIONS } from "../config/options.ts";
import {
	type DataFile,
	directoriesIn,
	filesIn,
	type PartitionFiles,
	partitionsOf,
	sizeBelow,
} from "../storage/data-files.ts";
import { checkIsDataDirectory, directoryOf } from "./data-directory.ts";
import { jsonOption } from "./options.ts";
import { formatBytes } from "./sizes.ts";
import { formatTable } from "./table.ts";

/** Sizes in bytes. */
interface DiskUsage {
	topics: TopicUsage[];
	/** What belongs to no topic: metadata, the flush journal, what was set aside, and so on. */
	others: { name: string; bytes: number; allocatedBytes: number }[];
	allocatedBytes: number;
}

interface TopicUsage {
	/** Its id where its name cannot be read. */
	topic: string;
	partitions: number;
	segments: number;
	/** Record batches, as they are stored. */
	recordBytes: number;
	/** Indexes, snapshots of producers and so on. */
	otherBytes: number;
	/** What all of it takes on the disk. */
	allocatedBytes: number;
	/** Blocks of that which lie behind the ends of files, for what is to come. */
	preallocatedBytes: number;
}

/** File systems give out blocks of this size, so less than one behind an end is nothing ahead. */
const FILE_BLOCK_BYTES = 4_096;

export function diskCommand(): Command {
	return new Command("disk")
		.description("show what takes how much of the disk, topic by topic; a broker may be running")
		.option("--config <file>", "the broker's configuration file, for its data.dir")
		.option(`--${flagName(OPTIONS.dataDir)} <dir>`, "the data directory (default: the broker's)")
		.addOption(jsonOption())
		.action(async (options: { config?: string; dataDir?: string; json?: boolean }) => {
			const dataDir = await directoryOf(options.config, options.dataDir);
			await checkIsDataDirectory(dataDir);
			const usage = diskUsage(dataDir);
			process.stdout.write(
				`${options.json === true ? JSON.stringify(usage) : describeUsage(usage)}\n`,
			);
		});
}

/** What takes how much in a data directory, topics by name. */
export function diskUsage(dataDir: string): DiskUsage {
	const topics = new Map<string, TopicUsage>();
	for (const partition of partitionsOf(dataDir)) {
		const name = partition.topic ?? partition.topicId;
		const usage = topics.get(partition.topicId) ?? newUsage(name);
		topics.set(partition.topicId, usage);
		addPartition(usage, partition);
	}
	const directories = directoriesIn(dataDir)
		// What a disk of its own has at its root is root's.
		.filter((name) => name !== "logs" && name !== "lost+found")
		.map((name) => ({ name, ...sizeBelow(join(dataDir, name)) }));
	const others = [...filesIn(dataDir), ...directories]
		.map(({ name, bytes, allocatedBytes }) => ({ name, bytes, allocatedBytes }))
		.filter(({ allocatedBytes }) => allocatedBytes > 0);
	const all = [...topics.values(), ...others];
	return {
		topics: [...topics.values()].sort((left, right) => (left.topic < right.topic ? -1 : 1)),
		others,
		allocatedBytes: all.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
	};
}

const newUsage = (topic: string): TopicUsage => ({
	topic,
	partitions: 0,
	segments: 0,
	recordBytes: 0,
	otherBytes: 0,
	allocatedBytes: 0,
	preallocatedBytes: 0,
});

function addPartition(usage: TopicUsage, { files }: PartitionFiles): void {
	usage.partitions += 1;
	for (const file of files) {
		usage.allocatedBytes += file.allocatedBytes;
		usage.preallocatedBytes += preallocatedBytes(file);
		if (file.name.endsWith(".log")) {
			usage.segments += 1;
			usage.recordBytes += file.bytes;
		} else {
			usage.otherBytes += file.bytes;
		}
	}
}

function preallocatedBytes({ bytes, allocatedBytes }: DataFile): number {
	const needed = Math.ceil(bytes / FILE_BLOCK_BYTES) * FILE_BLOCK_BYTES;
	return Math.max(allocatedBytes - needed, 0);
}

/** The report for people. */
function describeUsage({ topics, others, allocatedBytes }: DiskUsage): string {
	const topicHeads = ["topic", "partitions", "segments", "records", "other", "on disk", "ahead"];
	const rows = topics.map((usage) => {
		const { recordBytes, otherBytes, preallocatedBytes: ahead } = usage;
		const sizes = [recordBytes, otherBytes, usage.allocatedBytes, ahead].map(formatBytes);
		return [usage.topic, String(usage.partitions), String(usage.segments), ...sizes];
	});
	const rest = others.map(({ name, bytes, allocatedBytes: allocated }) => [
		name,
		...[bytes, allocated].map(formatBytes),
	]);
	return [
		formatTable(topicHeads, rows),
		"",
		formatTable(["beside topics", "size", "on disk"], rest),
		"",
		`${formatBytes(allocatedBytes)} on disk in all`,
		"other: indexes and the like; ahead: allocated for what is to come, part of what is on disk",
	].join("\n");
}
