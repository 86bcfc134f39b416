import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";

import { recordBatch, records } from "../record-batch.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import type { Frame, RawClient } from "./raw-client.ts";

describe.each(TRANSPORTS)("a client that means harm, over %s", (transport) => {
	const at = serve(transport);

	test.each(["producer", "gzip"])(
		"a frame that spreads beyond what an answer holds costs its entries only (%s)",
		async (compression) => {
			const client = await at.client();
			const name = `spread-${compression}`;
			const configs = { "compression.type": compression, "flush.messages": "1000000" };
			await client.call("topics.create", { name, partitions: 128, configs });
			// Each may reach every partition. The first is large enough to be compressed by another
			// thread.
			const records = Array.from({ length: 160 }, (_, key) => ["", `${key}`]);
			const first = [...records, ["x".repeat(20_000), "key"]];
			const entries = Array.from({ length: 513 }, (_, index) => {
				return [name, -1, -1, 0, index === 0 ? first : records];
			});
			client.send(3, 5, 1, entries);
			const [operation, , , results] = (await client.reply(5)) as [number, number, number, Frame[]];
			expect(operation).toBe(129);
			expect(results.slice(0, 512).every(([code]) => code === 0)).toBe(true);
			expect(results[512]).toEqual([1002, -1, -1, -1]);
			await client.ping();
			expect(at.errors).toEqual([]);
		},
	);

	test("a batch under another producer's identity is refused", async () => {
		const victim = await at.client();
		const client = await at.client();
		const topic = await at.topic();
		victim.send(3, 5, 2, [[topic, 0, 0, 0, [["first"]]]]);
		expect((await victim.reply(5))[3]).toMatchObject([[0, 0, 0, expect.any(Number)]]);
		const batch = await firstBatch(victim, topic);
		client.send(3, 5, 2, [[topic, 0, -1, 2, batch]]);
		expect((await client.reply(5))[3]).toEqual([[42, 0, -1, -1]]);
		// Its owner repeats it.
		victim.send(3, 6, 2, [[topic, 0, -1, 2, batch]]);
		expect((await victim.reply(6))[3]).toMatchObject([[0, 0, 0, expect.any(Number)]]);
		victim.send(3, 7, 2, [[topic, 0, 1, 0, [["second"]]]]);
		expect((await victim.reply(7))[3]).toMatchObject([[0, 0, 1, expect.any(Number)]]);
	});

	test("a neighbour with the same subscription number does not overdraw credit", async () => {
		const [modest, greedy] = [await at.client(), await at.client()];
		const topic = await at.topic();
		await modest.call("topics.alter", { name: topic, configs: { "compression.type": "zstd" } });
		// Large enough to be taken apart by another thread.
		await modest.produce(topic, Array<string>(400).fill("x".repeat(1_000)));
		for (let round = 0; round < 20; round++) {
			modest.send(4, 10, round, topic, 0, 0, { credit: [1, 1_000_000] });
			greedy.send(4, 10, round, topic, 0, 0, { credit: [400, 1_000_000] });
			const isRecords = ([operation, sub]: Frame) => operation === 131 && sub === round;
			const [one] = await Promise.all([modest.take(isRecords), greedy.take(isRecords)]);
			expect(one[4]).toHaveLength(1);
			await Promise.all([modest.answer(6, 11, round), greedy.answer(6, 11, round)]);
		}
	});

	test("credit for one record at a time does not have its batch expanded each time", async () => {
		const [modest, other] = [await at.client(), await at.client()];
		const topic = await at.topic();
		// More than the event loop expands by itself.
		const count = 200;
		const values = Array.from({ length: count }, (_, index) => Buffer.alloc(10_000, index));
		const body = gzipSync(records(values));
		const batch = recordBatch(values, { attributes: 1, body });
		modest.send(3, 5, 2, [[topic, 0, -1, 2, batch]]);
		expect((await modest.reply(5))[3]).toMatchObject([[0, 0, 0, expect.any(Number)]]);

		const before = at.storage.statistics().expansions;
		await modest.answer(4, 6, 1, topic, 0, 0, { credit: [1, 10_000_000] });
		for (let index = 0; index < count; index++) {
			const frame = await modest.take(([operation]) => operation === 131);
			const [[delta, , , value], ...others] = frame[4] as Frame[] as [unknown[], ...Frame[]];
			expect([frame[2], delta, (value as Uint8Array)[0], others.length]).toEqual([
				index,
				0,
				index,
				0,
			]);
			modest.send(5, 1, 1, 0);
		}
		await other.answer(4, 6, 1, topic, 0, 0, { credit: [count, 10_000_000] });
		let left = count;
		while (left > 0) {
			left -= ((await other.take(([operation]) => operation === 131))[4] as Frame[]).length;
		}
		// Once, unless the machine stalled for seconds: what nobody reads for so long is given up.
		const expansions = at.storage.statistics().expansions - before;
		expect(expansions).toBeGreaterThanOrEqual(1);
		expect(expansions).toBeLessThan(count / 10);
	});

	test("an error does not repeat a name as long as its frame", async () => {
		const client = await at.client();
		const configs = { ["x".repeat(1_000_000)]: 5 };
		client.send(7, 5, "topics.create", { name: "long", configs });
		const error = await client.reply(5);
		expect(error.slice(0, 3)).toEqual([130, 5, 1015]);
		expect((error[3] as string).length).toBeLessThan(300);
	});

	test("a partition far beyond the topic's is unknown, not malformed", async () => {
		const client = await at.client();
		const topic = await at.topic();
		expect(await client.error(4, 5, 1, topic, 100_000, "earliest")).toBe(3);
		expect(await client.error(4, 5, 1, topic, -2, "earliest")).toBe(3);
	});
});

/** The first batch of a partition, as stored. */
async function firstBatch(client: RawClient, topic: string): Promise<Uint8Array> {
	await client.answer(4, 97, 97, topic, 0, 0, { credit: [1, 1], format: "batch" });
	const frame = await client.take(([operation]) => operation === 132);
	await client.answer(6, 97, 97);
	return Uint8Array.from(frame[3] as Uint8Array);
}
