/** Records are deleted over Kafka from the start of a partition. */
import { beforeAll, expect, test } from "vitest";
import { recordBatch } from "../../record-batch.ts";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, settings, useBroker } from "../use-broker.ts";

const used = useBroker();

/** `log-N` has ten records in partition 0. */
const LOGS = 5;

beforeAll(async () => {
	const logs = Array.from({ length: LOGS }, (_, index) => `log-${index}`);
	const topics = [
		...logs.map((name) => newTopic(name, { numPartitions: 2 })),
		newTopic("compacted", { configs: settings({ "cleanup.policy": "compact" }) }),
		newTopic("both", { configs: settings({ "cleanup.policy": "compact,delete" }) }),
	];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
	const records = recordBatch(Array.from({ length: 10 }, () => Buffer.from("value")));
	const partitionData = [{ index: 0, records }];
	const topicData = logs.map((name) => ({ name, partitionData }));
	const request = { transactionalId: null, acks: -1, timeoutMs: 1_000, topicData };
	await used.ask("Produce", 9, request);
});

async function remove(
	name: string,
	offsets: readonly (readonly [partition: number, offset: number])[],
	version = 2,
): Promise<readonly Fields[]> {
	const partitions = offsets.map(([partitionIndex, offset]) => ({ partitionIndex, offset }));
	const request = { topics: [{ name, partitions }], timeoutMs: 60_000 };
	const answer = await used.ask("DeleteRecords", version, request);
	expect(answer.topics).toMatchObject([{ name }]);
	return pick(answer, "topics", 0).partitions as unknown as readonly Fields[];
}

async function logStart(name: string): Promise<unknown> {
	const partitions = [{ partitionIndex: 0, timestamp: -2 }];
	const answer = await used.ask("ListOffsets", 1, {
		replicaId: -1,
		topics: [{ name, partitions }],
	});
	return pick(answer, "topics", 0, "partitions", 0).offset;
}

test.each([0, 2])("a partition starts where it was told to (version %i)", async (version) => {
	const name = `log-${version}`;
	const answer = await remove(name, [[0, 3]], version);
	expect(answer).toEqual([{ partitionIndex: 0, lowWatermark: 3, errorCode: 0 }]);
	expect(await logStart(name)).toBe(3);
	const partitions = [{ partition: 0, fetchOffset: 2, partitionMaxBytes: 1_024 }];
	const topics = [{ topic: name, partitions }];
	const request = { maxWaitMs: 0, minBytes: 1, sessionEpoch: -1, topics };
	const fetched = await used.ask("Fetch", 12, request);
	expect(pick(fetched, "responses", 0, "partitions", 0)).toMatchObject({ errorCode: 1 });
});

test("a start does not go back, and -1 is the high watermark", async () => {
	expect(await remove("log-1", [[0, 4]])).toMatchObject([{ lowWatermark: 4, errorCode: 0 }]);
	expect(await remove("log-1", [[0, 1]])).toMatchObject([{ lowWatermark: 4, errorCode: 0 }]);
	expect(await remove("log-1", [[0, -1]])).toMatchObject([{ lowWatermark: 10, errorCode: 0 }]);
	expect(await remove("log-1", [[1, -1]])).toMatchObject([{ lowWatermark: 0, errorCode: 0 }]);
});

test("offsets that cannot be a start are out of range", async () => {
	const refused = [{ partitionIndex: 0, lowWatermark: -1, errorCode: 1 }];
	expect(await remove("log-3", [[0, 11]])).toEqual(refused);
	expect(await remove("log-3", [[0, -2]])).toEqual(refused);
	expect(await logStart("log-3")).toBe(0);
});

test("of a partition that a request has twice the last offset counts", async () => {
	const answer = await remove("log-4", [
		[0, 8],
		[1, 0],
		[0, 2],
	]);
	expect(answer).toEqual([
		{ partitionIndex: 0, lowWatermark: 2, errorCode: 0 },
		{ partitionIndex: 1, lowWatermark: 0, errorCode: 0 },
	]);
});

test("many partitions are answered in one request", async () => {
	const topics = [newTopic("wide", { numPartitions: 40 })];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
	const answer = await remove(
		"wide",
		Array.from({ length: 41 }, (_, partition) => [partition, 0] as const),
	);
	const codes = answer.map(({ errorCode }) => errorCode);
	expect(codes).toEqual([...Array.from({ length: 40 }, () => 0), 3]);
});

test.each([
	["an unknown partition", "log-3", 7, 3],
	["a negative partition", "log-3", -1, 3],
	["an unknown topic", "never", 0, 3],
	["an impossible topic", "a/b", 0, 3],
	["a compacted topic", "compacted", 0, 44],
])("%s is refused", async (_what, name, partition, errorCode) => {
	const refused = { partitionIndex: partition, lowWatermark: -1, errorCode };
	expect(await remove(name, [[partition, 0]])).toEqual([refused]);
});

test("what is compacted and deleted can be deleted", async () => {
	expect(await remove("both", [[0, 0]])).toMatchObject([{ lowWatermark: 0, errorCode: 0 }]);
});

test("the broker's own topics stay as they are", async () => {
	await used.ask("FindCoordinator", 4, { keyType: 0, coordinatorKeys: ["group"] });
	expect(await remove("__consumer_offsets", [[0, 0]])).toMatchObject([{ errorCode: 17 }]);
});
