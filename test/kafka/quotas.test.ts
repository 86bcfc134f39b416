/** How Kafka clients are held to their quotas. */
import { afterEach, describe, expect, onTestFinished, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { recordBatch } from "../record-batch.ts";
import { decodeResponse, type Fields } from "./client-codec.ts";
import type { RawKafkaClient } from "./raw-client.ts";
import { newTopic, useBroker } from "./use-broker.ts";

/**
 * A thousand seconds of the rate may be had at once. Waits are as long, and pass by the broker's
 * clock: next to them it is nothing what a busy machine takes.
 */
const used = useBroker({
	options: {
		"quota.window.num": "2",
		"quota.window.size.seconds": "1000",
		"connections.max.idle.ms": "86400000",
	},
});

/** How much earlier it is looked whether who has to wait is kept waiting, in milliseconds. */
const EARLY_MS = 200_000;
/** What is counted is forgotten when so long a time has passed. */
const FORGOTTEN_MS = 2_000_000;

const CLIENT = "limited";
const as = { clientId: CLIENT };
const VALUE_BYTES = 10_000;

let topicCount = 0;

async function makeTopic(): Promise<string> {
	const name = `topic-${topicCount++}`;
	await used.ask("CreateTopics", 7, { topics: [newTopic(name)], timeoutMs: 60_000 });
	return name;
}

async function alter(key: string, value: number, remove = false): Promise<void> {
	const entity = [{ entityType: "client-id", entityName: CLIENT }];
	const entries = [{ entity, ops: [{ key, value, remove }] }];
	const answer = await used.ask("AlterClientQuotas", 1, { entries, validateOnly: false });
	expect(answer.entries).toMatchObject([{ errorCode: 0 }]);
}

const QUOTAS = ["producer_byte_rate", "consumer_byte_rate", "request_rate"];
afterEach(async () => {
	for (const key of QUOTAS) await alter(key, 0, true);
	await used.broker.clock.advance(FORGOTTEN_MS);
});

async function connectSdk(): Promise<Client> {
	const sdk = await connect(used.broker.addresses.websocket);
	onTestFinished(() => sdk.close());
	return sdk;
}

const production = (topic: string, acks = -1, count = 1): Fields => ({
	transactionalId: null,
	acks,
	timeoutMs: 1_000,
	topicData: [
		{
			name: topic,
			partitionData: [
				{ index: 0, records: recordBatch(Array(count).fill(Buffer.alloc(VALUE_BYTES))) },
			],
		},
	],
});

const fetching = (topic: string, offset: number): Fields => ({
	maxWaitMs: 100,
	minBytes: 1,
	maxBytes: 50_000_000,
	sessionEpoch: -1,
	topics: [
		{
			topic,
			partitions: [{ partition: 0, fetchOffset: offset, partitionMaxBytes: 50_000_000 }],
		},
	],
});

/**
 * Lets a client wait that was told to; fails where it is answered before that is over. Resolves to
 * how long it is told to wait then, in milliseconds.
 */
async function expectHeld(client: RawKafkaClient, waitMs: number): Promise<number> {
	client.send("Metadata", 9, { topics: [] }, as);
	await used.broker.clock.advance(waitMs - EARLY_MS);
	// Somebody else who asks behind it is answered.
	await used.ask("Metadata", 9, { topics: [] });
	expect(client.framesWaiting).toBe(0);
	await used.broker.clock.advance(EARLY_MS);
	const { fields } = decodeResponse("Metadata", 9, await client.frame());
	return fields.throttleTimeMs as number;
}

const endOffset = async (topic: string): Promise<unknown> => {
	const partitions = [{ partitionIndex: 0, timestamp: -1 }];
	const { topics } = await used.ask("ListOffsets", 5, {
		replicaId: -1,
		topics: [{ name: topic, partitions }],
	});
	return (topics as { partitions: { offset: unknown }[] }[])[0]?.partitions[0]?.offset;
};

describe("a producer over its quota", () => {
	test("is told how long to wait, and held to it", async () => {
		await alter("producer_byte_rate", 20);
		const topic = await makeTopic();
		const client = await used.connect();
		let toldMs = 0;
		for (let count = 1; count <= 5; count++) {
			const answer = await client.request("Produce", 9, production(topic), as);
			expect(answer.responses).toMatchObject([{ partitionResponses: [{ errorCode: 0 }] }]);
			const waitMs = answer.throttleTimeMs as number;
			toldMs += waitMs;
			if (count < 3) await used.broker.clock.advance(waitMs);
			else await expectHeld(client, waitMs);
		}
		// 50,000 bytes at 20 a second, of which a thousand seconds' may come at once.
		expect(toldMs).toBeGreaterThan(1_400_000);
		expect(await endOffset(topic)).toBe(5);
	});

	test("holds up nobody else", async () => {
		await alter("producer_byte_rate", 10);
		const topic = await makeTopic();
		const client = await used.connect();
		const other = await used.connect();
		const { throttleTimeMs } = await client.request("Produce", 9, production(topic, -1, 3), as);
		expect(throttleTimeMs).toBeGreaterThan(2_000_000);
		client.send("Metadata", 9, { topics: [] }, as);
		for (let index = 0; index < 20; index++) {
			const answer = await other.request("Produce", 9, production(topic), { clientId: "other" });
			expect(answer.throttleTimeMs).toBe(0);
		}
		const sdk = await connectSdk();
		expect(await sdk.quotas.throttled()).toMatchObject([
			{ protocol: "kafka", user: "ANONYMOUS", client_id: CLIENT, quota: "producer_byte_rate" },
		]);
		const metrics = await (await fetch(`${used.broker.addresses.http}/metrics`)).text();
		const labels = 'protocol="kafka",quota="producer_byte_rate"';
		expect(metrics).toContain(`millrace_throttled_clients{${labels}} 1\n`);
		// Whoever is given more waits no longer.
		expect(client.framesWaiting).toBe(0);
		await alter("producer_byte_rate", 1_000_000_000);
		await client.frame();
		expect(await sdk.quotas.throttled()).toEqual([]);
	});

	test("that wants no answers is held to it, too, and loses nothing", async () => {
		await alter("producer_byte_rate", 50);
		const topic = await makeTopic();
		const client = await used.connect();
		const sdk = await connectSdk();
		const startedMs = used.broker.clock.now();
		for (let index = 0; index < 10; index++) client.send("Produce", 9, production(topic, 0), as);
		// It says that it is done, and the broker has read it all when the wait is over.
		client.socket.end();
		let isClosed = false;
		const closed = client.closed.then(() => {
			isClosed = true;
		});
		let waits = 0;
		while (!isClosed) {
			for (const { left_ms: leftMs } of await sdk.quotas.throttled()) {
				await used.broker.clock.advance(leftMs);
				waits++;
			}
		}
		await closed;
		// 100,000 bytes at 50 a second, of which a thousand seconds' may come at once: half of them,
		// and the others one after the other.
		expect(waits).toBeGreaterThanOrEqual(4);
		expect(used.broker.clock.now() - startedMs).toBeGreaterThan(800_000);
		await expect.poll(() => endOffset(topic)).toBe(10);
	});
});

test("a consumer over its quota gets what it asks for, and waits then", async () => {
	const topic = await makeTopic();
	const client = await used.connect();
	for (let index = 0; index < 10; index++) {
		await client.request("Produce", 9, production(topic), as);
	}
	await alter("consumer_byte_rate", 40);
	let toldMs = 0;
	for (let offset = 0; offset < 10; ) {
		const answer = await client.request("Fetch", 11, fetching(topic, offset), as);
		const [{ partitions }] = answer.responses as [{ partitions: [{ records: Uint8Array }] }];
		const [{ records }] = partitions;
		// As much as a thousand seconds of the rate have, in whole batches.
		expect(records.length).toBeGreaterThan(VALUE_BYTES);
		expect(records.length).toBeLessThan(40_000);
		offset += Math.floor(records.length / VALUE_BYTES);
		const waitMs = answer.throttleTimeMs as number;
		toldMs += waitMs;
		if (waitMs > 0) await expectHeld(client, waitMs);
	}
	expect(toldMs).toBeGreaterThan(1_400_000);
});

test("a client that asks for too much too often has to wait, whatever it asks for", async () => {
	await alter("request_rate", 0.002);
	const client = await used.connect();
	const ask = async () => {
		const { throttleTimeMs } = await client.request("Metadata", 9, { topics: [] }, as);
		return throttleTimeMs as number;
	};
	// Two are what a thousand seconds have.
	expect(await ask()).toBe(0);
	expect(await ask()).toBe(0);
	let waitMs = await ask();
	for (let count = 0; count < 3; count++) {
		expect(waitMs).toBeGreaterThan(400_000);
		// What is asked meanwhile counts, too.
		waitMs = await expectHeld(client, waitMs);
	}
});

test("a client that is told to wait and goes away is forgotten", async () => {
	await alter("producer_byte_rate", 1);
	const topic = await makeTopic();
	const client: RawKafkaClient = await used.connect();
	await client.request("Produce", 9, production(topic), as);
	const sdk = await connectSdk();
	expect(await sdk.quotas.throttled()).toHaveLength(1);
	await client.close();
	await expect.poll(() => sdk.quotas.throttled()).toEqual([]);
});
