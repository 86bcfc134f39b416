/** The producers that a partition remembers are told over Kafka. */
import { beforeAll, expect, test } from "vitest";
import { recordBatch } from "../../record-batch.ts";
import type { Fields } from "../client-codec.ts";
import { newTopic, useBroker } from "../use-broker.ts";

const used = useBroker();
let producerId = -1;

beforeAll(async () => {
	const topics = [newTopic("topic", { numPartitions: 2 })];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
	const identity = await used.ask("InitProducerId", 4, {
		transactionalId: null,
		transactionTimeoutMs: 1_000,
		producerId: -1,
		producerEpoch: -1,
	});
	producerId = identity.producerId as number;
	const values = ["a", "b", "c"].map((value) => Buffer.from(value));
	const records = recordBatch(values, { producer: { id: producerId, epoch: 0, sequence: 0 } });
	const topicData = [{ name: "topic", partitionData: [{ index: 0, records }] }];
	const request = { transactionalId: null, acks: -1, timeoutMs: 1_000, topicData };
	await used.ask("Produce", 9, request);
});

async function describeProducers(
	...topics: [name: string, partitionIndexes: number[]][]
): Promise<readonly Fields[]> {
	const asked = topics.map(([name, partitionIndexes]) => ({ name, partitionIndexes }));
	const answer = await used.ask("DescribeProducers", 0, { topics: asked });
	return answer.topics as readonly Fields[];
}

const none = { errorCode: 0, errorMessage: null, activeProducers: [] };

test("a partition tells who numbered its records, and how far", async () => {
	const before = Date.now();
	const answer = await describeProducers(["topic", [0, 1]]);
	expect(answer).toMatchObject([
		{
			name: "topic",
			partitions: [
				{
					partitionIndex: 0,
					errorCode: 0,
					errorMessage: null,
					activeProducers: [
						{
							producerId,
							producerEpoch: 0,
							lastSequence: 2,
							coordinatorEpoch: -1,
							currentTxnStartOffset: -1,
						},
					],
				},
				{ partitionIndex: 1, ...none },
			],
		},
	]);
	const [producer] = (answer as unknown as [{ partitions: [{ activeProducers: [Fields] }] }])[0]
		.partitions[0].activeProducers;
	expect(Math.abs((producer.lastTimestamp as number) - before)).toBeLessThan(600_000);
});

test("what is asked for twice is told once", async () => {
	const answer = await describeProducers(["topic", [1, 1]], ["topic", [1]]);
	expect(answer).toEqual([{ name: "topic", partitions: [{ partitionIndex: 1, ...none }] }]);
	expect(await describeProducers()).toEqual([]);
	expect(await describeProducers(["topic", []])).toEqual([{ name: "topic", partitions: [] }]);
});

test("what is not there has an error", async () => {
	const refused = (errorCode: number, errorMessage: unknown) => ({
		errorCode,
		errorMessage,
		activeProducers: [],
	});
	const message = expect.stringMatching(/./);
	expect(await describeProducers(["topic", [2, -1]], ["never", [0]], ["a/b", [0]])).toEqual([
		{
			name: "topic",
			partitions: [
				{ partitionIndex: 2, ...refused(3, null) },
				{ partitionIndex: -1, ...refused(3, null) },
			],
		},
		{ name: "never", partitions: [{ partitionIndex: 0, ...refused(3, message) }] },
		{ name: "a/b", partitions: [{ partitionIndex: 0, ...refused(17, message) }] },
	]);
});
