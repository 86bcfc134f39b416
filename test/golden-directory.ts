/**
 * Golden data directories: what a broker of a format version left behind, kept as an archive with
 * a manifest of everything that must be read from it for ever. See fixtures/log-format/README.md.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

import { connect } from "../src/client/index.ts";
import type { BrokerProcess } from "./broker-process.ts";
import type { Fields } from "./kafka/client-codec.ts";
import { pick } from "./kafka/pick.ts";
import { RawKafkaClient } from "./kafka/raw-client.ts";

/** Bytes are base64. */
export type GoldenHeader = readonly [name: string, value: string | null];
export type GoldenRecord = readonly [
	offset: number,
	key: string | null,
	valueHash: string | null,
	timestamp: number,
	headers: readonly GoldenHeader[],
];
/** The hash is of the bytes behind those that the broker assigns. */
export type GoldenBatch = readonly [baseOffset: number, recordCount: number, hash: string];

export interface GoldenPartition {
	readonly log_start: number;
	readonly log_end: number;
	/** Offsets that cannot be had, because they are damaged. */
	readonly gaps: readonly (readonly [from: number, to: number])[];
	/** What WebSocket clients read. */
	readonly records: readonly GoldenRecord[];
	/** What Kafka clients read. */
	readonly batches: readonly GoldenBatch[];
}

export interface GoldenTopic {
	readonly name: string;
	/** What was set for it. */
	readonly configs: Readonly<Record<string, string>>;
	readonly partitions: readonly GoldenPartition[];
}

/** A batch of an idempotent producer, the last one that it sent to its partition. */
export interface GoldenProducer {
	readonly topic: string;
	readonly partition: number;
	readonly id: number;
	readonly epoch: number;
	readonly sequence: number;
	readonly base_offset: number;
	readonly values: readonly string[];
}

export interface GoldenManifest {
	readonly format_version: number;
	readonly made_at: string;
	readonly topics: readonly GoldenTopic[];
	/** "topic-partition: committed offset" of each group. */
	readonly groups: Readonly<Record<string, Readonly<Record<string, number>>>>;
	readonly group_configs: Readonly<Record<string, Readonly<Record<string, string>>>>;
	readonly producers: readonly GoldenProducer[];
	/** What `millrace verify` finds before a broker starts. */
	readonly damage: GoldenDamage;
}

export interface GoldenDamage {
	/** "topic-partition FROM-TO" of each damaged range. */
	readonly ranges: readonly string[];
	/** "topic-partition OFFSET" of each log with something behind its end. */
	readonly tails: readonly string[];
}

/**
 * Flags for brokers that serve a golden directory: groups whose members went long ago keep their
 * offsets.
 */
export const GOLDEN_FLAGS = ["--offsets-retention-minutes", "2147483647"];

/** Bytes of a batch that the broker assigns: base offset, length and leader epoch. */
const ASSIGNED_BYTES = 16;
const LENGTH_AT = 8;
const LENGTH_END = 12;
const LAST_OFFSET_DELTA_AT = 23;
const RECORD_COUNT_AT = 57;
const FETCH_BYTES_MAX = 1_048_576;
const GROUP_RESOURCE = 32;

const directory = fileURLToPath(new URL("fixtures/log-format/", import.meta.url));

export const hashOf = (bytes: Uint8Array): string =>
	createHash("sha256").update(bytes).digest("base64url").slice(0, 16);

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** The golden directories of every format version, "v1/stopped" and so on. */
export function goldenNames(): string[] {
	const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
	return files.flatMap((file) => /^(v\d+\/.*)\.tar\.gz$/.exec(file)?.[1] ?? []).sort();
}

export function readManifest(name: string): GoldenManifest {
	return JSON.parse(readFileSync(`${directory}${name}.json`, "utf8"));
}

/** Unpacks a golden directory as `target`, with the times that its files had. */
export function unpack(name: string, target: string): void {
	mkdirSync(target, { mode: 0o700 });
	const tar = ["-xzf", `${directory}${name}.tar.gz`, "-C", target];
	const { status, stderr } = spawnSync("tar", tar, { encoding: "utf8" });
	if (status !== 0) throw new Error(`tar: ${stderr}`);
}

/** What a broker serves of some topics, over both protocols. */
export async function readTopics(
	broker: BrokerProcess,
	names: readonly string[],
): Promise<GoldenTopic[]> {
	const client = await connect(broker.url);
	const kafka = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
	try {
		const topics: GoldenTopic[] = [];
		for (const name of names) {
			const { configs } = await client.topics.describe(name);
			const set = configs.filter(({ source }) => source === "topic");
			const offsets = await client.offsets.describe(name);
			const partitions: GoldenPartition[] = [];
			for (const { partition, log_start, high_watermark } of offsets) {
				const end = high_watermark;
				partitions.push({
					log_start,
					log_end: end,
					...(await readOverWebSocket(client, name, partition)),
					batches: await readOverKafka(kafka, { name, partition, from: log_start, to: end }),
				});
			}
			const entries = set.map((entry) => [entry.name, String(entry.value)]);
			topics.push({ name, configs: Object.fromEntries(entries), partitions });
		}
		return topics;
	} finally {
		await kafka.close();
		await client.close();
	}
}

