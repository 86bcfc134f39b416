import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import type { DecodedMap } from "../../src/protocol/reader.ts";
import { recordBatch, records } from "../record-batch.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import type { Frame, RawClient } from "./raw-client.ts";

const isRecords = ([operation]: Frame) => operation === 131;
const isCaughtUp = ([operation]: Frame) => operation === 133;
const isEnded = ([operation]: Frame) => operation === 135;

/** Values of a records frame, as text. */
const values = (frame: Frame) =>
	(frame[4] as [number, number, unknown, Uint8Array][]).map(([, , , value]) =>
		Buffer.from(value).toString(),
	);

/** Takes deliveries of `sub` until `count` records are there. */
async function collect(client: RawClient, sub: number, count: number): Promise<string[]> {
	const all: string[] = [];
	while (all.length < count) {
		all.push(...values(await client.take((frame) => isRecords(frame) && frame[1] === sub)));
	}
	return all;
}

/** That nothing comes: everything that was due has been sent when a later request is answered. */
async function settled(client: RawClient): Promise<void> {
	for (let round = 0; round < 3; round++) {
		await client.ping();
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

describe.each(TRANSPORTS)("subscribe over %s", (transport) => {
	const at = serve(transport);

	test("delivers what is there and what comes, and says when it has caught up", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.produce(topic, ["a", "b"]);
		const answer = await client.answer(4, 1, 7, topic, 0, "earliest", { credit: [100, 10_000] });
		expect(answer).toMatchObject({ offset: 0, log_start: 0 });
		expect(await collect(client, 7, 2)).toEqual(["a", "b"]);
		expect(await client.take(isCaughtUp)).toEqual([133, 7, 2]);
		await client.produce(topic, ["c"]);
		const frame = await client.take(isRecords);
		expect(frame.slice(0, 4)).toEqual([131, 7, 2, 3]);
		expect(values(frame)).toEqual(["c"]);
		expect(await client.take(isCaughtUp)).toEqual([133, 7, 3]);
	});

	test("an empty partition is caught up at once, even without credit", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.answer(4, 1, 7, topic, 0, "latest");
		expect(await client.take(isCaughtUp)).toEqual([133, 7, 0]);
	});

	test("starts at an offset, at an end, or at a time", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const now = Date.now();
		const records = [0, 1, 2, 3].map((index) => [`v${index}`, null, now + index * 1_000]);
		client.send(3, 1, 2, [[topic, 0, -1, 0, records]]);
		await client.reply(1);
		const starts = [
			2,
			"earliest",
			"latest",
			{ timestamp_ms: now + 1_500 },
			{ timestamp_ms: now * 2 },
		];
		for (const [index, start] of starts.entries()) {
			const answer = await client.answer(4, 2, index, topic, 0, start, { credit: [10, 1_000] });
			expect(answer).toMatchObject({ offset: [2, 0, 4, 2, 4][index], high_watermark: 4 });
		}
		expect(await collect(client, 3, 2)).toEqual(["v2", "v3"]);
	});

	test("credit that is on its way while the start is looked up counts", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.produce(topic, ["a"]);
		client.send(4, 2, 1, topic, 0, { timestamp_ms: 0 });
		client.send(5, 1, 10, 1_000);
		await client.reply(2);
		expect(await collect(client, 1, 1)).toEqual(["a"]);
	});

	test("nothing follows the answer to unsubscribe, and the number is free", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.answer(4, 1, 7, topic, 0, "latest", { credit: [100, 10_000] });
		expect(await client.error(4, 2, 7, topic, 0, "latest")).toBe(42);
		await client.answer(6, 3, 7);
		client.frames.length = 0;
		await client.produce(topic, ["unseen"]);
		await settled(client);
		expect(client.frames).toEqual([]);
		expect(await client.error(6, 4, 7)).toBe(1006);
		await client.answer(4, 5, 7, topic, 0, 0, { credit: [100, 10_000] });
		expect(await collect(client, 7, 1)).toEqual(["unseen"]);
	});

	test("an offset out of range is an error, or moved as asked", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.produce(topic, ["a", "b"]);
		await client.answer(4, 1, 1, topic, 0, 2);
		expect(await client.error(4, 1, 2, topic, 0, 3)).toBe(1);
		const earliest = { on_out_of_range: "earliest" };
		expect(await client.answer(4, 1, 3, topic, 0, 3, earliest)).toMatchObject({ offset: 0 });
		const latest = { on_out_of_range: "latest" };
		expect(await client.answer(4, 1, 4, topic, 0, 99, latest)).toMatchObject({ offset: 2 });
	});

	test.each([
		["a partition that is not there", ["T", 5, "latest"], 3],
		["a negative partition", ["T", -1, "latest"], 3],
		["a topic that is not there", ["no-such-topic", 0, "latest"], 3],
		["an alias that was not opened", [17, 0, "latest"], 1005],
		["a start that does not exist", ["T", 0, "middle"], 1015],
		["a negative start", ["T", 0, -1], 1015],
		["a time that is no number", ["T", 0, { timestamp_ms: "now" }], 1015],
		["a format that does not exist", ["T", 0, 0, { format: "json" }], 1015],
		["credit that is no pair", ["T", 0, 0, { credit: 5 }], 1015],
		["credit beyond the limit", ["T", 0, 0, { credit: [1, LIMITS.creditBytesMax + 1] }], 1015],
	])("%s is refused and the connection goes on", async (_, fields, code) => {
		const client = await at.client();
		const topic = await at.topic();
		const frame = fields.map((field) => (field === "T" ? topic : field));
		expect(await client.error(4, 1, 1, ...frame)).toBe(code);
		expect(await client.error(6, 1, 1)).toBe(1006);
	});

	test("a deleted topic ends its subscriptions and its alias for good", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const { alias } = await client.answer(2, 1, topic);
		await client.answer(4, 1, 7, topic, 0, "latest", { credit: [100, 10_000] });
		await client.call("topics.delete", { name: topic });
		expect(await client.take(isEnded)).toMatchObject([
			135,
			7,
			1010,
			{ name: "TOPIC_DELETED", retriable: false },
		]);
		await client.call("topics.create", { name: topic });
		expect(await client.produce(alias as number, ["x"])).toMatchObject([[1010, 0, -1, -1]]);
		expect(await client.error(4, 1, 7, alias as number, 0, "latest")).toBe(1010);
		const reopened = await client.answer(2, 1, topic);
		expect(reopened.alias).not.toBe(alias);
		expect(await client.produce(reopened.alias as number, ["x"])).toMatchObject(
			[[0, 0, 0]].map((row) => [...row, expect.any(Number)]),
		);
	});

	test("more partitions are noticed by those who use the topic", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const { topic_id } = await client.answer(2, 1, topic);
		await client.call("topics.add_partitions", { name: topic, partitions: 3 });
		const notice = await client.take(([operation]) => operation === 136);
		expect(notice).toEqual([
			136,
			"partitions_changed",
			expect.objectContaining({ topic, topic_id, partitions: 3 }),
		]);
		await client.answer(4, 1, 1, topic, 2, "latest");
	});
});

