/** Single consumer groups are given other timeouts than the broker's. */
import { beforeEach, describe, expect, test } from "vitest";
import { GroupConfigs, type GroupOverrideChange } from "../../src/groups/group-configs.ts";
import type { GroupOptions } from "../../src/groups/options.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";
import { OPTIONS } from "./harness.ts";

const SESSION = "consumer.session.timeout.ms";
const HEARTBEAT = "consumer.heartbeat.interval.ms";

let file: MemoryMetadataFile;

beforeEach(() => {
	file = new MemoryMetadataFile();
});

async function open(options: Partial<GroupOptions> = {}): Promise<GroupConfigs> {
	const opened = await MetadataWriter.open(new EmbeddedMetadataStore(file));
	return GroupConfigs.open(opened, { ...OPTIONS, ...options });
}

const to =
	(...changes: GroupOverrideChange[]) =>
	() =>
		changes;

const timeouts = (sessionTimeoutMs: number, heartbeatIntervalMs: number) => ({
	sessionTimeoutMs,
	heartbeatIntervalMs,
});

describe("a group", () => {
	test("is given the broker's timeouts unless it has its own", async () => {
		const configs = await open();
		expect(configs.timeoutsOf("a")).toEqual(timeouts(45_000, 5_000));
		await configs.alter("a", to([SESSION, "50000"]));
		expect(configs.timeoutsOf("a")).toEqual(timeouts(50_000, 5_000));
		expect(configs.timeoutsOf("b")).toEqual(timeouts(45_000, 5_000));
		await configs.alter("a", to([SESSION, null], [HEARTBEAT, "+007000"]));
		expect(configs.timeoutsOf("a")).toEqual(timeouts(45_000, 7_000));
	});

	test("has its own after a restart, until it goes back", async () => {
		const odd = "a group/with \u00e4 name";
		await (await open()).alter(odd, to([SESSION, "50000"]));
		const configs = await open();
		expect(configs.timeoutsOf(odd)).toEqual(timeouts(50_000, 5_000));
		expect(configs.list()).toEqual([odd]);
		await configs.alter(odd, to([SESSION, null]));
		expect(configs.list()).toEqual([]);
		expect(file.entries.size).toBe(0);
		expect((await open()).list()).toEqual([]);
	});

	test("stays within the broker's bounds when those change", async () => {
		await (await open()).alter("a", to([SESSION, "60000"], [HEARTBEAT, "15000"]));
		const narrow = await open({
			groupConsumerMaxSessionTimeoutMs: 50_000,
			groupConsumerMaxHeartbeatIntervalMs: 6_000,
		});
		expect(narrow.timeoutsOf("a")).toEqual(timeouts(50_000, 6_000));
	});

	test("is described with what is in force", async () => {
		const configs = await open();
		await configs.alter("a", to([SESSION, "50000"]));
		expect(configs.describe("a")).toMatchObject([
			{ name: HEARTBEAT, value: "5000", isOverride: false },
			{ name: SESSION, value: "50000", isOverride: true },
		]);
	});

	test("has all changes that are asked for at the same time", async () => {
		const configs = await open();
		await Promise.all([
			configs.alter("a", to([SESSION, "50000"])),
			configs.alter("a", (present) => {
				expect([...present]).toEqual([[SESSION, "50000"]]);
				return [[HEARTBEAT, "6000"]];
			}),
		]);
		expect(configs.timeoutsOf("a")).toEqual(timeouts(50_000, 6_000));
	});
});

describe("refused are", () => {
	test.each([
		[SESSION, "44999"],
		[SESSION, "60001"],
		[SESSION, "x"],
		[SESSION, ""],
		[SESSION, "50000.5"],
		[SESSION, "5e4"],
		[SESSION, "99999999999"],
		[HEARTBEAT, "4999"],
		[HEARTBEAT, "15001"],
		["nonsense", "1"],
	])("%s = %j", async (name, value) => {
		const configs = await open();
		const refusal = { code: "INVALID_CONFIG" };
		const change = to([SESSION, "50000"], [name, value]);
		expect(() => configs.check("a", change)).toThrow(expect.objectContaining(refusal));
		await expect(configs.alter("a", change)).rejects.toMatchObject(refusal);
		expect(configs.list()).toEqual([]);
		expect(file.epoch).toBe(0);
	});

	test("heartbeats that are rarer than the session allows", async () => {
		const configs = await open({
			groupConsumerMinSessionTimeoutMs: 1_000,
			groupConsumerMaxHeartbeatIntervalMs: 60_000,
		});
		const refusal = { code: "INVALID_CONFIG" };
		await expect(configs.alter("a", to([SESSION, "5000"]))).rejects.toMatchObject(refusal);
		await expect(configs.alter("a", to([HEARTBEAT, "45000"]))).rejects.toMatchObject(refusal);
		await configs.alter("a", to([SESSION, "5001"]));
	});

	test("names that are too long", async () => {
		const configs = await open();
		const refusal = { code: "INVALID_GROUP_ID" };
		const change = to([SESSION, "50000"]);
		await expect(configs.alter("x".repeat(8_193), change)).rejects.toMatchObject(refusal);
		await configs.alter("x".repeat(8_192), change);
	});

	test("what cannot be stored, and it is not in force", async () => {
		const configs = await open();
		file.failNextCommit = "before";
		const change = to([SESSION, "50000"]);
		await expect(configs.alter("a", change)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
		expect(configs.timeoutsOf("a")).toEqual(timeouts(45_000, 5_000));
		await configs.alter("a", change);
		expect(configs.timeoutsOf("a")).toEqual(timeouts(50_000, 5_000));
	});

	test.each([
		["no JSON", "x", "DATA_DAMAGED"],
		["no configuration", '{"format":1}', "DATA_DAMAGED"],
		["a number", '{"format":1,"config":{"consumer.session.timeout.ms":5}}', "DATA_DAMAGED"],
		["a newer format", '{"format":2,"config":{}}', "DATA_DIRECTORY_NEWER"],
	])("entries that hold %s", async (_what, text, code) => {
		file.entries.set("group-configs/a", new TextEncoder().encode(text));
		await expect(open()).rejects.toMatchObject({ code });
	});
});
