/** How those who ask over HTTP are held to their quotas: refused before anything is done. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Throttling } from "../../../src/http/api/throttling.ts";
import { LIMITS } from "../../../src/limits.ts";
import { EmbeddedMetadataStore } from "../../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../../src/metadata/metadata-writer.ts";
import { ClientQuotas } from "../../../src/quotas/client-quotas.ts";
import { QuotaStore } from "../../../src/quotas/quota-store.ts";
import { userPrincipal } from "../../../src/security/principal.ts";
import { topicNamed } from "../../../src/topics/live-topics.ts";
import { FakeClock } from "../../groups/fake-clock.ts";
import { MemoryMetadataFile } from "../../metadata/memory-metadata-file.ts";
import { PASSWORD, serveApi } from "./harness.ts";

const as = (user: string) => ({
	authorization: `Basic ${Buffer.from(`${user}:${PASSWORD}`).toString("base64")}`,
});

describe.each(["uws", "ws"] as const)("a user over a quota, over %s", (transport) => {
	const clock = new FakeClock();
	const at = serveApi(transport, { quotaClock: clock });
	let topic: string;

	beforeEach(async () => {
		topic = await at.topic();
	});
	afterEach(async () => {
		const rates = { producer_byte_rate: null, consumer_byte_rate: null, request_rate: null };
		await at.options.quotas.store.alter(
			at.options.quotas.store.list().map(({ entity }) => ({
				entity,
				rates: new Map(Object.entries({ ...rates, connection_request_rate: null })) as never,
			})),
		);
		clock.advance(3_600_000);
	});

	const set = async (entity: object, rates: Readonly<Record<string, number>>) =>
		expect(await at.ask("PUT", "/quotas", { ...entity, rates }, as("root"))).toMatchObject({
			status: 200,
		});
	const produce = (user: string, value: string) =>
		at.ask(
			"POST",
			`/topics/${topic}/records?encoding=text`,
			{ records: [{ value, partition: 0 }] },
			as(user),
		);
	const read = (user: string, query = "") =>
		at.ask(
			"GET",
			`/topics/${topic}/partitions/0/records?offset=0&encoding=text${query}`,
			undefined,
			as(user),
		);
	const end = () => at.storage.offsets(topicNamed(at.catalogue, topic).handle, 0).highWatermark;

	test("has the request taken that goes over; the next is refused, not stored", async () => {
		await set({ user: "alice" }, { producer_byte_rate: 1_000 });
		expect(await produce("alice", "x".repeat(3_000))).toMatchObject({ status: 200 });
		expect(end()).toBe(1);
		const refused = await produce("alice", "y");
		expect(refused).toMatchObject({
			status: 429,
			body: {
				status: 429,
				name: "THROTTLING_QUOTA_EXCEEDED",
				code: 89,
				retriable: true,
				detail: expect.stringContaining("producer_byte_rate"),
			},
		});
		expect(refused.headers.get("content-type")).toBe("application/problem+json");
		const seconds = Number(refused.headers.get("retry-after"));
		expect(seconds).toBe(3);
		expect(end()).toBe(1);
		// Whoever heeds that is served, and refused requests have not made the wait longer.
		clock.advance(seconds * 1_000);
		expect(await produce("alice", "y")).toMatchObject({ status: 200 });
		expect(end()).toBe(2);
	});

	test("is told a second at least", async () => {
		await set({ user: "alice" }, { producer_byte_rate: 1_000 });
		await produce("alice", "x".repeat(1_000));
		expect((await produce("alice", "y")).headers.get("retry-after")).toBe("1");
	});

	test("holds up neither others nor what the quota does not limit", async () => {
		await set({ user: "alice" }, { producer_byte_rate: 1_000 });
		await produce("alice", "x".repeat(3_000));
		expect(await produce("alice", "y")).toMatchObject({ status: 429 });
		expect(await produce("bob", "y")).toMatchObject({ status: 200 });
		expect(await read("alice")).toMatchObject({ status: 200 });
		expect(await at.ask("GET", "/topics", undefined, as("alice"))).toMatchObject({ status: 200 });
	});

	test("gets as many records at once as may be had, and no others while it waits", async () => {
		for (let each = 0; each < 4; each++) await produce("bob", "x".repeat(700));
		await set({ user: "alice" }, { consumer_byte_rate: 1_000 });
		const first = await read("alice");
		expect(first).toMatchObject({ status: 200 });
		expect(first.body.records.length).toBeGreaterThan(0);
		expect(first.body.records.length).toBeLessThan(4);
		const second = await read("alice");
		expect(second).toMatchObject({
			status: 429,
			body: { detail: expect.stringContaining("consumer_byte_rate") },
		});
		expect(await produce("alice", "x")).toMatchObject({ status: 200 });
		clock.advance(Number(second.headers.get("retry-after")) * 1_000);
		expect(await read("alice")).toMatchObject({ status: 200 });
	});

	test("counts requests of every kind, a refused one not", async () => {
		await set({ user: "alice" }, { request_rate: 2 });
		const ask = () => at.ask("GET", "/cluster", undefined, as("alice"));
		for (let each = 0; each < 3; each++) expect(await ask()).toMatchObject({ status: 200 });
		for (let each = 0; each < 5; each++) {
			const refused = await ask();
			expect(refused.status).toBe(429);
			expect(refused.headers.get("retry-after")).toBe("1");
		}
		expect(await produce("alice", "x")).toMatchObject({ status: 429 });
		clock.advance(1_000);
		expect(await ask()).toMatchObject({ status: 200 });
	});

	test("is counted by client ids as one that has none, together with all others", async () => {
		await set({ client_id: "" }, { request_rate: 1 });
		expect(await read("alice")).toMatchObject({ status: 200 });
		expect(await read("bob")).toMatchObject({ status: 200 });
		expect(await read("bob")).toMatchObject({ status: 429 });
	});

	test("is as one connection where connections are limited", async () => {
		await set({ client_id: "" }, { connection_request_rate: 1 });
		expect(await read("alice")).toMatchObject({ status: 200 });
		expect(await read("bob")).toMatchObject({ status: 200 });
		expect(await read("alice")).toMatchObject({ status: 200 });
		expect(await read("alice")).toMatchObject({ status: 429 });
	});

	test("is listed and counted among those who wait", async () => {
		await set({ user: "alice" }, { producer_byte_rate: 1_000 });
		const before = at.options.quotas.figures().get("http producer_byte_rate")?.totalMs ?? 0;
		await produce("alice", "x".repeat(3_000));
		const { body } = await at.ask("GET", "/quotas/throttled", undefined, as("root"));
		expect(body).toEqual({
			clients: [
				{
					protocol: "http",
					connection: expect.any(Number),
					address: "127.0.0.1",
					user: "alice",
					client_id: "",
					quota: "producer_byte_rate",
					rate: 1_000,
					set_for: { user: "alice" },
					left_ms: expect.any(Number),
				},
			],
		});
		const { totalMs, clients } = at.options.quotas.figures().get("http producer_byte_rate") ?? {};
		expect(clients).toBe(1);
		expect((totalMs ?? 0) - before).toBe(body.clients[0].left_ms);
	});

	test("shares what is counted with clients of other protocols", async () => {
		await set({ user: "alice" }, { request_rate: 3 });
		const origin = { protocol: "kafka", connectionId: 1, address: "10.0.0.1" } as const;
		const other = at.options.quotas.connection(origin, () => undefined);
		other.identify(userPrincipal("alice"), "app");
		other.charge("request", 3);
		expect(await read("alice")).toMatchObject({ status: 200 });
		expect(await read("alice")).toMatchObject({ status: 429 });
	});

	test("waits no longer once the quota is gone", async () => {
		await set({ user: "alice" }, { producer_byte_rate: 1_000 });
		await produce("alice", "x".repeat(3_000));
		expect(await produce("alice", "y")).toMatchObject({ status: 429 });
		await at.ask("PUT", "/quotas", { user: "alice", rates: { producer_byte_rate: null } });
		expect(await produce("alice", "y")).toMatchObject({ status: 200 });
		expect(at.failures).toEqual([]);
	});
});

describe("those who are counted", () => {
	const request = {};
	let throttling: Throttling;
	let quotas: ClientQuotas;

	beforeEach(async () => {
		const file = new EmbeddedMetadataStore(new MemoryMetadataFile());
		const store = QuotaStore.open(await MetadataWriter.open(file));
		quotas = new ClientQuotas(store, new FakeClock(), { samples: 2, sampleMs: 1_000 });
		let id = 0;
		throttling = new Throttling(quotas, () => id++);
		await store.alter([
			{ entity: { user: "alice" }, rates: new Map([["connection_request_rate", 1]]) },
		]);
	});

	const alice = (address: string) => throttling.admit(userPrincipal("alice"), address, request, 0);
	const bob = (address: string) => throttling.admit(userPrincipal("bob"), address, request, 0);

	test("are as many as there may be; who waits is remembered, while others are not", () => {
		alice("10.0.0.1");
		alice("10.0.0.1");
		expect(() => alice("10.0.0.1")).toThrow("connection_request_rate");
		const first = bob("client-0");
		for (let each = 1; each < LIMITS.quotaRatesMax - 1; each++) bob(`client-${each}`);
		expect(bob("client-0")).toBe(first);
		bob("one more");
		expect(bob("client-0")).not.toBe(first);
		expect(() => alice("10.0.0.1")).toThrow("connection_request_rate");
	});

	test("are forgotten, who came first, rather than too many remembered", () => {
		for (let each = 0; each < LIMITS.quotaRatesMax; each++) {
			alice(`client-${each}`);
			alice(`client-${each}`);
		}
		expect(() => alice("client-0")).toThrow();
		alice("one more");
		alice("client-0");
		expect(quotas.list(LIMITS.quotaRatesMax).length).toBeLessThan(LIMITS.quotaRatesMax);
	});
});
