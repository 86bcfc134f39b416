import { describe, expect, test } from "vitest";

import { murmur2, partitionOfHash } from "../../src/client/producer/murmur2.ts";
import type { DecodedMap } from "../../src/protocol/reader.ts";
import { FrameReader } from "../../src/protocol/reader.ts";
import { type FrameValue, FrameWriter } from "../../src/protocol/writer.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import type { Frame, RawClient } from "./raw-client.ts";

const CREDIT = { credit: [10_000, 10_000_000] };
const encode = (value: FrameValue) => new FrameWriter().value(value).finishCopy();
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** Binaries as text, so that they compare. */
function readable(value: unknown): unknown {
	if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
	return Array.isArray(value) ? value.map(readable) : value;
}

/** Produces one entry, flushed, and answers with its result. */
async function store(client: RawClient, ...entry: FrameValue[]): Promise<unknown[]> {
	client.send(3, 99, 2, [entry]);
	return ((await client.reply(99))[3] as unknown[][])[0] as unknown[];
}

/** Everything in a partition: offset, timestamp, key, value, headers. */
async function all(client: RawClient, topic: string, partition = 0): Promise<unknown[][]> {
	await client.answer(4, 98, 98, topic, partition, 0, CREDIT);
	const records: unknown[][] = [];
	for (;;) {
		const frame = await client.take(([operation, sub]) => operation !== 128 && sub === 98);
		if (frame[0] !== 131) break;
		for (const [delta, ...record] of frame[4] as Frame[]) {
			records.push([(frame[2] as number) + (delta as number), ...record]);
		}
	}
	await client.answer(6, 98, 98);
	return records;
}

/** The stored batches of a partition. */
async function batches(client: RawClient, topic: string): Promise<Buffer> {
	await client.answer(4, 97, 97, topic, 0, 0, { ...CREDIT, format: "batch" });
	const frame = await client.take(([operation]) => operation === 132);
	await client.answer(6, 97, 97);
	return Buffer.from(frame[3] as Uint8Array);
}

