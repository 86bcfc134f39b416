/**
 * The promise: a full disk costs nothing but the records that it cannot take. They are refused,
 * over either protocol, by an error that may be retried, while there is still room for the rest:
 * reads, committed offsets, deletions and administration go on. Nothing acknowledged is lost.
 * Deleting makes room at once, and records are then taken again without anybody's help. That
 * holds, too, where something else takes the disk to its last block, and a broker is killed and
 * starts there.
 */
import { randomBytes } from "node:crypto";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs, { type KafkaJSProtocolError } from "kafkajs";
import { expect, onTestFinished, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { BrokerProcess, runCommand } from "../broker-process.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";
import { type Mount, missingMounts, mountMemory, mountNewImage } from "../mounts.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { RawClient } from "../websocket/raw-client.ts";

const MEBIBYTE = 1_048_576;
const VALUE_BYTES = 50_000;
const FULL = CODES.DISK_FULL.code;
const KAFKA_FULL = CODES.KAFKA_STORAGE_ERROR.code;

const FILE_SYSTEMS: [name: string, mount: () => Mount][] = [
	["ext4", () => mountNewImage(64 * MEBIBYTE)],
	["tmpfs", () => mountMemory(64 * MEBIBYTE)],
];

/** Topics whose acks wait for the disk, topics whose acks do not, and one that is mapped. */
const WRITERS: [name: string, configs: Record<string, number | boolean>][] = [
	["a topic that flushes", {}],
	["a topic that does not flush", { "flush.messages": 1_000_000 }],
	["a topic that is preallocated", { "flush.messages": 1_000_000, preallocate: true }],
];

/** Values by the offset that they were acknowledged at. */
type Stored = Map<number, Uint8Array>;

test.for(
	FILE_SYSTEMS.flatMap(([system, mount]) =>
		WRITERS.map(([writer, configs]) => ({ system, mount, writer, configs })),
	).map((variant, index) => ({ ...variant, isLong: index > 0 })),
)("$writer on a full $system", async ({ mount, configs, isLong }, context) => {
	if (isLong && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
	const missing = missingMounts();
	if (missing !== null) context.skip(missing);
	const { directory } = mount();
	const dataDir = join(directory, "data");
	const stored = {
		ballast: new Map(),
		victim: new Map(),
		kept: new Map(),
		kafka: new Map(),
	} satisfies Record<string, Stored>;
	let broker = await BrokerProcess.start({ dataDir });
	const { port } = broker;
	const client = await connect(broker.url);
	let raw = await RawClient.greeted(broker.url);
	let kafka = await kafkaClients(broker);
	for (const topic of Object.keys(stored)) await client.topics.create(topic, { configs });

	// Records are refused over both protocols while there is still room for the rest.
	expect(await fill(raw, "ballast", stored.ballast, 10 * MEBIBYTE)).toBe(0);
	expect(await fill(raw, "victim", stored.victim, 8 * MEBIBYTE)).toBe(0);
	const refusal = await refusedForGood(client, () => fillByBoth(raw, kafka, stored));
	expect(stored.kept.size).toBeGreaterThan(100);
	expect(stored.kafka.size).toBeGreaterThan(100);
	expect(freeBytes(directory)).toBeGreaterThan(MEBIBYTE);
	expect(refusal).toMatchObject({ retriable: true });
	expect(String(refusal.cause)).toContain("delete topics or records");

	// Everything else goes on.
	await expectServed(client, stored);
	await expectGroupsCommit(client, kafka, "victim", stored.victim.size);
	await client.topics.create("one-more");
	await client.topics.alter("kept", { "segment.ms": 100_000_000 });
	while ((await fill(raw, "one-more", new Map(), 1, 1)) === 0) await fillByBoth(raw, kafka, stored);
	expect(await fill(raw, "one-more", new Map(), 1, 1)).toBe(FULL);

	// Deleting records makes room at once, and who waits for it is served.
	const waiting = sendOne(client, "kept", 120_000);
	const before = freeBytes(directory);
	await kafka.admin.fetchTopicOffsets("victim");
	await kafka.admin.deleteTopicRecords({
		topic: "victim",
		partitions: [{ partition: 0, offset: "-1" }],
	});
	stored.victim.clear();
	expect(await waiting).toMatchObject({ partition: 0 });
	expect(freeBytes(directory)).toBeGreaterThan(before + 6 * MEBIBYTE);
	await fillByBoth(raw, kafka, stored);
	await expectServed(client, stored);

	// Something else takes the disk to its last block. The broker is killed, starts, stops there.
	const otherFile = join(directory, "other");
	takeAll(directory, otherFile);
	await expectServed(client, stored);
	for (const ending of ["kill", "stop"] as const) {
		const ended = await broker[ending]();
		if (ended !== undefined) expect(ended).toMatchObject({ code: 0, signal: null });
		broker = await BrokerProcess.start({ dataDir, port });
		await expectServed(client, stored);
	}
	raw = await RawClient.greeted(broker.url);
	kafka = await kafkaClients(broker);
	while (!(await refusedByBoth(raw, kafka, stored))) takeAll(directory, otherFile);
	takeAll(directory, otherFile);

	// Even then a topic can be deleted, which is room for the others.
	const stillWaiting = sendOne(client, "kept", 120_000);
	await client.topics.delete("ballast");
	expect(await stillWaiting).toMatchObject({ partition: 0 });
	expect(await fill(raw, "kept", stored.kept, 2 * MEBIBYTE)).toBe(0);
	expect(await fillByKafka(kafka, stored.kafka, MEBIBYTE)).toBe(0);
	rmSync(otherFile);
	await expectGroupsCommit(client, kafka, "kafka", stored.kafka.size);
	const { ballast: _, ...left } = stored;
	await expectServed(client, left);

	raw.close();
	await client.close();
	const stopped = await broker.stop();
	expect(stopped).toMatchObject({ code: 0, signal: null });
	// It said how short the disk was when it started, and that records are taken again.
	expect(stopped.stderr).toMatch(/disk space: .*bytes are available to/);
	expect(stopped.stderr).toMatch(/disk space: .*records are taken/);
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
	broker = await BrokerProcess.start({ dataDir });
	const again = await connect(broker.url);
	await expectServed(again, left);
	await again.close();
	expect(await broker.stop()).toMatchObject({ code: 0, signal: null });
});

interface KafkaClients {
	readonly producer: kafkajs.Producer;
	readonly admin: kafkajs.Admin;
	readonly kafka: kafkajs.Kafka;
}

async function kafkaClients({ kafka: address }: BrokerProcess): Promise<KafkaClients> {
	const kafka = new kafkajs.Kafka({
		...KAFKAJS_SETTINGS,
		brokers: [address ?? ""],
		retry: { retries: 0 },
	});
	const producer = kafka.producer();
	const admin = kafka.admin();
	onTestFinished(async () => {
		await Promise.all([producer.disconnect(), admin.disconnect()]);
	});
	await Promise.all([producer.connect(), admin.connect()]);
	// It knows no broker to ask of groups before it has asked for anything else.
	await admin.listTopics();
	return { producer, admin, kafka };
}

/**
 * Produces records of `valueBytes`, ten a frame, up to `bytes` or the first error, whose code is
 * the result; else 0.
 */
async function fill(
	raw: RawClient,
	topic: string,
	stored: Stored,
	bytes: number,
	valueBytes = VALUE_BYTES,
): Promise<number> {
	for (let sent = 0; sent < bytes; sent += 10 * valueBytes) {
		const values = Array.from({ length: 10 }, () => new Uint8Array(randomBytes(valueBytes)));
		const [[code, , offset]] = (await raw.produce(topic, values)) as [[number, number, number]];
		if (code !== 0) return code;
		for (const [index, value] of values.entries()) stored.set(offset + index, value);
	}
	return 0;
}

/** The same over the Kafka protocol, to the topic of that name. */
async function fillByKafka(
	{ producer }: KafkaClients,
	stored: Stored,
	bytes: number,
): Promise<number> {
	for (let sent = 0; sent < bytes; sent += 10 * VALUE_BYTES) {
		const values = Array.from({ length: 10 }, () => randomBytes(VALUE_BYTES));
		try {
			const messages = values.map((value) => ({ value }));
			const [answer] = await producer.send({ topic: "kafka", messages });
			const offset = Number(answer?.baseOffset);
			for (const [index, value] of values.entries()) stored.set(offset + index, value);
		} catch (error) {
			return codeOf(error);
		}
	}
	return 0;
}

/** What a Kafka client was answered; it wraps that in an error of its own when it gives up. */
function codeOf(error: unknown): number {
	const { cause = error } = error as Error;
	expect(cause).toMatchObject({ retriable: true });
	return (cause as KafkaJSProtocolError).code;
}

type Filled = Record<"kept" | "kafka", Stored>;

/**
 * Over both protocols in turns, as far as the disk goes. The first refusal need not be the last:
 * the broker then gives back what it had allocated ahead.
 */
async function fillByBoth(raw: RawClient, kafka: KafkaClients, stored: Filled): Promise<void> {
	while (!(await refusedByBoth(raw, kafka, stored))) {
		expect([0, FULL]).toContain(await fill(raw, "kept", stored.kept, MEBIBYTE));
		expect([0, KAFKA_FULL]).toContain(await fillByKafka(kafka, stored.kafka, MEBIBYTE));
	}
}

/** Whether a few records are refused over both protocols, as what they are. */
async function refusedByBoth(
	raw: RawClient,
	kafka: KafkaClients,
	stored: Filled,
): Promise<boolean> {
	const codes = [
		await fill(raw, "kept", stored.kept, 1),
		await fillByKafka(kafka, stored.kafka, 1),
	];
	if (codes.includes(0)) return false;
	expect(codes).toEqual([FULL, KAFKA_FULL]);
	return true;
}

function freeBytes(directory: string): number {
	const { bsize, bavail } = statfsSync(directory);
	return bsize * bavail;
}

/** Writes a file until not one more block can be had. */
function takeAll(directory: string, path: string): void {
	let bytes = freeBytes(directory) + MEBIBYTE;
	for (; bytes >= 1_024; bytes = Math.floor(bytes / 2)) {
		try {
			writeFileSync(path, Buffer.alloc(bytes, 1), { flag: "a" });
		} catch (error) {
			expect(error).toMatchObject({ code: "ENOSPC" });
		}
	}
	expect(freeBytes(directory)).toBeLessThan(65_536);
}

function sendOne(client: Client, topic: string, deliveryTimeoutMs = 1_000) {
	const producer = client.producer<Uint8Array>({ codec: "bytes", deliveryTimeoutMs });
	return producer.send({ topic, value: new Uint8Array(10 * VALUE_BYTES) });
}

/**
 * Fills the disk until a record is refused for as long as the SDK repeats it: what was allocated
 * ahead is given back meanwhile, and that may be room for a few more.
 */
async function refusedForGood(client: Client, fillOnce: () => Promise<void>): Promise<Error> {
	for (;;) {
		await fillOnce();
		try {
			await sendOne(client, "kept");
		} catch (error) {
			expect(error).toMatchObject({ code: "DELIVERY_TIMEOUT" });
			// It may have had the time for no answer.
			if ((error as Error).cause !== undefined) return error as Error;
		}
	}
}

/** A group over each protocol reads a topic of so many records and commits behind the last. */
async function expectGroupsCommit(
	client: Client,
	{ kafka, admin }: KafkaClients,
	topic: string,
	count: number,
): Promise<void> {
	const group = `websocket-${topic}`;
	const consumer = client.consumer<Uint8Array>({
		...{ topics: [topic], codec: "bytes", group, from: "earliest", until: "end" },
	});
	let taken = 0;
	for await (const _ of consumer) taken += 1;
	await consumer.commit();
	await consumer.close();
	expect(taken).toBeGreaterThanOrEqual(count);
	const member = kafka.consumer({ groupId: `kafka-${topic}` });
	await member.connect();
	await member.subscribe({ topic, fromBeginning: true });
	let read = 0;
	await member.run({
		eachMessage: async () => {
			read += 1;
		},
	});
	while (read < taken) await sleep(20);
	await member.disconnect();
	for (const groupId of [group, `kafka-${topic}`]) {
		const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
		expect(found?.partitions, groupId).toMatchObject([{ partition: 0, offset: String(taken) }]);
	}
}

/** Every acknowledged record is delivered, unchanged. */
async function expectServed(client: Client, stored: Record<string, Stored>): Promise<void> {
	const topics = Object.keys(stored);
	const left = new Map(topics.map((topic) => [topic, new Map(stored[topic])]));
	const consumer = client.consumer<Uint8Array>({
		topics,
		codec: "bytes",
		from: "earliest",
		until: "end",
	});
	for await (const { topic, offset, valueBytes } of consumer) {
		const expected = left.get(topic)?.get(offset);
		if (expected === undefined) continue;
		expect(Buffer.compare(valueBytes as Uint8Array, expected), `${topic} ${offset}`).toBe(0);
		left.get(topic)?.delete(offset);
	}
	expect([...left].map(([topic, records]) => [topic, [...records.keys()]])).toEqual(
		topics.map((topic) => [topic, []]),
	);
	await consumer.close();
}
