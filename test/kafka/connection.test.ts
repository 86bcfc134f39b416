/** Clients that leave, or end, in the middle of what they asked for. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { startBroker } from "../../src/index.ts";
import { recordBatch } from "../record-batch.ts";
import { decodeResponse } from "./client-codec.ts";
import { pick } from "./pick.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf, useBroker } from "./use-broker.ts";

/** Longer than any test runs: who waits for it fails. */
const FOR_EVER_MS = 2_147_483_647;

const used = useBroker();

/** A client, after it has had a topic made. */
async function connectTo(topic: string): Promise<RawKafkaClient> {
	const client = await used.connect();
	await client.request("Metadata", 9, { topics: [{ name: topic }] });
	return client;
}

const produceRequest = (topic: string, acks: number, ...values: string[]) => ({
	transactionalId: null,
	acks,
	timeoutMs: 1_000,
	topicData: [
		{
			name: topic,
			partitionData: values.map((value) => ({
				index: 0,
				records: recordBatch([Buffer.from(value)]),
			})),
		},
	],
});

const fetchRequest = (topic: string, more: object = {}) => ({
	maxWaitMs: FOR_EVER_MS,
	minBytes: 1,
	maxBytes: 1_048_576,
	sessionId: 0,
	sessionEpoch: -1,
	topics: [{ topic, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_048_576 }] }],
	...more,
});

async function latestOf(client: RawKafkaClient, topic: string): Promise<unknown> {
	const listed = await client.request("ListOffsets", 1, {
		replicaId: -1,
		topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
	});
	return pick(listed, "topics", 0, "partitions", 0).offset;
}

describe("a client that ends its side", () => {
	test("is answered to all it asked, in order, and the connection ends", async () => {
		const client = await connectTo("half-closed");
		const ids: number[] = [];
		for (let count = 0; count < 20; count++) {
			ids.push(client.send("Produce", 9, produceRequest("half-closed", -1, `${count}`)));
			ids.push(client.send("Fetch", 12, fetchRequest("half-closed")));
			ids.push(client.send("Metadata", 9, { topics: [] }));
		}
		client.socket.end();
		for (const id of ids) expect((await client.frame()).readInt32BE(0)).toBe(id);
		await client.closed;
	});

	test("waits for no records that may come later", async () => {
		const client = await connectTo("never-written");
		client.send("Fetch", 12, fetchRequest("never-written"));
		client.send("Fetch", 12, fetchRequest("never-written"));
		client.socket.end();
		for (let count = 0; count < 2; count++) {
			const { fields } = decodeResponse("Fetch", 12, await client.frame());
			expect(pick(fields, "responses", 0, "partitions", 0)).toMatchObject({ errorCode: 0 });
		}
		await client.closed;
	});

	test("has every request without acks taken", async () => {
		const other = await connectTo("sent-and-gone");
		const client = await connectTo("sent-and-gone");
		for (let count = 0; count < 100; count++) {
			client.send("Produce", 9, produceRequest("sent-and-gone", -1, `${count}`));
			client.send("Metadata", 9, { topics: [] });
			client.send("Produce", 9, produceRequest("sent-and-gone", 0, `${count}`));
		}
		client.socket.end();
		await client.closed;
		// What nobody waits for is seen when it is flushed, which may be behind the end.
		await expect.poll(() => latestOf(other, "sent-and-gone")).toBe(200);
	});
});

