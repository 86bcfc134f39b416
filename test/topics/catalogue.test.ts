import { beforeEach, describe, expect, test } from "vitest";

import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import {
	type CatalogueOptions,
	TopicCatalogue,
	type TopicChange,
} from "../../src/topics/catalogue.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";
import { FakeTopicStorage } from "./fake-topic-storage.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let file: MemoryMetadataFile;
let storage: FakeTopicStorage;
let failures: unknown[];

beforeEach(() => {
	file = new MemoryMetadataFile();
	storage = new FakeTopicStorage();
	failures = [];
});

async function open(options: Partial<CatalogueOptions> = {}): Promise<TopicCatalogue> {
	const opened = await MetadataWriter.open(new EmbeddedMetadataStore(file));
	return TopicCatalogue.open(storage, opened, {
		partitionsDefault: 1,
		createsAutomatically: true,
		onDeletionFailed: (_, error) => failures.push(error),
		...options,
	});
}

describe("room for topics", () => {
	const policyViolation = (detail: string) => ({
		code: "POLICY_VIOLATION",
		message: expect.stringContaining(detail),
	});

	test("is for so many topics, and comes back with a deletion", async () => {
		const catalogue = await open({ topicsMax: 2 });
		await catalogue.create({ name: "a" });
		await catalogue.create({ name: "b" });
		const refusal = policyViolation("at most 2 topics");
		await expect(catalogue.create({ name: "c" })).rejects.toMatchObject(refusal);
		await expect(catalogue.resolve("c")).rejects.toMatchObject(refusal);
		expect(() => catalogue.checkCreation({ name: "c" })).toThrow("at most 2 topics");
		await expect(catalogue.create({ name: "b" })).rejects.toMatchObject({
			code: "TOPIC_ALREADY_EXISTS",
		});
		await catalogue.create({ name: "b", ifNotExists: true });
		expect(storage.calls).toEqual(["open a 1", "open b 1"]);
		await catalogue.delete("a");
		await catalogue.create({ name: "c" });
	});

	test("is for so many partitions of all topics together", async () => {
		const catalogue = await open({ partitionsMax: 5 });
		await catalogue.create({ name: "a", partitions: 3 });
		const refusal = policyViolation("at most 5 partitions, and this one has 3");
		await expect(catalogue.create({ name: "b", partitions: 3 })).rejects.toMatchObject(refusal);
		await expect(catalogue.alter("a", { partitions: 6 })).rejects.toMatchObject(refusal);
		await expect(catalogue.addPartitions("a", 6)).rejects.toMatchObject(refusal);
		await catalogue.addPartitions("a", 4);
		await catalogue.create({ name: "b", partitions: 1 });
		expect(() => catalogue.checkAlteration("a", { partitions: 5 })).toThrow("at most 5 partitions");
		await catalogue.alter("a", { config: [["retention.ms", "1000"]] });
		await catalogue.delete("a");
		await catalogue.alter("b", { partitions: 5 });
	});

	test("what is there already is served, were it more", async () => {
		const first = await open();
		for (const name of ["a", "b", "c"]) await first.create({ name, partitions: 2 });
		const again = await open({ topicsMax: 2, partitionsMax: 4 });
		expect(again.list().map(({ name }) => name)).toEqual(["a", "b", "c"]);
		await expect(again.create({ name: "d" })).rejects.toMatchObject({ code: "POLICY_VIOLATION" });
		await again.delete("a");
		await again.delete("b");
		await again.create({ name: "d", partitions: 2 });
	});
});