describe.each(TRANSPORTS)("records over %s", (transport) => {
	const at = serve(transport);

	test("keys, values, times and headers come back as they were sent", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const now = Date.now();
		const headers = [
			["trace", bytes("id")],
			["trace", null],
			["", bytes("")],
		];
		const result = await store(client, topic, 0, -1, 0, [
			["text", "key", now, headers],
			[bytes("bin"), bytes("bin key"), now + 1],
			["", "", null],
			[null, "key"],
			["value only"],
		] as FrameValue);
		expect(result).toEqual([0, 0, 0, expect.any(Number)]);
		const records = await all(client, topic);
		expect(readable(records)).toEqual([
			[0, now, "key", "text", readable(headers)],
			[1, now + 1, "bin key", "bin"],
			[2, expect.any(Number), "", ""],
			[3, expect.any(Number), "key", null],
			[4, expect.any(Number), null, "value only"],
		]);
		expect(Math.abs((records[4]?.[1] as number) - now)).toBeLessThan(60_000);
	});

	test("msgpack values are stored in their encoded form, whatever their type", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const values = [1, "text", bytes("bin"), { a: [1, { b: null }] }, true, 0.5];
		await store(client, topic, 0, -1, 1, [...values.map((value) => [value]), [null]] as FrameValue);
		const stored = (await all(client, topic)).map(([, , , value]) => value);
		expect(stored.slice(0, -1).map((value) => [...(value as Uint8Array)])).toEqual(
			values.map((value) => [...encode(value as FrameValue)]),
		);
		expect(stored.at(-1)).toBeNull();
	});

	test("partition -1 puts keys where Kafka's clients look for them, and says where", async () => {
		const client = await at.client();
		const topic = await at.topic(5);
		const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`);
		const result = await store(
			client,
			topic,
			-1,
			-1,
			0,
			keys.map((key) => [key, key]),
		);
		expect(result.slice(0, 3)).toEqual([0, -1, -1]);
		const spread = result[4] as [number, number, number, number][];
		expect(spread.reduce((sum, [, , , count]) => sum + count, 0)).toBe(keys.length);
		for (const [code, partition, baseOffset, count] of spread) {
			expect([code, baseOffset]).toEqual([0, 0]);
			const here = (await all(client, topic, partition)).map(([, , key]) => readable(key));
			expect(here).toHaveLength(count);
			expect(here).toEqual(
				keys.filter((key) => partitionOfHash(murmur2(bytes(key)), 5) === partition),
			);
		}
	});

	test("records without keys go to one partition a frame", async () => {
		const client = await at.client();
		const topic = await at.topic(3);
		const [code, partition, offset] = await store(client, topic, -1, -1, 0, [["a"], ["b"]]);
		expect([code, offset]).toEqual([0, 0]);
		expect(await all(client, topic, partition as number)).toHaveLength(2);
	});

	test("a repeated sequence is stored once and answered like the first time", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const first = await store(client, topic, 0, 0, 0, [["a"], ["b"]]);
		expect((await store(client, topic, 0, 2, 0, [["c"]]))[2]).toBe(2);
		expect((await store(client, topic, 0, 0, 0, [["a"], ["b"]])).slice(0, 3)).toEqual(
			first.slice(0, 3),
		);
		expect((await store(client, topic, 0, 9, 0, [["z"]]))[0]).toBe(45);
		expect(await all(client, topic)).toHaveLength(3);
	});

	test("a producer identity is good on another connection", async () => {
		const topic = await at.topic();
		const client = await at.client();
		await store(client, topic, 0, 0, 0, [["other identity"]]);
		const one = await at.open();
		const { producer } = await one.answer(1, 1, { client: "one" });
		await store(one, topic, 0, 0, 0, [["a"]]);
		one.close();
		const two = await at.open();
		await two.answer(1, 1, {
			client: "two",
			producer: { ...(producer as DecodedMap) } as FrameValue,
		});
		expect((await store(two, topic, 0, 0, 0, [["a"]]))[2]).toBe(1);
		expect((await store(two, topic, 0, 1, 0, [["b"]]))[2]).toBe(2);
	});

	test("whole batches are delivered as stored, and stored as delivered", async () => {
		const client = await at.client();
		const [source, target] = [await at.topic(), await at.topic()];
		await store(client, source, 0, -1, 0, [["a", "k"], ["b"]]);
		const batch = await batches(client, source);
		expect(batch.readBigInt64BE(0)).toBe(0n);
		expect(batch[16]).toBe(2);
		expect(batch.readInt32BE(57)).toBe(2);
		expect((await store(client, target, 0, -1, 2, batch))[2]).toBe(0);
		expect((await store(client, target, 0, -1, 2, batch))[2]).toBe(2);
		// From further on in its log.
		batch.writeBigInt64BE(7n, 0);
		expect((await store(client, target, 0, -1, 2, batch))[2]).toBe(4);
		expect((await all(client, target)).map(([offset]) => offset)).toEqual([0, 1, 2, 3, 4, 5]);
	});

	test("batches are delivered in turns of credit, and at least one arrives", async () => {
		const client = await at.client();
		const topic = await at.topic();
		for (let index = 0; index < 3; index++) await store(client, topic, 0, -1, 0, [["v"], ["w"]]);
		await client.answer(4, 1, 1, topic, 0, 0, { format: "batch", credit: [1, 1] });
		const isBatches = ([operation]: Frame) => operation === 132;
		const first = await client.take(isBatches);
		const size = (first[3] as Uint8Array).length;
		expect(Buffer.from(first[3] as Uint8Array).readInt32BE(8) + 12).toBe(size);
		// Two records against one of credit, size against one byte: the debt comes first.
		client.send(5, 1, 1, size - 1);
		await client.ping();
		expect(client.frames).toEqual([]);
		client.send(5, 1, 100, 10_000);
		expect((await client.take(isBatches))[3]).toHaveLength(2 * size);
		await client.take(([operation]) => operation === 133);
	});

	test.each([
		["a value of format bytes that is a number", 0, [[5]], 87],
		["a key that is a number", 1, [["v", 5]], 87],
		["a timestamp that is text", 0, [["v", null, "now"]], 87],
		["headers that are no array", 0, [["v", null, null, 5]], 87],
		[
			"a batch that is no batch",
			2,
			bytes("not a batch at all, but long enough to be one: ".repeat(3)),
			87,
		],
		["a record larger than max.message.bytes", 0, [["x".repeat(2_000_000)]], 10],
	])("%s is refused, and its neighbours are stored", async (_, format, body, code) => {
		const client = await at.client();
		const topic = await at.topic();
		const good = [topic, 0, -1, 0, [["good"]]];
		client.send(3, 5, 2, [good, [topic, 0, -1, format, body as FrameValue], good]);
		const results = (await client.reply(5))[3] as unknown[][];
		expect(results.map(([result]) => result)).toEqual([0, expect.any(Number), 0]);
		expect([code, 2, 42, 1000, 1015]).toContain(results[1]?.[0]);
		expect(await all(client, topic)).toHaveLength(2);
	});

	test("a batch with any byte changed is refused or harmless, and ends nothing", async () => {
		const client = await at.client();
		const [source, target] = [await at.topic(), await at.topic()];
		await store(client, source, 0, -1, 0, [["value", "key"]]);
		const batch = await batches(client, source);
		for (let index = 12; index < batch.length; index++) {
			const changed = Uint8Array.from(batch);
			changed[index] = (changed[index] as number) ^ 0x41;
			const [code] = await store(client, target, 0, -1, 2, changed);
			// Base offset, length and leader epoch lie outside the checksum: the broker assigns two of
			// them.
			if (index >= 17) expect(code).not.toBe(0);
		}
		await client.ping();
	});

	test("lengths that lie in a produce frame are refused and the connection goes on", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const frame = encode([3, 5, 1, [[topic, 0, -1, 0, [["value", "key"]]]]]);
		// Behind the ack, which decides whether there is an answer.
		for (let index = 4; index < frame.length; index++) {
			for (const byte of [0xdd, 0xdf, 0xc6, 0xdb, 0xff, 0x00, 0xc1]) {
				const changed = frame.slice();
				changed[index] = byte;
				client.sendBytes(changed);
				const [operation] = await client.reply(5);
				expect([129, 130]).toContain(operation);
			}
		}
		for (let length = 3; length < frame.length; length++) {
			client.sendBytes(frame.subarray(0, length));
			expect((await client.reply(5)).slice(0, 3)).toEqual([130, 5, 1000]);
		}
		expect(at.errors).toEqual([]);
	});

	test("what is delivered is one whole frame that any reader takes", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await store(client, topic, 0, -1, 0, Array(100).fill(["value", "key", 5_000]) as FrameValue);
		const raw = new Promise<Buffer>((resolve) => {
			client.socket.on("message", (data: Buffer) => {
				if (data.includes(Buffer.from("value"))) resolve(data);
			});
		});
		await client.answer(4, 1, 1, topic, 0, "earliest", CREDIT);
		const reader = new FrameReader(await raw);
		expect(reader.arrayHeader()).toBe(5);
		for (let field = 0; field < 4; field++) reader.integer();
		expect(reader.arrayHeader()).toBe(100);
		for (let record = 0; record < 100; record++) reader.skip(2);
		reader.end();
		expect((await client.call("offsets.describe", { topic })) as DecodedMap).toBeDefined();
	});
});
