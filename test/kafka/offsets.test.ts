/** Offsets by position, by time and by leader epoch, asked in the Kafka protocol. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type Broker, startBroker } from "../../src/index.ts";
import { recordBatch } from "../record-batch.ts";
import type { Fields } from "./client-codec.ts";
import { pick } from "./pick.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf } from "./use-broker.ts";

const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;

async function connectRaw(broker: Broker): Promise<RawKafkaClient> {
	const client = await RawKafkaClient.connect(kafkaPortOf(broker));
	onTestFinished(() => client.close());
	return client;
}

async function produce(client: RawKafkaClient, values: string[]): Promise<void> {
	const records = recordBatch(values.map((value) => Buffer.from(value)));
	const topicData = [{ name: "log", partitionData: [{ index: 0, records }] }];
	const request = { transactionalId: null, acks: -1, timeoutMs: 1_000, topicData };
	const answer = await client.request("Produce", 9, request);
	expect(pick(answer, "responses", 0, "partitionResponses", 0)).toMatchObject({ errorCode: 0 });
}

async function listOffset(
	client: RawKafkaClient,
	version: number,
	timestamp: number,
	topic = "log",
): Promise<Fields> {
	const partitions = [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp }];
	const request = { replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions }] };
	const answer = await client.request("ListOffsets", version, request);
	return pick(answer, "topics", 0, "partitions", 0);
}

async function epochEnd(client: RawKafkaClient, leaderEpoch: number): Promise<Fields> {
	const partitions = [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch }];
	const request = { replicaId: -1, topics: [{ topic: "log", partitions }] };
	const answer = await client.request("OffsetForLeaderEpoch", 3, request);
	return pick(answer, "topics", 0, "partitions", 0);
}

test("offsets are found by position and by time", async () => {
	const broker = await startBroker({ memory: true });
	onTestFinished(() => broker.close());
	const client = await connectRaw(broker);
	await client.request("Metadata", 9, { topics: [{ name: "log" }] });
	expect(await listOffset(client, 7, MAX_TIMESTAMP)).toMatchObject({ errorCode: 0, offset: -1 });
	const before = Date.now();
	await produce(client, ["a", "b"]);
	await produce(client, ["c"]);
	expect(await listOffset(client, 7, EARLIEST)).toMatchObject({ errorCode: 0, offset: 0 });
	expect(await listOffset(client, 7, LATEST)).toMatchObject({ errorCode: 0, offset: 3 });
	expect(await listOffset(client, 1, before)).toMatchObject({ errorCode: 0, offset: 0 });
	const future = await listOffset(client, 11, Date.now() + 60_000);
	expect(future).toMatchObject({ errorCode: 0, offset: -1, timestamp: -1, leaderEpoch: -1 });
	const largest = await listOffset(client, 7, MAX_TIMESTAMP);
	expect(largest).toMatchObject({ errorCode: 0, leaderEpoch: 0 });
	expect(largest.timestamp).toBeGreaterThanOrEqual(before);
});

test("a special time is only known from the version on that it came with", async () => {
	const broker = await startBroker({ memory: true });
	onTestFinished(() => broker.close());
	const client = await connectRaw(broker);
	await client.request("Metadata", 9, { topics: [{ name: "log" }] });
	const unsupported = { errorCode: 35, offset: -1 };
	expect(await listOffset(client, 6, MAX_TIMESTAMP)).toMatchObject(unsupported);
	expect(await listOffset(client, 11, -7)).toMatchObject(unsupported);
	expect(await listOffset(client, 1, LATEST, "unknown")).toMatchObject({ errorCode: 3 });
});

test("every start after a kill begins a leader epoch, and the one before ends there", async () => {
	const dataDir = await mkdtemp(join(tmpdir(), "millrace-test-"));
	onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
	const options = { dataDir, websocket: "127.0.0.1:0" };
	let broker = await startBroker(options);
	onTestFinished(() => broker.close());
	let client = await connectRaw(broker);
	await client.request("Metadata", 9, { topics: [{ name: "log" }] });
	await produce(client, ["a", "b", "c"]);
	await broker.close();
	// A stop that was not clean, as the checkpoint tells it.
	await rm(join(dataDir, "checkpoint"));
	broker = await startBroker(options);
	client = await connectRaw(broker);
	await produce(client, ["d"]);
	expect(await epochEnd(client, 0)).toMatchObject({ errorCode: 0, leaderEpoch: 0, endOffset: 3 });
	expect(await epochEnd(client, 1)).toMatchObject({ errorCode: 0, leaderEpoch: 1, endOffset: 4 });
	const later = await epochEnd(client, 2);
	expect(later).toMatchObject({ errorCode: 0, leaderEpoch: -1, endOffset: -1 });
});