describe("a request that ends the connection", () => {
	/** A client of a broker that answers when its disk has what was produced. */
	async function connectToDisk(topic: string): Promise<RawKafkaClient> {
		const dataDir = mkdtempSync(join(tmpdir(), "millrace-connection-"));
		onTestFinished(() => rmSync(dataDir, { recursive: true }));
		const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0", kafka: "127.0.0.1:0" });
		onTestFinished(() => broker.close());
		const client = await RawKafkaClient.connect(kafkaPortOf(broker));
		onTestFinished(() => client.close());
		await client.request("Metadata", 9, { topics: [{ name: topic }] });
		return client;
	}

	const NOBODY_THERE = "nobody-there";

	/** What Kafka ends a connection for, too. */
	const ENDS: readonly (readonly [string, (client: RawKafkaClient) => void])[] = [
		[
			"a produce request without acks that fails",
			(client) => client.send("Produce", 9, produceRequest(NOBODY_THERE, 0, "a")),
		],
		[
			"an API that does not exist",
			(client) => client.sendFrame(Buffer.from("03e8000000000007ffff", "hex")),
		],
		[
			"a produce request that is cut short",
			(client) => client.sendFrame(Buffer.from("000000090000000700", "hex")),
		],
		["a length of 2 GiB", (client) => client.sendBytes(Buffer.from("7fffffff", "hex"))],
	];

	test.each(ENDS)("is answered to all before it, in order: %s", async (_what, sendLast) => {
		for (const connect of [connectTo, connectToDisk]) {
			const client = await connect("answered-first");
			const ids: number[] = [];
			for (let count = 0; count < 20; count++) {
				ids.push(client.send("Produce", 9, produceRequest("answered-first", -1, `${count}`)));
			}
			sendLast(client);
			client.send("Produce", 9, produceRequest("answered-first", -1, "behind"));
			client.send("Metadata", 9, { topics: [] });
			await client.closed;
			expect(client.framesWaiting).toBe(ids.length);
			for (const id of ids) expect((await client.frame()).readInt32BE(0)).toBe(id);
		}
	});

	test("is not read before a fetch in front of it is answered", async () => {
		const client = await connectTo("fetched-first");
		const id = client.send("Fetch", 12, fetchRequest("fetched-first", { maxWaitMs: 200 }));
		client.sendBytes(Buffer.from("7fffffff", "hex"));
		expect((await client.frame()).readInt32BE(0)).toBe(id);
		await client.closed;
	});
});

describe("a fetch", () => {
	test("that wants more bytes than it takes does not wait for them", async () => {
		const client = await connectTo("much-wanted");
		await client.request("Produce", 9, produceRequest("much-wanted", -1, "a"));
		const more = { minBytes: 2_000_000_000, maxBytes: 50 };
		const answer = await client.request("Fetch", 12, fetchRequest("much-wanted", more));
		expect(pick(answer, "responses", 0, "partitions", 0)).toMatchObject({ highWatermark: 1 });
	});

	test("that waits is answered with what there is when something else is asked", async () => {
		const client = await connectTo("interrupted");
		// Longer than the test may take.
		const waiting = fetchRequest("interrupted", { maxWaitMs: 600_000, minBytes: 1_000 });
		await client.request("Produce", 9, produceRequest("interrupted", -1, "a"));
		const id = client.send("Fetch", 12, waiting);
		const behind = client.send("Metadata", 9, { topics: [] });
		const answer = decodeResponse("Fetch", 12, await client.frame());
		expect(answer.correlationId).toBe(id);
		const { records } = pick(answer.fields, "responses", 0, "partitions", 0);
		expect((records as Uint8Array).length).toBeGreaterThan(0);
		expect((await client.frame()).readInt32BE(0)).toBe(behind);
	});

	test("does not hold the request behind it up when its records stay unread", async () => {
		const client = await connectTo("unread");
		const large = "x".repeat(900_000);
		for (let count = 0; count < 3; count++) {
			await client.request("Produce", 9, produceRequest("unread", -1, large));
		}
		const topics = [
			{ topic: "unread", partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 8e6 }] },
		];
		client.socket.pause();
		const ids: number[] = [];
		for (let count = 0; count < 6; count++) {
			ids.push(client.send("Fetch", 12, fetchRequest("unread", { topics, maxBytes: 8e6 })));
		}
		await new Promise((resolve) => setTimeout(resolve, 100));
		client.socket.resume();
		for (const id of ids) expect((await client.frame()).readInt32BE(0)).toBe(id);
	});
});
