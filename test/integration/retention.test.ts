/**
 * Retention beside a real Apache Kafka: the same segments with the same timestamps on both, and the
 * same of them must go. Where Millrace differs on purpose, the difference is named.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";

import { atEndOfSuite } from "../broker-process.ts";
import { pick } from "../kafka/pick.ts";
import { MISSING_KAFKA_JAVA } from "../optional-parts.ts";
import { recordBatch, records } from "../record-batch.ts";
import type { Session, TopicNames } from "./differential/session.ts";
import { endsOf, type Sides, servedBatches, startSides } from "./differential/sides.ts";

const CHECK_INTERVAL_MS = 300;
/** What is to go has gone by then; what stays is looked at after some more checks. */
const SETTLE_MS_MAX = 180_000;
const STAY_MS = 5 * CHECK_INTERVAL_MS;
const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000];

/** The least that Kafka takes; of two batches of this size each gets a segment of its own. */
const SEGMENT_BYTES = 1_048_576;
const BATCH_BYTES = 700_000;

interface Scenario {
	readonly name: string;
	readonly configs: Readonly<Record<string, string>>;
	/** Batches of one record each, by how long ago its record was made, in milliseconds. */
	readonly agesMs: readonly number[];
	/** How large they are; default: so large that each has a segment. */
	readonly batchBytes?: number;
	/** Asked of both, behind the appends: everything below this offset is to go. */
	readonly deleteBelow?: number;
	/** Where the log starts once what goes has gone. */
	readonly logStart: number;
	/** Where Millrace's does on purpose, and why. */
	readonly differs?: { readonly logStart: number; readonly why: string };
}

const SCENARIOS: readonly Scenario[] = [
	{
		name: "segments older than retention.ms, up to the first that is not",
		configs: { "retention.ms": `${HOUR}` },
		agesMs: [3 * HOUR, 2 * HOUR, HOUR / 2, 2 * HOUR, 0],
		logStart: 2,
	},
	{
		name: "every segment, the active one too",
		configs: { "retention.ms": `${HOUR}` },
		agesMs: [3 * HOUR, 3 * HOUR, 2 * HOUR],
		logStart: 3,
	},
	{
		name: "the only segment, when it comes of age",
		configs: { "retention.ms": `${SECOND}` },
		agesMs: [0],
		batchBytes: 100,
		logStart: 1,
	},
	{
		name: "as many segments as the log is larger than retention.bytes",
		configs: { "retention.ms": "-1", "retention.bytes": "1500000" },
		agesMs: [0, 0, 0, 0, 0],
		logStart: 2,
	},
	{
		name: "by size, though the log is larger without the last of them",
		configs: { "retention.ms": "-1", "retention.bytes": "1399000" },
		agesMs: [0, 0, 0],
		logStart: 1,
	},
	{
		name: "nothing that is smaller than retention.bytes",
		configs: { "retention.ms": "-1", "retention.bytes": "2200000" },
		agesMs: [0, 0, 0],
		logStart: 0,
	},
	{
		name: "everything, where no byte may stay",
		configs: { "retention.ms": "-1", "retention.bytes": "0" },
		agesMs: [0, 0],
		logStart: 2,
	},
	{
		name: "by size what is not due by age",
		configs: { "retention.ms": `${HOUR}`, "retention.bytes": "1500000" },
		agesMs: [2 * HOUR, 0, 0, 0, 0],
		logStart: 2,
	},
	{
		name: "nothing without limits",
		configs: { "retention.ms": "-1" },
		agesMs: [1_000 * HOUR, 100 * HOUR, 0],
		logStart: 0,
	},
	{
		name: "nothing of a topic that is compacted",
		configs: { "cleanup.policy": "compact", "retention.ms": `${HOUR}`, "retention.bytes": "1" },
		agesMs: [3 * HOUR, 2 * HOUR, 0],
		logStart: 0,
	},
	{
		name: "segments that segment.ms has closed",
		configs: { "retention.ms": `${HOUR}`, "segment.ms": `${10 * MINUTE}` },
		agesMs: [3 * HOUR, 3 * HOUR - 5 * MINUTE, 3 * HOUR - 15 * MINUTE, HOUR / 2, 0],
		batchBytes: 100,
		logStart: 3,
		differs: {
			logStart: 0,
			why: "Kafka counts between timestamps of records, Millrace by its clock: one segment so far",
		},
	},
	{
		name: "records below an offset, whose segment stays",
		configs: { "retention.ms": "-1" },
		agesMs: [0, 0, 0, 0],
		batchBytes: 100,
		deleteBelow: 2,
		logStart: 2,
	},
	{
		name: "records below an offset, with their segments, then segments by size",
		configs: { "retention.ms": "-1", "retention.bytes": "1500000" },
		agesMs: [0, 0, 0, 0, 0, 0],
		deleteBelow: 1,
		logStart: 3,
	},
	{
		name: "a segment whose records claim to be from the future",
		configs: {
			"retention.ms": `${SECOND}`,
			"message.timestamp.after.max.ms": "9223372036854775807",
		},
		agesMs: [-10 * HOUR, 0],
		logStart: 0,
		differs: {
			logStart: 2,
			why: "Kafka keeps it until then; for Millrace the time of its last append counts",
		},
	},
];