describe("creating topics", () => {
	test("a created topic is there after a restart, as it was", async () => {
		const catalogue = await open();
		const {
			topic: { topicId },
		} = await catalogue.create({
			name: "orders",
			partitions: 3,
			config: [["retention.ms", "9223372036854775807"]],
		});
		expect(topicId).toMatch(UUID);
		storage = new FakeTopicStorage();
		const again = await open();
		expect(storage.calls).toEqual(["open orders 3 existing"]);
		expect(storage.setAsideAfter).toEqual([storage.calls]);
		expect(again.get("orders")).toMatchObject({ topicId, partitions: 3 });
		const retention = again
			.describe("orders")
			.configuration.find(({ name }) => name === "retention.ms");
		expect(retention?.value).toBe("9223372036854775807");
	});

	test("directories come before the metadata; when its commit fails they go again", async () => {
		const catalogue = await open();
		file.failNextCommit = "before";
		await expect(catalogue.create({ name: "a" })).rejects.toMatchObject({
			code: "KAFKA_STORAGE_ERROR",
		});
		expect(catalogue.get("a")).toBeUndefined();
		await catalogue.create({ name: "a" });
		expect(storage.calls.filter((call) => !call.startsWith("gone"))).toEqual([
			"open a 1",
			"delete a",
			"open a 1",
		]);
	});

	test("nothing is committed when the directories cannot be made", async () => {
		const catalogue = await open();
		storage.failNextOpen = true;
		await expect(catalogue.create({ name: "a" })).rejects.toThrow("open failed");
		expect(file.epoch).toBe(0);
		await expect(catalogue.create({ name: "a" })).resolves.toMatchObject({ created: true });
	});

	test("a commit that took effect although it failed counts", async () => {
		const catalogue = await open();
		file.failNextCommit = "after";
		await catalogue.create({ name: "a" });
		await catalogue.create({ name: "b" });
		expect(catalogue.list().map(({ name }) => name)).toEqual(["a", "b"]);
	});

	test("when the metadata cannot even be read, mutations stop and reads go on", async () => {
		const catalogue = await open();
		await catalogue.create({ name: "a" });
		file.failNextCommit = "before";
		file.failLoads = true;
		await expect(catalogue.create({ name: "b" })).rejects.toMatchObject({
			code: "KAFKA_STORAGE_ERROR",
		});
		file.failLoads = false;
		await expect(catalogue.create({ name: "c" })).rejects.toMatchObject({
			code: "KAFKA_STORAGE_ERROR",
		});
		expect(catalogue.get("a")?.name).toBe("a");
	});

	test.each([
		"",
		".",
		"..",
		"a/b",
		"../a",
		"a b",
		"ä",
		"a\n",
		"\0",
		"x".repeat(250),
		"__cluster_metadata",
	])("the name %j is refused", async (name) => {
		const catalogue = await open();
		const refusal = { code: "INVALID_TOPIC_EXCEPTION" };
		await expect(catalogue.create({ name })).rejects.toMatchObject(refusal);
		await expect(catalogue.resolve(name)).rejects.toMatchObject(refusal);
		expect(storage.calls).toEqual([]);
	});

	test("names that Kafka's metrics cannot tell apart do not stand beside each other", async () => {
		const catalogue = await open();
		await catalogue.create({ name: "a.b_c" });
		await expect(catalogue.create({ name: "a_b.c" })).rejects.toMatchObject({
			code: "INVALID_TOPIC_EXCEPTION",
		});
		await catalogue.delete("a.b_c");
		await expect(catalogue.create({ name: "a_b.c" })).resolves.toMatchObject({ created: true });
	});

	test.each([0, -1, 1.5, Number.NaN, 10_001])("%d partitions are refused", async (partitions) => {
		const catalogue = await open();
		await expect(catalogue.create({ name: "a", partitions })).rejects.toMatchObject({
			code: "INVALID_PARTITIONS",
		});
	});

	test("a second topic of the name is refused, unless the first will do", async () => {
		const catalogue = await open();
		const first = await catalogue.create({ name: "a", partitions: 2 });
		expect(first.created).toBe(true);
		await expect(catalogue.create({ name: "a" })).rejects.toMatchObject({
			code: "TOPIC_ALREADY_EXISTS",
		});
		const second = await catalogue.create({ name: "a", ifNotExists: true });
		expect(second).toEqual({ created: false, topic: first.topic });
	});
});

