import { Kafka, logLevel } from "kafkajs";
import { describe, expect, test } from "vitest";
import WebSocket from "ws";

import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";

const HOUR_MS = 3_600_000;
const ISO_2000_MS = Date.parse("2000-01-01");
/** Longer than anything takes on a busy machine, in milliseconds: the client gives up by itself. */
const PATIENCE_MS = 100_000;

function kafka(broker: { addresses: { kafka: string | null } }, clientId = "kafka-test"): Kafka {
	const brokers = [broker.addresses.kafka ?? ""];
	const timeouts = { connectionTimeout: PATIENCE_MS, requestTimeout: PATIENCE_MS };
	const retry = { retries: 0 };
	return new Kafka({ clientId, brokers, logLevel: logLevel.NOTHING, retry, ...timeouts });
}

describe("the clock of a broker in memory", () => {
	test("stamps records, and runs on from where it was advanced to", async () => {
		await using broker = await startBroker({ memory: true });
		await using client = await connect(broker.addresses.websocket);
		await broker.clock.advance(48 * HOUR_MS);
		const before = broker.clock.now();
		expect(before - Date.now()).toBeGreaterThan(47 * HOUR_MS);
		await client.topics.create("orders", {
			configs: { "message.timestamp.type": "LogAppendTime" },
		});
		await client.producer().send({ topic: "orders", value: 1 });
		for await (const { timestamp } of client.consumer({ topics: "orders", from: "earliest" })) {
			expect(timestamp).toBeGreaterThanOrEqual(before);
			expect(timestamp).toBeLessThanOrEqual(broker.clock.now());
			break;
		}
	});

	test("has retention delete what is too old by it", async () => {
		await using broker = await startBroker({ memory: true });
		await using client = await connect(broker.addresses.websocket);
		await client.topics.create("orders", { configs: { "retention.ms": `${24 * HOUR_MS}` } });
		const producer = client.producer();
		await producer.send({ topic: "orders", value: "old" });
		await broker.clock.advance(23 * HOUR_MS);
		const offsets = () => client.offsets.find("orders", 0, "earliest");
		expect(await offsets()).toBe(0);
		await broker.clock.advance(2 * HOUR_MS);
		expect(await offsets()).toBe(1);
	});

	test("has members of a group time out", async () => {
		await using broker = await startBroker({ memory: true });
		const client = kafka(broker);
		const admin = client.admin();
		await admin.connect();
		await admin.createTopics({ topics: [{ topic: "orders" }] });
		const producer = client.producer();
		await producer.connect();
		await producer.send({ topic: "orders", messages: [{ value: "one" }] });
		const consumer = client.consumer({
			groupId: "billing",
			sessionTimeout: 300_000,
			heartbeatInterval: 250_000,
		});
		const values: (string | undefined)[] = [];
		await consumer.connect();
		await consumer.subscribe({ topic: "orders", fromBeginning: true });
		await consumer.run({
			// A commit of who has timed out would have it join again.
			autoCommit: false,
			eachMessage: async ({ message }) => void values.push(message.value?.toString()),
		});
		await expect.poll(() => values).toEqual(["one"]);
		const state = async () => (await admin.describeGroups(["billing"])).groups[0]?.state;
		expect(await state()).toBe("Stable");
		await broker.clock.advance(301_000);
		expect(await state()).toBe("Empty");
		await admin.disconnect();
		await consumer.disconnect();
		await producer.disconnect();
	});

	test("refuses what is no time to pass", async () => {
		await using broker = await startBroker({ memory: true });
		for (const wrong of [-1, 0.5, Number.NaN, 1e15]) {
			await expect(broker.clock.advance(wrong)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
		}
		expect(broker.clock.now()).toBeGreaterThan(ISO_2000_MS);
	});

	test("is one for each broker", async () => {
		await using first = await startBroker({ memory: true });
		await using second = await startBroker({ memory: true });
		await first.clock.advance(HOUR_MS);
		expect(first.clock.now() - second.clock.now()).toBeGreaterThan(HOUR_MS / 2);
	});
});

describe("faults of a broker in memory", () => {
	test("a full disk refuses records of both protocols until there is room", async () => {
		await using broker = await startBroker({ memory: true });
		await using client = await connect(broker.addresses.websocket);
		await client.producer().send({ topic: "orders", value: "before" });
		const kafkaProducer = kafka(broker).producer();
		await kafkaProducer.connect();
		await broker.faults.fullDisk();
		// Long enough for it to be refused first, were the machine to stall.
		const impatient = client.producer({ deliveryTimeoutMs: 8_000 });
		const refused = await impatient.send({ topic: "orders", value: "refused" }).catch((e) => e);
		expect(refused).toMatchObject({ code: "DELIVERY_TIMEOUT", cause: { code: "DISK_FULL" } });
		const kafkaSend = () => kafkaProducer.send({ topic: "orders", messages: [{ value: "late" }] });
		await expect(kafkaSend()).rejects.toMatchObject({ cause: { type: "KAFKA_STORAGE_ERROR" } });

		// What was sent before the disk is freed arrives once it is.
		const waiting = client.producer().send({ topic: "orders", value: "patient" });
		await broker.faults.freeDisk();
		expect(await waiting).toMatchObject({ offset: 1, durability: "flushed" });
		await kafkaSend();
		await kafkaProducer.disconnect();
		const values: unknown[] = [];
		const consumer = client.consumer({
			topics: "orders",
			until: "end",
			from: "earliest",
			codec: "bytes",
		});
		for await (const record of consumer) values.push(record.offset);
		expect(values).toEqual([0, 1, 2]);
	});

	test("a slow flush delays acks, until it is quick again", async () => {
		await using broker = await startBroker({ memory: true });
		await using client = await connect(broker.addresses.websocket);
		const producer = client.producer();
		await producer.send({ topic: "orders", value: 0 });
		broker.faults.slowFlush(200);
		const sentMs = performance.now();
		await producer.send({ topic: "orders", value: 1 });
		expect(performance.now() - sentMs).toBeGreaterThanOrEqual(199);

		broker.faults.slowFlush(3_600_000);
		let isAcked = false;
		const acked = producer.send({ topic: "orders", value: 2 }).then(() => {
			isAcked = true;
		});
		// A reader never sees what is not flushed: the record is there, and is not shown.
		const written = client.producer({ durability: "written" });
		expect(await written.send({ topic: "orders", value: 3 })).toMatchObject({ offset: 3 });
		expect(isAcked).toBe(false);
		expect(await client.offsets.find("orders", 0, "latest")).toBe(2);
		await broker.faults.clear();
		await acked;
		expect(() => broker.faults.slowFlush(-1)).toThrow(/milliseconds/);
	});

	test("connections are dropped, those of one client or all, and come back", async () => {
		await using broker = await startBroker({ memory: true });
		await using steady = await connect(broker.addresses.websocket, { clientName: "steady" });
		await using shaky = await connect(broker.addresses.websocket, { clientName: "shaky" });
		const admin = kafka(broker, "administrator").admin();
		await admin.connect();
		expect(broker.faults.dropConnections({ clientId: "nobody" })).toBe(0);
		expect(broker.faults.dropConnections({ clientId: "shaky" })).toBe(1);
		await expect.poll(() => shaky.topics.list().catch((error) => error)).toEqual([]);
		expect(steady.state).toBe("ready");
		expect(broker.faults.dropConnections({ clientId: "administrator" })).toBe(1);
		expect(broker.faults.dropConnections()).toBeGreaterThanOrEqual(2);
		const producer = steady.producer();
		expect(await producer.send({ topic: "orders", value: 1 })).toMatchObject({ offset: 0 });
		expect(await admin.listTopics()).toEqual(["orders"]);
		await admin.disconnect();
	});

	test.each(["ws", "uws"] as const)("connections over %s are dropped", async (transport) => {
		await using broker = await startBroker({ memory: true, websocketTransport: transport });
		const socket = new WebSocket(broker.addresses.websocket, "millrace.v1");
		const closed = new Promise<number>((resolve) => {
			socket.onclose = ({ code }) => resolve(code);
		});
		await new Promise((resolve) => {
			socket.onopen = resolve;
		});
		expect(broker.faults.dropConnections()).toBe(1);
		expect(await closed).toBe(1006);
	});
});

test("many brokers live side by side, each for itself", async () => {
	const brokers = await Promise.all(Array.from({ length: 8 }, () => startBroker({ memory: true })));
	const [full, ...others] = brokers;
	await full?.faults.fullDisk();
	for (const broker of others) {
		await using client = await connect(broker.addresses.websocket);
		expect(await client.producer().send({ topic: "orders", value: 1 })).toMatchObject({
			offset: 0,
		});
	}
	await Promise.all(brokers.map((broker) => broker.close()));
});

test("a broker that stops is held up by no fault", async () => {
	const broker = await startBroker({ memory: true });
	await using client = await connect(broker.addresses.websocket);
	await client.producer().send({ topic: "orders", value: 0 });
	await broker.faults.fullDisk();
	broker.faults.slowFlush(3_600_000);
	const producer = client.producer({ deliveryTimeoutMs: 500 });
	const outstanding = producer.send({ topic: "orders", value: 1 }).catch(() => undefined);
	await Promise.all([broker.close(), outstanding]);
});