async function readOverWebSocket(
	client: Awaited<ReturnType<typeof connect>>,
	topic: string,
	partition: number,
): Promise<Pick<GoldenPartition, "gaps" | "records">> {
	const gaps: [number, number][] = [];
	const records: GoldenRecord[] = [];
	const consumer = client.consumer<Uint8Array>({
		topics: { topic, partitions: [partition] },
		from: "earliest",
		until: "end",
		codec: "bytes",
		onGap: ({ from, to }) => gaps.push([from, to]),
	});
	for await (const { offset, key, value, timestamp, headers } of consumer) {
		records.push([
			offset,
			key === null ? null : base64(key),
			value === null ? null : hashOf(value),
			timestamp,
			headers.map(([name, bytes]) => [name, bytes === null ? null : base64(bytes)] as const),
		]);
	}
	return { gaps, records };
}

async function readOverKafka(
	client: RawKafkaClient,
	{ name, partition, from, to }: { name: string; partition: number; from: number; to: number },
): Promise<GoldenBatch[]> {
	const batches: GoldenBatch[] = [];
	for (let offset = from; offset < to; ) {
		const partitionMaxBytes = FETCH_BYTES_MAX;
		const partitions = [{ partition, fetchOffset: offset, partitionMaxBytes }];
		const topics = [{ topic: name, partitions }];
		const request = { maxWaitMs: 0, minBytes: 1, sessionEpoch: -1, topics };
		const answer = await client.request("Fetch", 12, request);
		const read = pick(answer, "responses", 0, "partitions", 0);
		expect(read).toMatchObject({ errorCode: 0 });
		const bytes = Buffer.from(read.records === null ? [] : (read.records as Uint8Array));
		// What is damaged at the end of a log is all that may be left.
		if (bytes.length === 0) break;
		for (let at = 0; at < bytes.length; ) {
			const end = at + LENGTH_END + bytes.readInt32BE(at + LENGTH_AT);
			const base = Number(bytes.readBigInt64BE(at));
			const count = bytes.readInt32BE(at + RECORD_COUNT_AT);
			const hash = hashOf(bytes.subarray(at + ASSIGNED_BYTES, end));
			// Of those that compaction has emptied a reader may see some, or none.
			if (count > 0) batches.push([base, count, hash]);
			offset = base + bytes.readInt32BE(at + LAST_OFFSET_DELTA_AT) + 1;
			at = end;
		}
	}
	return batches;
}

/** The committed offsets of some groups, in the form of the manifest. */
export async function readGroups(
	broker: BrokerProcess,
	groups: readonly string[],
): Promise<GoldenManifest["groups"]> {
	const client = await connect(broker.url);
	try {
		const found: Record<string, Record<string, number>> = {};
		for (const group of groups) {
			const { partitions } = await client.groups.describe(group);
			const entries = partitions.map(({ topic, partition, committed }) => [
				`${topic}-${partition}`,
				committed as number,
			]);
			found[group] = Object.fromEntries(entries.sort());
		}
		return found;
	} finally {
		await client.close();
	}
}

/** What some settings of groups are. */
export async function readGroupConfigs(
	client: RawKafkaClient,
	expected: GoldenManifest["group_configs"],
): Promise<GoldenManifest["group_configs"]> {
	const found: Record<string, Record<string, string>> = {};
	for (const [group, configs] of Object.entries(expected)) {
		const answer = await client.request("DescribeConfigs", 4, {
			resources: [
				{
					resourceType: GROUP_RESOURCE,
					resourceName: group,
					configurationKeys: Object.keys(configs),
				},
			],
		});
		const listed = pick(answer, "results", 0).configs as unknown as readonly Fields[];
		found[group] = Object.fromEntries(listed.map(({ name, value }) => [name, value as string]));
	}
	return found;
}

/** Sends one batch and gives the base offset that it has. */
export async function produceBatch(
	client: RawKafkaClient,
	topic: string,
	partition: number,
	records: Uint8Array,
): Promise<number> {
	const topicData = [{ name: topic, partitionData: [{ index: partition, records }] }];
	const request = { transactionalId: null, acks: -1, timeoutMs: 100_000, topicData };
	const answer = await client.request("Produce", 9, request);
	const result = pick(answer, "responses", 0, "partitionResponses", 0);
	expect(result).toMatchObject({ errorCode: 0 });
	return Number(result.baseOffset);
}

/** Matches what a check says of a range, and of what lies behind the end of a log. */
const RANGE = /^offsets (\d+) to (\d+) are damaged/;
const TAIL = /^\d+ bytes behind offset (\d+) are no whole batch/;
/** What is said beside damage: hints that a start makes again. */
const HINT = /it is rebuilt when the broker starts/;

/** What `millrace verify --json` found, in the form of the manifest. */
export function damageOf(stdout: Buffer): GoldenDamage {
	const report = JSON.parse(stdout.toString()) as Record<
		"findings" | "tails",
		{ subject: string; detail: string }[]
	>;
	const [ranges, tails]: [string[], string[]] = [[], []];
	for (const { subject, detail } of [...report.findings, ...report.tails]) {
		const [range, tail] = [RANGE.exec(detail), TAIL.exec(detail)];
		if (range !== null) ranges.push(`${subject} ${range[1]}-${range[2]}`);
		else if (tail !== null) tails.push(`${subject} ${tail[1]}`);
		else if (!HINT.test(detail)) throw new Error(`${subject}: ${detail}`);
	}
	return { ranges, tails };
}