test("checking alone says the same and does nothing", async () => {
	const catalogue = await open();
	await catalogue.create({ name: "a" });
	const epoch = file.epoch;
	const code = (name: string) => expect.objectContaining({ code: name });
	catalogue.checkCreation({ name: "b", partitions: 3 });
	catalogue.checkCreation({ name: "a", ifNotExists: true });
	expect(() => catalogue.checkCreation({ name: "a" })).toThrow(code("TOPIC_ALREADY_EXISTS"));
	expect(() => catalogue.checkCreation({ name: "b", partitions: 0 })).toThrow(
		code("INVALID_PARTITIONS"),
	);
	catalogue.checkAlteration("a", { partitions: 2 });
	expect(() => catalogue.checkAlteration("b", {})).toThrow(code("UNKNOWN_TOPIC_OR_PARTITION"));
	expect(() => catalogue.checkAlteration("a", { config: [["x", "1"]] })).toThrow(
		code("INVALID_CONFIG"),
	);
	expect(file.epoch).toBe(epoch);
	expect(storage.calls).toEqual(["open a 1"]);
});

describe("automatic creation", () => {
	test("many first users of a name get one topic, with num.partitions partitions", async () => {
		const catalogue = await open({ partitionsDefault: 4 });
		const topics = await Promise.all(Array.from({ length: 20 }, () => catalogue.resolve("a")));
		expect(new Set(topics).size).toBe(1);
		expect(topics[0]?.partitions).toBe(4);
		expect(storage.calls).toEqual(["open a 4"]);
	});

	test("switched off, a missing topic is unknown", async () => {
		const catalogue = await open({ createsAutomatically: false });
		await expect(catalogue.resolve("a")).rejects.toMatchObject({
			code: "UNKNOWN_TOPIC_OR_PARTITION",
		});
		expect(storage.calls).toEqual([]);
	});
});

describe("altering topics", () => {
	test("configuration and partitions change together and survive a restart", async () => {
		const catalogue = await open();
		await catalogue.create({ name: "a", config: [["flush.ms", "100"]] });
		await catalogue.alter("a", {
			partitions: 5,
			config: [
				["flush.messages", "1000"],
				["flush.ms", null],
			],
		});
		expect(storage.calls.slice(1)).toEqual(["grow a 5", "configure a 1000"]);
		const again = await open();
		expect(again.get("a")).toMatchObject({ partitions: 5 });
		expect([...(again.get("a")?.overrides ?? [])]).toEqual([["flush.messages", "1000"]]);
	});

	test("a refused setting leaves partitions and configuration alone", async () => {
		const catalogue = await open();
		const { topic: before } = await catalogue.create({ name: "a" });
		await expect(
			catalogue.alter("a", { partitions: 5, config: [["nonsense", "1"]] }),
		).rejects.toMatchObject({ code: "INVALID_CONFIG" });
		expect(catalogue.get("a")).toBe(before);
		expect(storage.calls).toEqual(["open a 1"]);
	});

	test("partitions are never taken away, and adding none is refused", async () => {
		const catalogue = await open();
		await catalogue.create({ name: "a", partitions: 3 });
		const refusal = { code: "INVALID_PARTITIONS" };
		await expect(catalogue.alter("a", { partitions: 2 })).rejects.toMatchObject(refusal);
		await expect(catalogue.addPartitions("a", 3)).rejects.toMatchObject(refusal);
		await expect(catalogue.addPartitions("a", 4)).resolves.toMatchObject({ partitions: 4 });
	});
});

