/** How WebSocket clients are held to their quotas. */
import { performance } from "node:perf_hooks";
import { afterEach, describe, expect, test } from "vitest";

import { ClientQuotas } from "../../src/quotas/client-quotas.ts";
import type { QuotaKey } from "../../src/quotas/quota-keys.ts";
import { QuotaStore } from "../../src/quotas/quota-store.ts";
import { FakeClock } from "../groups/fake-clock.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import type { Frame, RawClient } from "./raw-client.ts";

const THROTTLING_QUOTA_EXCEEDED = 89;
const VALUE = "x".repeat(1_000);
/** What the harness has: so much of the rate may be had at once. */
const AT_ONCE_MS = 200;

const isThrottled = ([operation, kind]: Frame) => operation === 136 && kind === "throttled";

describe.for(TRANSPORTS)("over %s", (transport) => {
	const at = serve(transport);

	const set = (key: QuotaKey, rate: number | null) =>
		at.options.quotas.store.alter([
			{ entity: { clientId: "test" }, rates: new Map([[key, rate]]) },
		]);

	afterEach(async () => {
		for (const { entity, rates } of at.options.quotas.store.list()) {
			const removed = new Map([...rates.keys()].map((key) => [key, null]));
			await at.options.quotas.store.alter([{ entity, rates: removed }]);
		}
		expect(at.errors).toEqual([]);
	});

	/** Milliseconds that something took. */
	async function timed(work: () => Promise<unknown>): Promise<number> {
		const startedMs = performance.now();
		await work();
		return performance.now() - startedMs;
	}

	const produceTimes = async (client: RawClient, topic: string, times: number) => {
		for (let index = 0; index < times; index++) await client.produce(topic, [VALUE]);
	};

	test("a producer is told to wait, and answered late where it does not", async () => {
		const topic = await at.topic();
		const client = await at.client();
		await set("producer_byte_rate", 10_000);
		await client.produce(topic, [VALUE, VALUE, VALUE]);
		const [, , notice] = await client.take(isThrottled);
		expect(notice).toEqual({ quota: "producer_byte_rate", throttle_ms: expect.any(Number) });
		// 11 frames more of a good 1,000 bytes each: the last one's wait has not begun.
		const tookMs = await timed(() => produceTimes(client, topic, 11));
		expect(tookMs).toBeGreaterThan(1_000 - AT_ONCE_MS);
		expect(at.storage.offsets(at.catalogue.get(topic)?.handle as never, 0).highWatermark).toBe(14);
	});

	test("another client is not held up", async () => {
		const topic = await at.topic();
		const [client, other] = [await at.client(), await at.open()];
		await other.answer(1, 1, { client: "other" });
		await set("producer_byte_rate", 10);
		await client.produce(topic, [VALUE]);
		client.send(3, 77, 1, [[topic, 0, -1, 0, [[VALUE]]]]);
		await produceTimes(other, topic, 20);
		expect(other.frames.filter(isThrottled)).toEqual([]);
		expect(client.frames.some(([, id]) => id === 77)).toBe(false);
		// Pings and credit go on.
		await client.answer(9, 78);
		await set("producer_byte_rate", null);
		expect((await client.reply(77))[0]).toBe(129);
	});

	test("a consumer's deliveries pause, and go on", async () => {
		const topic = await at.topic();
		const client = await at.client();
		await client.fill(topic, VALUE, 100);
		await set("consumer_byte_rate", 100_000);
		let received = 0;
		const tookMs = await timed(async () => {
			const credit = [10, 1_000_000];
			await client.answer(4, 5, 1, topic, 0, "earliest", { credit });
			while (received < 100) {
				const [, , , , records] = await client.take(([operation]) => operation === 131);
				received += (records as unknown[]).length;
				client.send(5, 1, 10, 0);
			}
		});
		expect(received).toBe(100);
		expect(tookMs).toBeGreaterThan(1_000 - AT_ONCE_MS - 200);
		const [, , notice] = await client.take(isThrottled);
		expect(notice).toMatchObject({ quota: "consumer_byte_rate" });
	});

	test("who goes on sending far beyond what it was told is closed", async () => {
		const topic = await at.topic();
		const client = await at.client();
		await set("producer_byte_rate", 1);
		const value = "x".repeat(900_000);
		// Nothing is answered, so nothing else would bound it.
		for (let id = 0; id < 60; id++) client.send(3, id, 0, [[topic, 0, -1, 0, [[value]]]]);
		await expect(client.take(() => false)).rejects.toThrow("closed with 4429");
	});
});

describe.for(TRANSPORTS)("over %s, while no time passes by itself", (transport) => {
	const clock = new FakeClock();
	const at = serve(transport, (_storage, _usual, opened) => {
		const window = { samples: 2, sampleMs: AT_ONCE_MS };
		return { quotas: new ClientQuotas(QuotaStore.open(opened), clock, window) };
	});

	test("requests beyond the rate are told so, and refused where that is not heeded", async () => {
		const client = await at.client();
		const rates = new Map([["connection_request_rate", 10]] as const);
		await at.options.quotas.store.alter([{ entity: { clientId: "test" }, rates }]);
		const ask = (id: number) => client.send(7, id, "topics.list", { limit: 1 });
		for (let id = 1; id <= 5; id++) ask(id);
		for (let id = 1; id <= 3; id++) expect((await client.reply(id))[0]).toBe(128);
		const [, , notice] = await client.take(isThrottled);
		expect(notice).toMatchObject({ quota: "connection_request_rate" });
		const [, , code, , details] = await client.reply(5);
		expect(code).toBe(THROTTLING_QUOTA_EXCEEDED);
		const { retriable, retry_after_ms } = details as { [name: string]: number | boolean };
		expect(retriable).toBe(true);
		clock.advance(retry_after_ms as number);
		await client.call("topics.list", { limit: 1 });
	});
});
