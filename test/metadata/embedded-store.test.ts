import { describe, expect, test } from "vitest";

import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MemoryMetadataFile } from "./memory-metadata-file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("embedded metadata store", () => {
	test("what was committed is loaded, at the epoch of the commit", async () => {
		const file = new MemoryMetadataFile();
		const store = new EmbeddedMetadataStore(file);
		const { epoch } = await store.load();
		const next = await store.commit(epoch, [
			{ key: "a", value: bytes("1") },
			{ key: "b", value: bytes("2") },
		]);
		await store.commit(next, [{ key: "a", value: null }]);
		const snapshot = await new EmbeddedMetadataStore(file).load();
		expect(snapshot.epoch).toBe(next + 1);
		expect([...snapshot.entries]).toEqual([["b", bytes("2")]]);
	});

	test("a mutation at an epoch that is gone changes nothing", async () => {
		const store = new EmbeddedMetadataStore(new MemoryMetadataFile());
		const { epoch } = await store.load();
		await store.commit(epoch, [{ key: "a", value: bytes("1") }]);
		await expect(store.commit(epoch, [{ key: "a", value: bytes("2") }])).rejects.toMatchObject({
			code: "INVALID_REQUEST",
		});
		expect((await store.load()).entries.get("a")).toEqual(bytes("1"));
	});
});
