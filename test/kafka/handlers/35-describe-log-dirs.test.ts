/** The sizes of partitions and the space of the disk are told over Kafka. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startBroker } from "../../../src/index.ts";
import { recordBatch } from "../../record-batch.ts";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { RawKafkaClient } from "../raw-client.ts";
import { kafkaPortOf, newTopic, useBroker } from "../use-broker.ts";

const used = useBroker();
const records = recordBatch([Buffer.alloc(1_000)]);

const creation = {
	topics: [newTopic("full", { numPartitions: 2 }), newTopic("empty")],
	timeoutMs: 30_000,
};
const production = {
	transactionalId: null,
	acks: -1,
	timeoutMs: 1_000,
	topicData: [{ name: "full", partitionData: [{ index: 0, records }] }],
};

beforeAll(async () => {
	await used.ask("CreateTopics", 7, creation);
	await used.ask("Produce", 9, production);
});

const size = (partitionIndex: number, partitionSize: number) => ({
	partitionIndex,
	partitionSize,
	offsetLag: 0,
	isFutureKey: false,
});

async function topicsOf(topics: readonly Fields[] | null, version = 5): Promise<readonly Fields[]> {
	const answer = await used.ask("DescribeLogDirs", version, { topics });
	expect(answer.results).toMatchObject([{ errorCode: 0, logDir: "memory" }]);
	return pick(answer, "results", 0).topics as readonly Fields[];
}

test.each([1, 5])("partitions are as large as what they store (version %i)", async (version) => {
	const asked = [{ topic: "full", partitions: [1, 0] }];
	expect(await topicsOf(asked, version)).toEqual([
		{ name: "full", partitions: [size(0, records.length), size(1, 0)] },
	]);
});

test("null asks for everything, an empty list for nothing", async () => {
	expect(await topicsOf(null)).toEqual([
		{ name: "empty", partitions: [size(0, 0)] },
		{ name: "full", partitions: [size(0, records.length), size(1, 0)] },
	]);
	expect(await topicsOf([])).toEqual([]);
	expect(await topicsOf([{ topic: "full", partitions: [] }])).toEqual([]);
});

test("what is not there is left out, and what is asked for twice is told once", async () => {
	const asked = [
		{ topic: "full", partitions: [0, 0, 2, -1] },
		{ topic: "never", partitions: [0] },
		{ topic: "full", partitions: [0] },
	];
	expect(await topicsOf(asked)).toEqual([{ name: "full", partitions: [size(0, records.length)] }]);
});

test("a broker in memory knows of no volume", async () => {
	const answer = await used.ask("DescribeLogDirs", 4, { topics: [] });
	expect(pick(answer, "results", 0)).toMatchObject({ totalBytes: -1, usableBytes: -1 });
});

test("a broker on disk names its directory and tells the space of the volume", async () => {
	const dataDir = await mkdtemp(join(tmpdir(), "millrace-test-"));
	onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	onTestFinished(() => broker.close());
	const port = kafkaPortOf(broker);
	const client = await RawKafkaClient.connect(port);
	onTestFinished(() => client.close());
	await client.request("CreateTopics", 7, creation);
	await client.request("Produce", 9, production);
	const answer = await client.request("DescribeLogDirs", 5, { topics: null });
	const directory = pick(answer, "results", 0);
	expect(directory).toMatchObject({ errorCode: 0, logDir: dataDir, isCordoned: false });
	expect(pick(directory, "topics", 1, "partitions", 0)).toEqual(size(0, records.length));
	expect(directory.totalBytes).toBeGreaterThan(directory.usableBytes as number);
	expect(directory.usableBytes).toBeGreaterThan(0);
});