const atEnd = atEndOfSuite();
let sides: Sides | null = null;

beforeAll(async () => {
	sides = await startSides(atEnd, {
		settings: [
			`log.retention.check.interval.ms=${CHECK_INTERVAL_MS}`,
			// Otherwise it looks for the first time half a minute after its start.
			"log.initial.task.delay.ms=100",
		],
		flags: ["--log-retention-check-interval-ms", `${CHECK_INTERVAL_MS}`],
	});
});

/** The same bytes for both brokers; every record has a key, as compacted topics want it. */
function batchesOf({ agesMs, batchBytes = BATCH_BYTES }: Scenario, now: number): Uint8Array[] {
	return agesMs.map((ageMs, index) => {
		const values = [Buffer.alloc(batchBytes, `${index} `)];
		const body = records(values, undefined, [Buffer.from(`key ${index}`)]);
		return recordBatch(values, { timestampMs: now - ageMs, body });
	});
}

async function fill(session: Session, scenario: Scenario, batches: readonly Uint8Array[]) {
	const name = scenario.name.replaceAll(/[^a-z.]+/g, "-");
	const configs = { "segment.bytes": `${SEGMENT_BYTES}`, ...scenario.configs };
	const topic = await session.topic(name, 1, configs);
	await session.append(topic, batches);
	if (scenario.deleteBelow !== undefined) {
		const partitions = [{ partitionIndex: 0, offset: scenario.deleteBelow }];
		const asked = { topics: [{ name, partitions }], timeoutMs: 120_000 };
		const answer = await session.prepare("DeleteRecords", 2, asked);
		expect(pick(answer, "topics", 0, "partitions", 0).errorCode).toBe(0);
	}
	return topic;
}

/** Where logs start, topic by topic, as soon as that is what is expected, or else at the end. */
async function settledStarts(
	session: Session,
	topics: readonly TopicNames[],
	expected: readonly number[],
): Promise<number[]> {
	for (const deadlineMs = Date.now() + SETTLE_MS_MAX; ; await sleep(CHECK_INTERVAL_MS)) {
		const starts: number[] = [];
		for (const topic of topics) starts.push((await endsOf(session, topic)).start);
		const isSettled = starts.every((start, index) => start === expected[index]);
		if (isSettled || Date.now() > deadlineMs) return starts;
	}
}

const byName = (numbers: readonly number[]) =>
	Object.fromEntries(SCENARIOS.map(({ name }, index) => [name, numbers[index]]));

test("the same segments go, and the rest is served", async (context) => {
	const { kafka, millrace } = sides ?? context.skip(MISSING_KAFKA_JAVA);
	const expected = {
		kafka: SCENARIOS.map(({ logStart }) => logStart),
		millrace: SCENARIOS.map(({ logStart, differs }) => differs?.logStart ?? logStart),
	};
	const now = Date.now();
	const topics: { kafka: TopicNames; millrace: TopicNames }[] = [];
	for (const scenario of SCENARIOS) {
		const batches = batchesOf(scenario, now);
		topics.push({
			kafka: await fill(kafka, scenario, batches),
			millrace: await fill(millrace, scenario, batches),
		});
	}
	const theirs = topics.map((topic) => topic.kafka);
	const ours = topics.map((topic) => topic.millrace);
	for (const waitMs of [0, STAY_MS]) {
		await sleep(waitMs);
		const [starts, ourStarts] = await Promise.all([
			settledStarts(kafka, theirs, expected.kafka),
			settledStarts(millrace, ours, expected.millrace),
		]);
		expect(byName(starts), "Apache Kafka").toEqual(byName(expected.kafka));
		expect(byName(ourStarts), "Millrace").toEqual(byName(expected.millrace));
	}

	for (const [index, { name, agesMs, differs }] of SCENARIOS.entries()) {
		const { kafka: their, millrace: our } = topics[index] as (typeof topics)[number];
		const { start, end } = await endsOf(millrace, our);
		expect(end, name).toBe(agesMs.length);
		expect((await endsOf(kafka, their)).end, name).toBe(end);
		const served = await servedBatches(millrace, our, start);
		expect(served.map(({ baseOffset }) => baseOffset)).toEqual(
			Array.from({ length: end - start }, (_, at) => start + at),
		);
		if (differs !== undefined) continue;
		const theirServed = await servedBatches(kafka, their, start);
		for (const [at, { bytes }] of served.entries()) {
			// The base offset and the leader epoch are each broker's own, the checksum covers the rest.
			expect(
				bytes.subarray(16).equals(theirServed[at]?.bytes.subarray(16) ?? Buffer.alloc(0)),
			).toBe(true);
		}
	}
});