describe("deleting topics", () => {
	test("the answer comes before the files are gone, and the name is free at once", async () => {
		const catalogue = await open();
		const { topic: first } = await catalogue.create({ name: "a" });
		let unlink: (() => void) | undefined;
		storage.deletionGate = new Promise((resolve) => {
			unlink = resolve;
		});
		await catalogue.delete("a");
		expect(catalogue.get("a")).toBeUndefined();
		const { topic: second } = await catalogue.create({ name: "a" });
		expect(second.topicId).not.toBe(first.topicId);
		expect(storage.calls).not.toContain("gone a");
		unlink?.();
		await catalogue.close();
		expect(storage.calls).toContain("gone a");
		expect([...file.entries.keys()]).toEqual(["topics/a"]);
	});

	test("a deletion that a stop interrupted is finished by the next start", async () => {
		const catalogue = await open();
		const { topic } = await catalogue.create({ name: "a", partitions: 2 });
		storage.deletionGate = new Promise(() => undefined);
		await catalogue.delete("a");
		storage = new FakeTopicStorage();
		const again = await open();
		expect(again.list()).toEqual([]);
		await again.close();
		// Before unknown directories are set aside: these are not unknown.
		expect(storage.setAsideAfter).toEqual([[`remove ${topic.topicId}`]]);
		expect(file.entries.size).toBe(0);
	});

	test("a resumed deletion that fails is reported, and nothing is set aside", async () => {
		const catalogue = await open();
		await catalogue.create({ name: "a" });
		storage.deletionGate = Promise.reject(new Error("unlink failed"));
		await catalogue.delete("a");
		await catalogue.close();
		const gate = storage.deletionGate;
		storage = new FakeTopicStorage();
		storage.deletionGate = gate;
		const again = await open();
		expect(failures).toHaveLength(2);
		expect(storage.setAsideAfter).toEqual([]);
		await again.close();
		expect([...file.entries.keys()]).toEqual([expect.stringMatching(/^deleted-topics\//)]);
	});

	test("a failed removal of files is reported and keeps its tombstone", async () => {
		const catalogue = await open();
		await catalogue.create({ name: "a" });
		storage.deletionGate = Promise.reject(new Error("unlink failed"));
		await catalogue.delete("a");
		await catalogue.close();
		expect(failures).toEqual([new Error("unlink failed")]);
		expect([...file.entries.keys()]).toEqual([expect.stringMatching(/^deleted-topics\//)]);
	});

	test("an unknown topic is unknown", async () => {
		const catalogue = await open();
		const unknown = { code: "UNKNOWN_TOPIC_OR_PARTITION" };
		await expect(catalogue.delete("a")).rejects.toMatchObject(unknown);
		await expect(catalogue.alter("a", {})).rejects.toMatchObject(unknown);
		expect(() => catalogue.describe("a")).toThrow(expect.objectContaining(unknown));
	});
});

describe("the catalogue", () => {
	test("listeners hear of every change once it is durable", async () => {
		const catalogue = await open();
		const heard: string[] = [];
		const listen = (change: TopicChange) =>
			heard.push(`${change.kind} ${change.topic.partitions} at ${file.epoch}`);
		const stop = catalogue.onChange(listen);
		await catalogue.create({ name: "a" });
		await catalogue.addPartitions("a", 2);
		await catalogue.delete("a");
		stop();
		await catalogue.create({ name: "b" });
		expect(heard).toEqual(["created 1 at 1", "altered 2 at 2", "deleted 2 at 3"]);
	});

	test("closing refuses what comes after", async () => {
		const catalogue = await open();
		await catalogue.close();
		await expect(catalogue.create({ name: "a" })).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
	});

	test.each([
		["topics/a", "not json", "DATA_DAMAGED"],
		["topics/a", '{"format":2}', "DATA_DIRECTORY_NEWER"],
		["topics/a", '{"format":1,"topic_id":"../..","partitions":1,"config":{}}', "DATA_DAMAGED"],
		[
			"topics/a",
			'{"format":1,"topic_id":"6f1b3a52-8f5e-4d57-9a53-2d2b8b1f0c11","partitions":1e9,"config":{}}',
			"DATA_DAMAGED",
		],
	])("an entry %s of %s stops the start", async (key, value, code) => {
		file.entries.set(key, new TextEncoder().encode(value));
		await expect(open()).rejects.toMatchObject({ code });
	});
});