describe.each(TRANSPORTS)("credit over %s", (transport) => {
	const at = serve(transport);

	test("without credit nothing is delivered, and records credit is never overdrawn", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.produce(topic, ["a", "b", "c", "d", "e"]);
		await client.answer(4, 1, 1, topic, 0, "earliest");
		await settled(client);
		expect(client.frames).toEqual([]);
		client.send(5, 1, 2, 0);
		await settled(client);
		expect(client.frames).toEqual([]);
		client.send(5, 1, 0, 1_000_000);
		expect(await collect(client, 1, 2)).toEqual(["a", "b"]);
		await settled(client);
		expect(client.frames).toEqual([]);
		client.send(5, 1, 1, 0);
		expect(await collect(client, 1, 1)).toEqual(["c"]);
		client.send(5, 1, 1_000, 0);
		expect(await collect(client, 1, 2)).toEqual(["d", "e"]);
	});

	test("a record larger than the credit arrives, and its debt is paid first", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const large = "x".repeat(50_000);
		await client.produce(topic, [large, "next"]);
		await client.answer(4, 1, 1, topic, 0, "earliest", { credit: [100, 1] });
		expect(await collect(client, 1, 1)).toEqual([large]);
		client.send(5, 1, 0, 40_000);
		await settled(client);
		expect(client.frames).toEqual([]);
		client.send(5, 1, 0, 20_000);
		expect(await collect(client, 1, 1)).toEqual(["next"]);
	});

	test("deliveries are cut at 256 KiB and all of a partition arrives", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const sent = Array.from({ length: 2_000 }, (_, index) => `${index}`.padEnd(1_000, "."));
		for (let index = 0; index < sent.length; index += 500) {
			await client.produce(topic, sent.slice(index, index + 500));
		}
		await client.answer(4, 1, 1, topic, 0, "earliest", {
			credit: [LIMITS.creditRecordsMax, LIMITS.creditBytesMax],
		});
		const sizes: number[] = [];
		client.socket.on("message", (data: Buffer) => sizes.push(data.length));
		expect(await collect(client, 1, sent.length)).toEqual(sent);
		expect(Math.max(...sizes)).toBeLessThan(LIMITS.deliveryBytesMax + 1_000);
	});

	test("credit beyond the limit ends the subscription and nothing else", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const credit = [1, LIMITS.creditBytesMax];
		await client.answer(4, 1, 1, topic, 0, "latest", { credit });
		await client.answer(4, 1, 2, topic, 0, "latest", { credit });
		client.send(5, 1, 0, 1);
		expect((await client.take(isEnded)).slice(0, 3)).toEqual([135, 1, 1002]);
		client.send(5, 1, 1, 1);
		await client.produce(topic, ["still"]);
		expect(await collect(client, 2, 1)).toEqual(["still"]);
	});

	test("a record that no frame holds ends its subscription, which says so, alone", async () => {
		const client = await at.client();
		const topic = await at.topic();
		await client.produce(topic, ["before"]);
		// More than may wait for a socket, and a batch of some kilobytes.
		const values = [Buffer.alloc(LIMITS.sendBufferBytesMax + 1_000_000)];
		const batch = recordBatch(values, { attributes: 1, body: gzipSync(records(values)) });
		client.send(3, 5, 2, [[topic, 0, -1, 2, batch]]);
		expect((await client.reply(5))[3]).toMatchObject([[0, 0, 1, expect.any(Number)]]);
		await client.produce(topic, ["after"]);

		const credit = [LIMITS.creditRecordsMax, LIMITS.creditBytesMax];
		await client.answer(4, 6, 1, topic, 0, 0, { credit });
		expect(await collect(client, 1, 1)).toEqual(["before"]);
		const [, , code, details] = await client.take(isEnded);
		expect([code, details]).toMatchObject([
			10,
			{ name: "MESSAGE_TOO_LARGE", retriable: false, topic, partition: 0 },
		]);
		expect((details as DecodedMap).message).toMatch(
			/the record at offset 1 expands to 1777\d+ bytes/,
		);
		await client.answer(4, 6, 2, topic, 0, 1, { credit, format: "batch" });
		const [, , , batches] = await client.take(([operation]) => operation === 132);
		expect((batches as Uint8Array).length).toBeLessThan(100_000);
		await client.answer(4, 6, 1, topic, 0, 2, { credit });
		expect(await collect(client, 1, 1)).toEqual(["after"]);
	});

	test("subscriptions of a connection take turns", async () => {
		const RECORDS = 16;
		const client = await at.client();
		const topic = await at.topic(4);
		// Two of them are a delivery.
		const value = "x".repeat(100_000);
		for (let partition = 0; partition < 4; partition++) {
			await client.fill(topic, value, RECORDS, partition);
		}
		const order: number[] = [];
		client.socket.on("message", (data: Buffer) => {
			if (data[1] === 131 || data[2] === 131) order.push(client.frames.at(-1)?.[1] as number);
		});
		for (let partition = 0; partition < 4; partition++) {
			client.send(4, partition, partition, topic, partition, 0, { credit: [1_000, 50_000_000] });
		}
		await Promise.all([0, 1, 2, 3].map((sub) => collect(client, sub, RECORDS)));
		const firstEnd = Math.min(...[0, 1, 2, 3].map((sub) => order.lastIndexOf(sub)));
		const firstThird = new Set(order.slice(0, Math.ceil(firstEnd / 3)));
		expect(firstThird.size).toBe(4);
	});

	test("a client that does not read holds up nobody and loses nothing", async () => {
		// 16 MB, which no socket's buffers take.
		const RECORDS = 160;
		const slow = await at.client();
		const quick = await at.client();
		const topic = await at.topic();
		const value = "y".repeat(100_000);
		await quick.fill(topic, value, RECORDS);
		const credit = [LIMITS.creditRecordsMax, LIMITS.creditBytesMax];
		await slow.answer(4, 1, 1, topic, 0, "earliest", { credit });
		slow.socket.pause();
		await quick.answer(4, 1, 1, topic, 0, "earliest", { credit });
		expect(await collect(quick, 1, RECORDS)).toHaveLength(RECORDS);
		await new Promise((resolve) => setTimeout(resolve, 300));
		slow.socket.resume();
		expect(await collect(slow, 1, RECORDS)).toHaveLength(RECORDS);
	});

	test("a client that asks and never reads the answers is closed with 4413", async () => {
		const client = await at.client();
		const neighbour = await at.client();
		const topic = await at.topic();
		const connections = at.server.connectionCount;
		client.socket.pause();
		while (at.server.connectionCount === connections) {
			for (let id = 0; id < 100; id++) client.send(7, id, "topics.describe", { name: topic });
			await neighbour.ping();
		}
		expect(at.server.connectionCount).toBe(connections - 1);
		client.socket.resume();
		expect([4413, 1006]).toContain(await client.closed());
	});
});
