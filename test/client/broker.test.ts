import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Client, connect } from "../../src/client/index.ts";
import { type Broker, type StartBrokerOptions, startBroker } from "../../src/index.ts";
import { LIMITS } from "../../src/limits.ts";
import { reservePort } from "../ports.ts";
import { recordBatch, records } from "../record-batch.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";
import { RawClient } from "../websocket/raw-client.ts";

let broker: Broker;
let client: Client;

beforeAll(async () => {
	broker = await startBroker({ memory: true });
	client = await connect(broker.addresses.websocket as string);
});

afterAll(async () => {
	await client.close();
	await broker.close();
});

test("values of every kind come back equal, in order, by keys over partitions", async () => {
	const { created, topic } = await client.topics.create("values", { partitions: 4 });
	expect([created, topic?.partitions]).toEqual([true, 4]);
	const producer = client.producer();
	const values = Array.from({ length: 5_000 }, (_, number) => ({
		number,
		text: `número ${number}`,
		at: new Date(number * 1_000),
		list: [null, true, 1.5, -number, { deep: number * 4_294_967_296 }],
	}));
	const records = values.map((value) => ({ key: `key-${value.number % 100}`, value }));
	const acks = await producer.sendBatch("values", records);
	const consumer = client.consumer({ topics: "values", from: "earliest", until: "end" });
	const last = new Map<string, number>();
	let count = 0;
	for await (const record of consumer) {
		const value = record.value as (typeof values)[number];
		expect(value).toEqual(values[value.number]);
		expect(acks[value.number]).toMatchObject({
			partition: record.partition,
			offset: record.offset,
		});
		const key = record.keyText as string;
		expect(value.number).toBeGreaterThan(last.get(key) ?? -1);
		last.set(key, value.number);
		count++;
	}
	expect(count).toBe(values.length);
});

test("headers, tombstones and times are stored", async () => {
	await client.topics.create("shapes");
	const producer = client.producer<string>({ codec: "string" });
	await producer.send({
		topic: "shapes",
		key: "k",
		value: null,
		timestamp: 1_700_000_000_123,
		headers: { a: "1", b: null },
	});
	const { offset } = await producer.send({ topic: "shapes", value: "é" });
	const seen: { keyText: string | null; value: unknown; timestamp: number; headers: unknown[] }[] =
		[];
	const consumer = client.consumer<string>({
		topics: "shapes",
		codec: "string",
		from: "earliest",
		until: "end",
	});
	for await (const { keyText, value, timestamp, headers } of consumer) {
		seen.push({ keyText, value, timestamp, headers: headers.map(([n, v]) => [n, v && `${v}`]) });
	}
	expect(seen).toHaveLength(2);
	expect(seen[0]).toMatchObject({ keyText: "k", value: null, timestamp: 1_700_000_000_123 });
	expect(seen[0]?.headers).toHaveLength(2);
	expect(seen[1]).toMatchObject({ keyText: null, value: "é", headers: [] });
	expect(Math.abs((seen[1]?.timestamp ?? 0) - Date.now())).toBeLessThan(60_000);
	expect(await client.offsets.find("shapes", 0, "latest")).toBe(offset + 1);
});

test("offsets, partitions and configuration are administered", async () => {
	await client.topics.create("managed", { configs: { "retention.ms": 9_007_199_254_740_993n } });
	const altered = await client.topics.alter("managed", { "max.message.bytes": 2_000 });
	const config = new Map(altered.configs.map(({ name, value }) => [name, value]));
	expect(config.get("retention.ms")).toBe("9007199254740993");
	expect(config.get("max.message.bytes")).toBe("2000");
	const producer = client.producer<string>({ codec: "string" });
	await expect(producer.send({ topic: "managed", value: "x".repeat(3_000) })).rejects.toMatchObject(
		{ code: "MESSAGE_TOO_LARGE", topic: "managed", partition: 0 },
	);
	await producer.send({ topic: "managed", value: "small" });
	expect((await client.topics.addPartitions("managed", 3)).partitions).toBe(3);
	expect((await producer.send({ topic: "managed", value: "x", partition: 2 })).partition).toBe(2);
	const [first] = await client.offsets.describe("managed");
	expect(first).toMatchObject({ partition: 0, log_start: 0, high_watermark: 1 });
	expect(await client.offsets.find("managed", 0, { timestamp: Date.now() + 60_000 })).toBeNull();
	const { topicId } = await client.topics.delete("managed");
	expect(topicId).toBe(altered.topic_id);
	expect((await client.topics.list()).map(({ name }) => name)).not.toContain("managed");
});

test("small batches within a small max.message.bytes all arrive", async () => {
	await client.topics.create("narrow", { configs: { "max.message.bytes": 1_000 } });
	const producer = client.producer<string>({ codec: "string" });
	const records = Array.from({ length: 3_000 }, (_, number) => ({ value: `${number}` }));
	const acks = await producer.sendBatch("narrow", records);
	expect(acks.map(({ offset }) => offset)).toEqual(records.map((_, number) => number));
});

test("an offset beyond the log is out of range, typed", async () => {
	await client.topics.create("short");
	const consumer = client.consumer({ topics: "short", from: { offset: 7 } });
	await expect(consumer[Symbol.asyncIterator]().next()).rejects.toMatchObject({
		code: "OFFSET_OUT_OF_RANGE",
		topic: "short",
		partition: 0,
	});
	await consumer.close();
});

