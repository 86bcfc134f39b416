import { beforeEach, describe, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { ClientQuotas } from "../../src/quotas/client-quotas.ts";
import type { QuotaEntity } from "../../src/quotas/quota-entity.ts";
import type { QuotaKey } from "../../src/quotas/quota-keys.ts";
import { QuotaStore } from "../../src/quotas/quota-store.ts";
import { FakeClock } from "../groups/fake-clock.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";

/** A second of the rate may be had at once. */
const WINDOW = { samples: 2, sampleMs: 1_000 };

let clock: FakeClock;
let store: QuotaStore;
let quotas: ClientQuotas;
let connections: number;

beforeEach(async () => {
	clock = new FakeClock();
	const file = new EmbeddedMetadataStore(new MemoryMetadataFile());
	store = QuotaStore.open(await MetadataWriter.open(file));
	quotas = new ClientQuotas(store, clock, WINDOW);
	connections = 0;
});

const set = (entity: QuotaEntity, rates: Partial<Record<QuotaKey, number | null>>) =>
	store.alter([{ entity, rates: new Map(Object.entries(rates) as [QuotaKey, number | null][]) }]);

function connect(user: string, clientId: string, lifted: () => void = () => undefined) {
	const connectionId = connections++;
	const origin = { protocol: "kafka", connectionId, address: "10.0.0.1" } as const;
	const quota = quotas.connection(origin, lifted);
	quota.identify(`User:${user}`, clientId);
	return quota;
}

describe("a client", () => {
	test("is limited by nothing while nothing is set", () => {
		expect(quotas.isAny).toBe(false);
		expect(connect("alice", "app").charge("produce", 1e12)).toBeUndefined();
	});

	test("waits until it is back at its rate", async () => {
		await set({ user: "alice" }, { producer_byte_rate: 100 });
		expect(quotas.isAny).toBe(true);
		let liftedCount = 0;
		const quota = connect("alice", "app", () => liftedCount++);
		expect(quota.charge("produce", 100)).toBeUndefined();
		expect(quota.charge("produce", 50)).toEqual({ ms: 500, quota: "producer_byte_rate" });
		expect(quota.charge("fetch", 1_000)).toBeUndefined();
		expect(quota.waitMs("produce")).toBe(500);
		expect(quota.waitMs("fetch")).toBe(0);
		clock.advance(499);
		expect(liftedCount).toBe(0);
		clock.advance(1);
		expect(quota.longestWaitMs).toBe(0);
		expect(liftedCount).toBe(1);
	});

	test("shares its rate with its other connections, and with nobody else", async () => {
		await set({ user: null }, { request_rate: 10 });
		expect(connect("alice", "a").charge("request", 10)).toBeUndefined();
		expect(connect("bob", "a").charge("request", 10)).toBeUndefined();
		expect(connect("alice", "b").charge("request", 1)).toEqual({ ms: 100, quota: "request_rate" });
	});

	test("gets nothing by other client ids where the user is limited or the connection", async () => {
		await set({ user: "alice" }, { request_rate: 10 });
		await set({ clientId: null }, { connection_producer_byte_rate: 100, consumer_byte_rate: 10 });
		const quota = connect("alice", "a");
		quota.charge("request", 10);
		quota.charge("produce", 100);
		quota.charge("fetch", 10);
		quota.identify("User:alice", "b");
		expect(quota.charge("request", 1)).toMatchObject({ quota: "request_rate" });
		expect(quota.charge("produce", 1)).toMatchObject({ quota: "connection_producer_byte_rate" });
		expect(quota.charge("fetch", 1)).toBeUndefined();
		// Each connection by itself.
		expect(connect("alice", "b").charge("produce", 100)).toBeUndefined();
	});

	test("follows changes at once", async () => {
		await set({ clientId: "app" }, { consumer_byte_rate: 1 });
		let liftedCount = 0;
		const quota = connect("alice", "app", () => liftedCount++);
		expect(quota.charge("fetch", 100)).toMatchObject({ ms: 99_000 });
		await set({ clientId: "app" }, { consumer_byte_rate: 1_000 });
		expect(quota.longestWaitMs).toBe(0);
		expect(liftedCount).toBe(1);
		quota.identify("User:alice", "app");
		expect(quota.charge("fetch", 100)).toBeUndefined();
		expect(quota.amountMax("fetch")).toBe(1_000);
		await set({ clientId: "app" }, { consumer_byte_rate: null });
		expect(quotas.isAny).toBe(false);
		quota.identify("User:alice", "app");
		expect(quota.amountMax("fetch")).toBe(Number.POSITIVE_INFINITY);
	});

	test("waits for a bounded time, however much it is over", async () => {
		await set({ clientId: "app" }, { consumer_byte_rate: 1 });
		const throttle = connect("alice", "app").charge("fetch", 1e15);
		expect(throttle?.ms).toBe(LIMITS.throttleMsMax);
	});

	test("is listed while it waits, with what it waits for", async () => {
		await set({ user: "alice", clientId: null }, { request_rate: 1 });
		const quota = connect("alice", "app");
		quota.charge("request", 3);
		expect(quotas.list()).toEqual([
			{
				protocol: "kafka",
				connectionId: 0,
				address: "10.0.0.1",
				user: "alice",
				clientId: "app",
				quota: "request_rate",
				bound: 1,
				entity: { user: "alice", clientId: null },
				leftMs: 2_000,
			},
		]);
		const waiting = { totalMs: 2_000, clients: 1 };
		expect([...quotas.figures()]).toEqual([["kafka request_rate", waiting]]);
		quota.charge("request", 1);
		clock.advance(3_000);
		expect(quotas.list()).toEqual([]);
		const waited = { totalMs: 3_000, clients: 0 };
		expect([...quotas.figures()]).toEqual([["kafka request_rate", waited]]);
	});

	test("that is gone is not listed, and lifted no more", async () => {
		await set({ user: "alice" }, { request_rate: 1 });
		const quota = connect("alice", "app", () => expect.unreachable());
		quota.charge("request", 3);
		quota.close();
		expect(quotas.list()).toEqual([]);
		// A fetch that is answered late.
		expect(quota.charge("request", 3)).toBeUndefined();
		expect(quotas.list()).toEqual([]);
		expect(connect("alice", "app").charge("request", 1)).toMatchObject({ ms: 6_000 });
		clock.advance(10_000);
	});

	test("that makes up names is counted all the same, within bounds", async () => {
		await set({ clientId: null }, { request_rate: 1 });
		const quota = connect("alice", "");
		for (let index = 0; index <= 2 * LIMITS.quotaRatesMax; index++) {
			quota.identify("User:alice", `made-up-${index}`);
			quota.charge("request", 1);
		}
		quota.identify("User:alice", `made-up-${2 * LIMITS.quotaRatesMax}`);
		expect(quota.charge("request", 1)).toMatchObject({ quota: "request_rate" });
	});
});
