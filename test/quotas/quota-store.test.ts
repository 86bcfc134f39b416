import { describe, expect, test } from "vitest";

import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import type { QuotaEntity } from "../../src/quotas/quota-entity.ts";
import type { QuotaKey } from "../../src/quotas/quota-keys.ts";
import { QuotaStore } from "../../src/quotas/quota-store.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";

const open = async (file: MemoryMetadataFile) =>
	QuotaStore.open(await MetadataWriter.open(new EmbeddedMetadataStore(file)));

const change = (entity: QuotaEntity, rates: Partial<Record<QuotaKey, number | null>>) => ({
	entity,
	rates: new Map(Object.entries(rates) as [QuotaKey, number | null][]),
});

/** The entities that a client falls under, and with whom it shares what each of them may do. */
const LEVELS: readonly (readonly [entity: QuotaEntity, sharedBy: QuotaEntity])[] = [
	[
		{ user: "alice", clientId: "app" },
		{ user: "alice", clientId: "app" },
	],
	[
		{ user: "alice", clientId: null },
		{ user: "alice", clientId: "app" },
	],
	[{ user: "alice" }, { user: "alice" }],
	[
		{ user: null, clientId: "app" },
		{ user: "alice", clientId: "app" },
	],
	[
		{ user: null, clientId: null },
		{ user: "alice", clientId: "app" },
	],
	[{ user: null }, { user: "alice" }],
	[{ clientId: "app" }, { clientId: "app" }],
	[{ clientId: null }, { clientId: "app" }],
];

describe("quotas", () => {
	test("of eight levels win in Kafka's order", async () => {
		const store = await open(new MemoryMetadataFile());
		expect(store.limitsOf("alice", "app")).toEqual([]);
		// From the last on, each wins over all that are there.
		for (const [index, [entity, sharedBy]] of [...LEVELS.entries()].reverse()) {
			await store.alter([change(entity, { producer_byte_rate: index + 1 })]);
			expect(store.limitsOf("alice", "app")).toEqual([
				{ key: "producer_byte_rate", bound: index + 1, entity, sharedBy },
			]);
		}
		expect(store.limitsOf("bob", "other")).toMatchObject([
			{ entity: { user: null, clientId: null } },
		]);
		expect(store.limitsOf("bob", "app")).toMatchObject([
			{ entity: { user: null, clientId: "app" } },
		]);
		expect(store.limitsOf("alice", "other")).toMatchObject([
			{ entity: { user: "alice", clientId: null } },
		]);
	});

	test("of different kinds are looked for by themselves", async () => {
		const store = await open(new MemoryMetadataFile());
		await store.alter([
			change({ user: "alice" }, { producer_byte_rate: 10 }),
			change({ clientId: null }, { producer_byte_rate: 1, request_rate: 2 }),
		]);
		expect(store.limitsOf("alice", "app")).toMatchObject([
			{ key: "producer_byte_rate", bound: 10 },
			{ key: "request_rate", bound: 2, entity: { clientId: null } },
		]);
	});

	test("are there again after a restart, and gone when removed", async () => {
		const file = new MemoryMetadataFile();
		const store = await open(file);
		const named = change({ user: "alice", clientId: null }, { request_rate: 0.5 });
		await store.alter([named, change({ user: null }, { consumer_byte_rate: 7 })]);
		const again = await open(file);
		expect(again.list()).toEqual(store.list());
		expect(again.list()).toHaveLength(2);
		expect(again.limitsOf("alice", "any")).toMatchObject([
			{ key: "consumer_byte_rate", bound: 7 },
			{ key: "request_rate", bound: 0.5 },
		]);
		await again.alter([change({ user: "alice", clientId: null }, { request_rate: null })]);
		await again.alter([change({ user: null }, { consumer_byte_rate: null })]);
		expect(again.isEmpty).toBe(true);
		expect((await open(file)).isEmpty).toBe(true);
		expect([...file.entries.keys()]).toEqual([]);
	});

	test.for([
		["nobody", change({}, { request_rate: 1 })],
		["no name", change({ user: "" }, { request_rate: 1 })],
		["a long name", change({ clientId: "x".repeat(1_025) }, { request_rate: 1 })],
		["zero", change({ user: "alice" }, { request_rate: 0 })],
		["less than nothing", change({ user: "alice" }, { producer_byte_rate: -1 })],
		["no number", change({ user: "alice" }, { producer_byte_rate: Number.NaN })],
		["no end", change({ user: "alice" }, { producer_byte_rate: Number.POSITIVE_INFINITY })],
	] as const)("are refused for %s, with all that is changed with them", async ([, bad]) => {
		const store = await open(new MemoryMetadataFile());
		const good = change({ user: "bob" }, { request_rate: 1 });
		await expect(store.alter([good, bad])).rejects.toMatchObject({ code: "INVALID_REQUEST" });
		expect(store.isEmpty).toBe(true);
	});

	test("that cannot be stored are not in force", async () => {
		const file = new MemoryMetadataFile();
		const store = await open(file);
		file.failNextCommit = "before";
		const set = store.alter([change({ user: "alice" }, { request_rate: 1 })]);
		await expect(set).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
		expect(store.isEmpty).toBe(true);
	});

	test("that are damaged are refused", async () => {
		const file = new MemoryMetadataFile();
		await (await open(file)).alter([change({ user: "alice" }, { request_rate: 1 })]);
		const [[key, value]] = [...file.entries] as [[string, Uint8Array]];
		const text = Buffer.from(value).toString();
		for (const damaged of [
			text.replace("request_rate", "reqest_rate"),
			text.replace(":1}", ':"1"}'),
		]) {
			file.entries.set(key, Buffer.from(damaged));
			await expect(open(file)).rejects.toMatchObject({ code: "DATA_DAMAGED" });
		}
	});
});
