import { describe, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
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
