/**
 * The promise: a full disk is a clear error that may be retried. Reads go on, nothing acknowledged
 * is lost, the broker stops and starts, deleting a topic makes room, and records are then taken
 * again without anybody's help.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { BrokerProcess, runCommand } from "../broker-process.ts";
import { type Mount, missingMounts, mountMemory, mountNewImage } from "../mounts.ts";
import { RawClient } from "../websocket/raw-client.ts";

const MEBIBYTE = 1_048_576;
const VALUE_BYTES = 50_000;
const FULL = CODES.DISK_FULL.code;

const FILE_SYSTEMS: [name: string, mount: () => Mount][] = [
	["tmpfs", () => mountMemory(12 * MEBIBYTE)],
	["ext4", () => mountNewImage(16 * MEBIBYTE)],
];

/**
 * Topics whose acks wait for the disk, and topics whose acks do not.
 */
const WRITERS: [name: string, configs: Record<string, number>][] = [
	["a topic that flushes", {}],
	["a topic that does not flush", { "flush.messages": 1_000_000 }],
];

test.for(
	FILE_SYSTEMS.flatMap(([system, mount]) =>
		WRITERS.map(([writer, configs]) => ({ system, mount, writer, configs })),
	),
)("$writer on a full $system", { timeout: 60_000 }, async ({ mount, configs }, context) => {
	const missing = missingMounts();
	if (missing !== null) context.skip(missing);
	const dataDir = join(mount().directory, "data");
	let broker = await BrokerProcess.start({ dataDir });
	const { port } = broker;
	const client = await connect(broker.url);
	let raw = await RawClient.greeted(broker.url);
	await client.topics.create("ballast");
	await client.topics.create("kept", { configs });
	const stored = { ballast: new Map(), kept: new Map() } satisfies Record<string, Stored>;

	// As far as the disk goes: half of it into each topic.
	expect(await fill(raw, "ballast", stored.ballast, 4 * MEBIBYTE)).toBe(0);
	expect(await fill(raw, "kept", stored.kept, 64 * MEBIBYTE)).toBe(FULL);
	expect(stored.kept.size).toBeGreaterThan(50);

	// It stays an error as long as the disk is full, in every topic; then smaller records may fit.
	expect(await fill(raw, "kept", stored.kept, VALUE_BYTES)).toBe(FULL);
	const refusal = await sendOne(client, "kept").catch((error: unknown) => error);
	expect(refusal).toMatchObject({ retriable: true });
	expect(String((refusal as Error).cause)).toContain("disk is full");
	await expectServed(client, stored);

	// To the last byte, as small records have it; then only what makes room is sure to work.
	for (const bytes of [1_000, 1]) {
		expect(await fill(raw, "kept", stored.kept, 4 * MEBIBYTE, bytes)).toBe(FULL);
	}
	await client.topics.create("one-more").catch(isDiskFull);
	await client.topics.alter("kept", { "segment.ms": 100_000_000 }).catch(isDiskFull);
	for (const ending of ["kill", "stop"] as const) {
		const ended = await broker[ending]();
		if (ended !== undefined) expect(ended).toMatchObject({ code: 0, signal: null });
		broker = await BrokerProcess.start({ dataDir, port });
		await expectServed(client, stored);
	}
	raw = await RawClient.greeted(broker.url);
	expect(await fill(raw, "kept", stored.kept, VALUE_BYTES)).toBe(FULL);

	// A record that waits for room is stored as soon as there is some.
	const waiting = sendOne(client, "kept", 20_000);
	await client.topics.delete("ballast");
	expect(await waiting).toMatchObject({ partition: 0 });
	expect(await fill(raw, "kept", stored.kept, 2 * MEBIBYTE)).toBe(0);
	await expectServed(client, { kept: stored.kept });

	raw.close();
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0, signal: null });
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
	broker = await BrokerProcess.start({ dataDir });
	const again = await connect(broker.url);
	await expectServed(again, { kept: stored.kept });
	await again.close();
	expect(await broker.stop()).toMatchObject({ code: 0, signal: null });
});

/** Values by the offset that they were acknowledged at. */
type Stored = Map<number, Uint8Array>;

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

function isDiskFull(error: unknown): void {
	expect(error).toMatchObject({ code: "DISK_FULL" });
}

function sendOne(client: Client, topic: string, deliveryTimeoutMs = 1_000) {
	const producer = client.producer<Uint8Array>({ codec: "bytes", deliveryTimeoutMs });
	return producer.send({ topic, value: new Uint8Array(10 * VALUE_BYTES) });
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
