/** Several keepers of state commit through one writer. */
import { describe, expect, test } from "vitest";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { MemoryMetadataFile } from "./memory-metadata-file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const set = (key: string, text = "value") => [{ key, value: bytes(text) }];
const FAILED = { code: "KAFKA_STORAGE_ERROR" };

const read = (file: MemoryMetadataFile) => MetadataWriter.open(new EmbeddedMetadataStore(file));
const open = async (file: MemoryMetadataFile) => (await read(file)).metadata;

describe("a metadata writer", () => {
	test("makes commits of several one after the other, at one epoch", async () => {
		const file = new MemoryMetadataFile();
		const writer = await open(file);
		await Promise.all(["a", "b", "c"].map((key) => writer.commit(set(key))));
		expect([...(await read(file)).entries.keys()]).toEqual(["a", "b", "c"]);
		expect(writer.epoch).toBe(3);
		expect((await open(file)).epoch).toBe(3);
	});

	test("goes on after a commit that changed nothing", async () => {
		const file = new MemoryMetadataFile();
		const writer = await open(file);
		file.failNextCommit = "before";
		const outcomes = await Promise.allSettled([writer.commit(set("a")), writer.commit(set("b"))]);
		expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
		expect([...(await read(file)).entries.keys()]).toEqual(["b"]);
	});

	test("finds out that a commit was made although it failed", async () => {
		const file = new MemoryMetadataFile();
		const writer = await open(file);
		file.failNextCommit = "after";
		await writer.commit(set("a"));
		await writer.commit(set("b"));
		expect([...(await read(file)).entries.keys()]).toEqual(["a", "b"]);
		expect(writer.refusal).toBeUndefined();
	});

	test("refuses everything once nobody can say what happened", async () => {
		const file = new MemoryMetadataFile();
		const writer = await open(file);
		file.failNextCommit = "before";
		file.failLoads = true;
		await expect(writer.commit(set("a"))).rejects.toMatchObject(FAILED);
		file.failLoads = false;
		expect(writer.refusal).toMatchObject(FAILED);
		await expect(writer.commit(set("b"))).rejects.toMatchObject(FAILED);
		expect(file.entries.size).toBe(0);
	});

	test("refuses everything once somebody else has written", async () => {
		const file = new MemoryMetadataFile();
		const writer = await open(file);
		await file.metadataCommit(0, set("theirs"));
		await file.metadataCommit(1, set("theirs"));
		await expect(writer.commit(set("a"))).rejects.toMatchObject(FAILED);
		expect(writer.refusal).toMatchObject(FAILED);
		expect([...file.entries.keys()]).toEqual(["theirs"]);
	});
});
