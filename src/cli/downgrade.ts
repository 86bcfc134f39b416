/**
 * `millrace downgrade`: gives a data directory that no broker uses the format of an earlier version
 * back, where nothing is stored in it that the earlier version would read wrongly.
 */
import { readdirSync, readFileSync } from "node:fs";
import { open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";

import { flagName, OPTIONS } from "../config/options.ts";
import { renewPartition } from "../groups/consumer/renewal.ts";
import { OffsetsLog } from "../groups/log/offsets-log.ts";
import { partitionsOf, unlessGone } from "../storage/data-files.ts";
import { OFFSETS_TOPIC } from "../topics/internal-topics.ts";
import { checkMayWrite, directoryOf } from "./data-directory.ts";
import { type OpenDirectory, whileOpen } from "./open-directory.ts";

/** What there is a way back to: logs without holes, and no flush journal. */
const FORMAT_WITHOUT_HOLES = 1;
const FORMAT_WITHOUT_JOURNAL = 2;
const FORMAT_FILE = "format.json";

interface DowngradeOptions {
	readonly config?: string;
	readonly dataDir?: string;
	readonly to: number;
}

export function downgradeCommand(): Command {
	return new Command("downgrade")
		.description("let an earlier version use a data directory again, if it can")
		.requiredOption(
			"--to <format>",
			"the format version of the earlier version: 1 or 2",
			formatVersion,
		)
		.option("--config <file>", "the broker's configuration file, for its data.dir")
		.option(`--${flagName(OPTIONS.dataDir)} <dir>`, "the data directory (default: the broker's)")
		.action(async ({ config, dataDir, to }: DowngradeOptions) => {
			const directory = await directoryOf(config, dataDir);
			await checkMayWrite(directory);
			let before = to;
			await whileOpen(directory, async (opened) => {
				before = await lowerFormat(directory, to, opened);
			});
			const verb = before > to ? "now has" : "has";
			process.stdout.write(`${directory} ${verb} format ${Math.min(before, to)}\n`);
		});
}

function formatVersion(text: string): number {
	const known = [FORMAT_WITHOUT_HOLES, FORMAT_WITHOUT_JOURNAL];
	const version = known.find((format) => text === String(format));
	if (version !== undefined) return version;
	throw new InvalidArgumentError(`there is a way back to ${known.join(" and ")} only.`);
}

/** Answers the format that the directory had. Throws where something keeps it from a lower one. */
async function lowerFormat(directory: string, to: number, opened: OpenDirectory): Promise<number> {
	const format = JSON.parse(await readFile(join(directory, FORMAT_FILE), "utf8"));
	const before = Number(format.format_version);
	if (before <= to) return before;
	// That it is open means that it has no journal any more, and gets none.
	const mustBeWhole = to <= FORMAT_WITHOUT_HOLES;
	if (mustBeWhole && logsWithHoles(directory).length > 0) await renewOffsets(opened);
	const holed = mustBeWhole ? logsWithHoles(directory) : [];
	if (holed.length > 0) {
		const logs = holed.join(", ");
		throw new Error(
			`compaction has left holes that format ${to} does not know: delete the topics, or their ` +
				`records up to there, with this version first: ${logs}`,
		);
	}
	const { format_version: _version, raised_by: _release, ...rest } = format;
	await replaceDurably(directory, JSON.stringify({ format_version: to, ...rest }));
	return before;
}

/** The offsets topic is the broker's own to write anew: nobody can delete it. */
async function renewOffsets({ storage, catalogue }: OpenDirectory): Promise<void> {
	const partitions = catalogue.get(OFFSETS_TOPIC)?.partitions ?? 0;
	const offsetsLog = new OffsetsLog(storage, catalogue, partitions);
	for (let partition = 0; partition < partitions; partition++) {
		await renewPartition(offsetsLog, partition);
	}
}

/** "TOPIC-PARTITION (up to OFFSET)" of every log that still has a segment which may have holes. */
export function logsWithHoles(directory: string): string[] {
	return [...partitionsOf(directory)].flatMap(({ path, topic, topicId, partition }) => {
		const stored = (name: string) =>
			unlessGone(() => readFileSync(join(directory, path, name), "utf8"));
		const compaction = stored("compaction.json");
		if (compaction === undefined) return [];
		const name = `${topic ?? topicId}-${partition}`;
		try {
			const { holes_below: holesBelow, swap } = JSON.parse(compaction).state;
			const start = stored("start.json");
			const logStart = start === undefined ? 0 : JSON.parse(start).log_start;
			const bases = segmentBases(join(directory, path));
			const end = holesEnd(bases, BigInt(holesBelow), BigInt(logStart));
			if (end !== undefined) return [`${name} (up to offset ${end})`];
			return swap === null ? [] : [`${name} (up to offset ${holesBelow})`];
		} catch {
			// It cannot be read: then it is not known to have none.
			return [`${name} (where is not known)`];
		}
	});
}

/** Base offsets of a log's segments, rising. */
function segmentBases(path: string): bigint[] {
	const names = readdirSync(path).filter((name) => /^\d{20}\.log$/.test(name));
	return names.sort().map((name) => BigInt(name.slice(0, 20)));
}

/**
 * Where the last segment ends that may have holes and does not lie before the log's start: up to
 * there at least records have to be deleted, and of the segment that is being written a next one
 * has to be begun. `undefined` where there is none: what lies before the start is removed unread.
 */
function holesEnd(
	bases: readonly bigint[],
	holesBelow: bigint,
	logStart: bigint,
): string | undefined {
	const last = bases.findLastIndex((base) => base < holesBelow);
	if (last === -1) return undefined;
	const end = bases[last + 1];
	if (end === undefined) return `${holesBelow}, and on to a next segment`;
	return end > logStart ? `${end}` : undefined;
}

async function replaceDurably(directory: string, text: string): Promise<void> {
	const next = join(directory, `${FORMAT_FILE}.tmp`);
	await writeFile(next, text, { mode: 0o600 });
	await synced(next);
	await rename(next, join(directory, FORMAT_FILE));
	await synced(directory);
}

async function synced(path: string): Promise<void> {
	const file = await open(path);
	try {
		await file.sync();
	} finally {
		await file.close();
	}
}