test("a record that no frame holds ends the reading of its partition, until a seek", async () => {
	await client.topics.create("dense");
	const producer = client.producer<string>({ codec: "string" });
	await producer.send({ topic: "dense", value: "before" });
	const raw = await RawClient.greeted(broker.addresses.websocket as string);
	onTestFinished(() => raw.close());
	const values = [Buffer.alloc(LIMITS.frameBytesMax + 1)];
	const batch = recordBatch(values, { attributes: 1, body: gzipSync(records(values)) });
	raw.send(3, 5, 2, [["dense", 0, -1, 2, batch]]);
	expect((await raw.reply(5))[3]).toMatchObject([[0, 0, 1, expect.any(Number)]]);
	await producer.send({ topic: "dense", value: "after" });

	const consumer = client.consumer<string>({ topics: "dense", codec: "string", from: "earliest" });
	const seen: (string | null)[] = [];
	const readOne = async (): Promise<void> => {
		for await (const { value } of consumer) {
			seen.push(value);
			break;
		}
	};
	await readOne();
	const thrown = { code: "MESSAGE_TOO_LARGE", retriable: false, topic: "dense", partition: 0 };
	await expect(readOne()).rejects.toMatchObject(thrown);
	const position = consumer.position("dense", 0) as number;
	expect(position).toBe(1);
	consumer.seek("dense", 0, { offset: position + 1 });
	await readOne();
	expect(seen).toEqual(["before", "after"]);
	await consumer.close();
});

describe.each(TRANSPORTS)("on %s", (websocketTransport) => {
	requireTransport(websocketTransport);

	test("through restarts of the broker every record is stored once and read once", async () => {
		const dataDir = await mkdtemp(join(tmpdir(), "millrace-client-"));
		const kafka = "127.0.0.1:0";
		const options = { dataDir, websocketTransport, kafka } satisfies StartBrokerOptions;
		const websocket = `127.0.0.1:${await reservePort(onTestFinished)}`;
		let durable = await startBroker({ ...options, websocket });
		const url = durable.addresses.websocket as string;
		const own = await connect(url, { reconnectMsFirst: 5, reconnectMsMax: 50 });
		try {
			await own.topics.create("kept", { partitions: 3 });
			const seen: string[] = [];
			const consumer = own.consumer<string>({ topics: "kept", codec: "string", from: "earliest" });
			const reading = (async () => {
				for await (const { value } of consumer) if (seen.push(value as string) === 6_000) return;
			})();
			const producer = own.producer<string>({ codec: "string" });
			const acks: Promise<unknown>[] = [];
			for (let round = 0; round < 3; round++) {
				for (let number = 0; number < 2_000; number++) {
					const value = `${round * 2_000 + number}`;
					acks.push(producer.send({ topic: "kept", key: `${number % 50}`, value }));
					if (number % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
					if (number !== 1_000) continue;
					await durable.close();
					durable = await startBroker({ ...options, websocket });
				}
			}
			await Promise.all(acks);
			await reading;
			expect(seen.length).toBe(6_000);
			expect(new Set(seen).size).toBe(6_000);
			const ends = await own.offsets.describe("kept");
			expect(ends.reduce((sum, { high_watermark }) => sum + high_watermark, 0)).toBe(6_000);
		} finally {
			await own.close();
			await durable.close();
			await rm(dataDir, { recursive: true, force: true });
		}
	});
});

test("a broker that lost its data gives the producer another identity", async () => {
	const websocket = `127.0.0.1:${await reservePort(onTestFinished)}`;
	const options = { memory: true, websocket, kafka: "127.0.0.1:0" } as const;
	const first = await startBroker(options);
	const other = await connect(first.addresses.websocket);
	const producer = other.producer();
	// Ids that the second broker, new as it is, will not have handed out.
	for (let count = 0; count < 5; count++) await (await connect(first.addresses.websocket)).close();
	const late = await connect(first.addresses.websocket);
	const lateProducer = late.producer();
	await Promise.all([producer, lateProducer].map((each) => each.send({ topic: "lost", value: 1 })));
	await first.close();
	const second = await startBroker(options);
	expect(second.clusterId).not.toBe(first.clusterId);
	const acks = await Promise.all(
		[producer, lateProducer].flatMap((each) => [
			each.send({ topic: "lost", value: 2 }),
			each.send({ topic: "lost", value: 3 }),
		]),
	);
	expect(acks.map(({ offset }) => offset).sort()).toEqual([0, 1, 2, 3]);
	await Promise.all([other.close(), late.close()]);
	await second.close();
});

test("a client whose broker is gone for good closes once its records have failed", async () => {
	// Where nobody else comes to listen.
	const gone = await startBroker({
		memory: true,
		websocket: `127.0.0.1:${await reservePort(onTestFinished)}`,
		kafka: "127.0.0.1:0",
	});
	const own = await connect(gone.addresses.websocket);
	await gone.close();
	// Of a topic that the client has not opened yet.
	const sent = own.producer({ deliveryTimeoutMs: 200 }).send({ topic: "late", value: 1 });
	await expect(sent).rejects.toMatchObject({ code: "DELIVERY_TIMEOUT" });
	await own.close();
	expect(own.state).toBe("closed");
});
