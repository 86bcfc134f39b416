import { describe, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { LIMITS } from "../../src/limits.ts";
import type { Topic } from "../../src/topics/catalogue.ts";
import { serve, TRANSPORTS } from "./harness.ts";

describe.each(TRANSPORTS)("produce over %s", (transport) => {
	const at = serve(transport);

	test("one bad entry does not fail the others, and all are answered in order", async () => {
		const client = await at.client();
		const topic = await at.topic(2);
		const { alias } = await client.answer(2, 1, topic);
		const records = [["value"]];
		client.send(3, 2, 1, [
			[topic, 0, -1, 0, records],
			["no-such-topic", 0, -1, 0, records],
			[alias as number, 1, -1, 0, [["a"], ["b"]]],
			[99, 0, -1, 0, records],
			[topic, 2, -1, 0, records],
			[topic, -1, 0, 0, records],
			["caf\u00e9", 0, -1, 0, records],
			["x".repeat(1_000), 0, -1, 0, records],
			[alias as number, 1, -1, 0, records],
		]);
		const [, , reached, results] = await client.reply(2);
		expect(reached).toBeGreaterThanOrEqual(1);
		const codes = (results as unknown[][]).map(([code, partition, offset]) => [
			code,
			partition,
			offset,
		]);
		expect(codes).toEqual([
			[0, 0, 0],
			[3, 0, -1],
			[0, 1, 0],
			[1005, 0, -1],
			[3, 2, -1],
			[42, -1, -1],
			[17, 0, -1],
			[17, 0, -1],
			[0, 1, 2],
		]);
	});

	test("answers with the durability that was asked for", async () => {
		const client = await at.client();
		const topic = await at.topic();
		for (const [ack, least] of [
			[1, 1],
			[2, 2],
			[3, 2],
			[null, 2],
		] as const) {
			client.send(3, 10 + least, ack, [[topic, 0, -1, 0, [["value"]]]]);
			expect((await client.reply(10 + least))[2]).toBeGreaterThanOrEqual(least);
		}
	});

	test.each([
		["gzip", 1],
		["snappy", 2],
		["lz4", 3],
		["zstd", 4],
	] as const)("the broker compresses with %s where it is asked to", async (codec, number) => {
		const client = await at.client();
		const names = [`asked-${codec}-${transport}`, `told-${codec}-${transport}`];
		for (const [index, name] of names.entries()) {
			const configs = index === 0 ? {} : { "compression.type": "uncompressed" };
			await client.call("topics.create", { name, configs });
		}
		const value = "the same words again and again ".repeat(10_000);
		const entries = names.map((name) => [name, 0, -1, 4 * number, [[value]]]);
		client.send(3, 5, 1, entries);
		expect((await client.reply(5))[3]).toEqual([
			[0, 0, 0, expect.any(Number)],
			[0, 0, 0, expect.any(Number)],
		]);
		const codecs: (number | undefined)[] = [];
		for (const [index, name] of names.entries()) {
			const options = { format: "batch", credit: [10, 1_000_000] };
			await client.answer(4, 10 + index, 1 + index, name, 0, "earliest", options);
			const delivered = await client.take((frame) => frame[0] === 132 && frame[1] === 1 + index);
			const batch = delivered.find((part) => part instanceof Uint8Array) as Uint8Array;
			codecs.push((batch[22] as number) & 7);
			expect(batch.length < 100_000).toBe(index === 0);
		}
		expect(codecs).toEqual([number, 0]);
	});

	test("the SDK has the broker compress, and reads what it sent", async () => {
		const client = await connect(at.url);
		const topic = await at.topic();
		const values = Array.from({ length: 2_000 }, (_, index) => ({ index, text: "the same" }));
		const producer = client.producer({ compression: "zstd" });
		await producer.sendBatch(
			topic,
			values.map((value) => ({ value })),
		);
		const consumer = client.consumer({ topics: [topic], from: "earliest", until: "end" });
		const read: unknown[] = [];
		for await (const { value } of consumer) read.push(value);
		expect(read).toEqual(values);
		const { handle } = at.catalogue.get(topic) as Topic;
		expect(at.storage.logBytes(handle)[0]).toBeLessThan(20_000);
		expect(() => client.producer({ compression: "brotli" as "zstd" })).toThrow(/one of none, gzip/);
		await client.close();
	});

	test("a codec that there is not, or one for a ready batch, is no produce frame", async () => {
		for (const format of [3, 2 + 4 * 4, 4 * 5, -1]) {
			const client = await at.client();
			client.send(3, 5, 1, [[await at.topic(), 0, -1, format, [["value"]]]]);
			const error = await client.take(([operation]) => operation === 130 || operation === 129);
			expect(error[0]).toBe(130);
		}
	});

	test("ack 0 stores and answers nothing", async () => {
		const client = await at.client();
		const topic = await at.topic();
		client.send(3, 5, 0, [[topic, 0, -1, 0, [["value"]]]]);
		client.send(3, 6, 0, [["no-such-topic", 0, -1, 0, [["value"]]]]);
		await client.produce(topic, ["second"]);
		expect(client.frames).toEqual([]);
		await client.answer(4, 7, 1, topic, 0, "earliest", { credit: [10, 1_000] });
		const frame = await client.take(([operation]) => operation === 131);
		expect((frame[4] as unknown[]).length).toBeGreaterThanOrEqual(1);
	});

	test("keeps the order of a session's frames within a partition", async () => {
		const client = await at.client();
		const topic = await at.topic();
		for (let index = 0; index < 300; index++) {
			client.send(3, index, 1 + (index % 2), [[topic, 0, -1, 0, [[`${index}`]]]]);
		}
		for (let index = 0; index < 300; index++) {
			const [, , , results] = await client.reply(index);
			expect((results as number[][])[0]?.[2]).toBe(index);
		}
	});

	test("ack 3 is had where the topic wants more replicas than there are", async () => {
		const client = await at.client();
		await client.call("topics.create", {
			name: `replicated-${transport}`,
			configs: { "min.insync.replicas": "2" },
		});
		const entry = [`replicated-${transport}`, 0, -1, 0, [["value"]]];
		client.send(3, 5, 3, [entry]);
		expect((await client.reply(5))[3]).toMatchObject([[0, 0, 0, expect.any(Number)]]);
	});

	test("a frame without entries is refused", async () => {
		const client = await at.client();
		expect(await client.error(3, 5, 1, [])).toBe(42);
	});
});

describe.each(TRANSPORTS)("limits over %s", (transport) => {
	const at = serve(transport, {}, { memory: true });

	test("a topic opened again has the same alias, and there are so many", async () => {
		const client = await at.client();
		const first = await client.answer(2, 1, "limits-0");
		const topics = LIMITS.aliasesMax;
		for (let index = 1; index < topics; index++) {
			client.send(2, index, `limits-${index}`);
		}
		for (let index = 1; index < topics; index++) await client.reply(index);
		expect(await client.error(2, 1, `limits-${topics}`)).toBe(1002);
		expect((await client.answer(2, 1, "limits-0")).alias).toBe(first.alias);
	});

	test("there are so many subscriptions", async () => {
		const client = await at.client();
		const topic = await at.topic();
		for (let sub = 0; sub < LIMITS.subscriptionsMax; sub++) {
			client.send(4, sub, sub, topic, 0, "latest");
		}
		for (let sub = 0; sub < LIMITS.subscriptionsMax; sub++) {
			expect((await client.reply(sub))[0]).toBe(128);
		}
		const more = LIMITS.subscriptionsMax;
		expect(await client.error(4, more, more, topic, 0, "latest")).toBe(1002);
		await client.answer(6, more, 5);
		await client.answer(4, more, more, topic, 0, "latest");
	});
});
