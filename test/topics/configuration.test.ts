import { describe, expect, test } from "vitest";
import {
	changeOverrides,
	checkOverrides,
	checkSetting,
	describeConfiguration,
	topicLogConfig,
} from "../../src/topics/configuration.ts";
import { CONFIGURATION } from "../../src/topics/configuration-table.ts";
import { BUILT_IN_DEFAULTS } from "../../src/topics/topic-defaults.ts";

const LONG_MAX = "9223372036854775807";
const refused = (message: RegExp) =>
	expect.objectContaining({ code: "INVALID_CONFIG", message: expect.stringMatching(message) });

describe("topic configuration", () => {
	test("every default is a value that would be accepted, in canonical form", () => {
		for (const [name, entry] of CONFIGURATION) {
			if (entry.class === "refused") continue;
			expect([name, checkSetting(name, entry.default)]).toEqual([name, entry.default]);
		}
	});

	test("defaults are Kafka's, but for flush.messages", () => {
		// Kafka 4.x, as its own documentation lists them.
		const kafka: Record<string, string> = {
			"cleanup.policy": "delete",
			"compression.gzip.level": "-1",
			"compression.lz4.level": "9",
			"compression.type": "producer",
			"compression.zstd.level": "3",
			"delete.retention.ms": "86400000",
			"file.delete.delay.ms": "60000",
			"flush.messages": "1",
			"flush.ms": LONG_MAX,
			"follower.replication.throttled.replicas": "",
			"index.interval.bytes": "4096",
			"leader.replication.throttled.replicas": "",
			"local.retention.bytes": "-2",
			"local.retention.ms": "-2",
			"max.compaction.lag.ms": LONG_MAX,
			"max.message.bytes": "1048588",
			"message.timestamp.after.max.ms": "3600000",
			"message.timestamp.before.max.ms": LONG_MAX,
			"message.timestamp.type": "CreateTime",
			"min.cleanable.dirty.ratio": "0.5",
			"min.compaction.lag.ms": "0",
			"min.insync.replicas": "1",
			preallocate: "false",
			"remote.log.copy.disable": "false",
			"remote.log.delete.on.disable": "false",
			"remote.storage.enable": "false",
			"retention.bytes": "-1",
			"retention.ms": "604800000",
			"segment.bytes": "1073741824",
			"segment.index.bytes": "10485760",
			"segment.jitter.ms": "0",
			"segment.ms": "604800000",
			"unclean.leader.election.enable": "false",
		};
		const described = describeConfiguration(new Map(), BUILT_IN_DEFAULTS);
		expect(Object.fromEntries(described.map(({ name, value }) => [name, value]))).toEqual(kafka);
	});

	test("a LONG is exact to its last digit, and one more is refused", () => {
		expect(checkSetting("retention.ms", LONG_MAX)).toBe(LONG_MAX);
		expect(checkSetting("retention.ms", "9223372036854775806")).toBe("9223372036854775806");
		expect(() => checkSetting("retention.ms", "9223372036854775808")).toThrow(
			refused(/not between/),
		);
		expect(() => checkSetting("retention.ms", "-2")).toThrow(refused(/not between/));
	});

	test("an unknown name is refused with the nearest one", () => {
		expect(() => checkSetting("retenton.ms", "1")).toThrow(refused(/did you mean retention\.ms\?/));
		expect(() => checkSetting("constructor", "1")).toThrow(
			refused(/no topic configuration constructor$/),
		);
		expect(() => checkSetting("x".repeat(1_000_000), "1")).toThrow(refused(/x{100}\.\.\.$/));
	});

	test("what can only be one value is refused at any other, with the reason", () => {
		expect(checkSetting("remote.storage.enable", "FALSE")).toBe("false");
		expect(() => checkSetting("remote.storage.enable", "true")).toThrow(refused(/no remote tier/));
	});

	test("what permits or hints is taken, and said to have no effect", () => {
		const hints = checkOverrides([
			["unclean.leader.election.enable", "true"],
			["segment.index.bytes", "52428800"],
		]);
		const described = new Map(
			describeConfiguration(hints, BUILT_IN_DEFAULTS).map((entry) => [entry.name, entry]),
		);
		for (const [name, value] of hints) {
			const pending = expect.stringMatching(/./);
			expect(described.get(name)).toMatchObject({ value, readOnly: false, pending });
		}
		expect(() => checkSetting("segment.index.bytes", "3")).toThrow(refused(/not between/));
		expect(() => checkSetting("segment.jitter.ms", "-1")).toThrow(refused(/not between/));
	});

	test("a refused name says why", () => {
		expect(() => checkSetting("message.format.version", "2.8")).toThrow(
			refused(/Kafka 4\.0 removed it/),
		);
	});

	test.each([
		["flush.messages", "0"],
		["flush.messages", "1.5"],
		["flush.messages", ""],
		["flush.messages", "0x10"],
		["flush.messages", "1e3"],
		["compression.gzip.level", "0"],
		["compression.type", "LZ4"],
		["cleanup.policy", "compact,keep"],
		["min.cleanable.dirty.ratio", "1.5"],
		["min.cleanable.dirty.ratio", "NaN"],
		["min.cleanable.dirty.ratio", ""],
		["preallocate", "yes"],
		["segment.bytes", "1048575"],
		["max.message.bytes", "2147483648"],
		["retention.ms", "1".repeat(2_000)],
	])("%s refuses %j", (name, value) => {
		expect(() => checkSetting(name, value)).toThrow(refused(/./));
	});

	test("values are stored in one form", () => {
		expect(checkSetting("retention.ms", " +007 ")).toBe("7");
		expect(checkSetting("preallocate", "True")).toBe("true");
		expect(checkSetting("cleanup.policy", "[delete, compact,delete]")).toBe("delete,compact");
		expect(checkSetting("cleanup.policy", " [] ")).toBe("");
	});

	test("a change that is refused leaves everything as it was", () => {
		const before = checkOverrides([["retention.ms", "5"]]);
		expect(() =>
			changeOverrides(before, [
				["retention.ms", null],
				["nonsense", "1"],
			]),
		).toThrow(refused(/nonsense/));
		expect([...before]).toEqual([["retention.ms", "5"]]);
		expect([...changeOverrides(before, [["retention.ms", null]])]).toEqual([]);
	});

	test("a description tells what the topic set itself", () => {
		const described = describeConfiguration(
			checkOverrides([["flush.ms", LONG_MAX]]),
			BUILT_IN_DEFAULTS,
		);
		const byName = new Map(described.map((entry) => [entry.name, entry]));
		expect(byName.get("flush.ms")).toMatchObject({
			value: LONG_MAX,
			source: "topic",
			readOnly: false,
		});
		expect(byName.get("segment.bytes")).toMatchObject({ source: "default" });
		expect(byName.get("remote.storage.enable")).toMatchObject({ readOnly: true });
		expect(byName.get("segment.index.bytes")?.pending).toMatch(/as large as its segment needs/);
		expect(byName.has("message.format.version")).toBe(false);
	});

	test("the core gets numbers, with never for what no number holds", () => {
		expect(topicLogConfig(new Map(), BUILT_IN_DEFAULTS)).toEqual({
			flushMessages: 1,
			flushMs: Number.MAX_SAFE_INTEGER,
			segmentBytes: 1_073_741_824,
			segmentMs: 604_800_000,
			segmentJitterMs: 0,
			indexIntervalBytes: 4_096,
			maxMessageBytes: 1_048_588,
			compacted: false,
			timestampType: "CreateTime",
			timestampBeforeMsMax: Number.MAX_SAFE_INTEGER,
			timestampAfterMsMax: 3_600_000,
			preallocate: false,
			compression: "producer",
			compressionLevel: null,
			retentionMs: 604_800_000,
			retentionBytes: null,
			fileDeleteDelayMs: 60_000,
			deleteRetentionMs: 86_400_000,
			minCleanableDirtyRatio: 0.5,
			minCompactionLagMs: 0,
			maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
			minInsyncReplicas: 1,
			internal: false,
		});
		const overrides = checkOverrides([
			["compression.type", "zstd"],
			["compression.zstd.level", "7"],
			["cleanup.policy", "compact"],
		]);
		expect(topicLogConfig(overrides, BUILT_IN_DEFAULTS)).toMatchObject({
			compression: "zstd",
			compressionLevel: 7,
			compacted: true,
		});
		for (const policy of ["compact", ""]) {
			const kept = topicLogConfig(checkOverrides([["cleanup.policy", policy]]), BUILT_IN_DEFAULTS);
			expect(kept).toMatchObject({ retentionMs: null, retentionBytes: null });
		}
		const sparse = checkOverrides([["index.interval.bytes", "2147483647"]]);
		expect(topicLogConfig(sparse, BUILT_IN_DEFAULTS).indexIntervalBytes).toBe(16_384);
		// More than a batch may have, as 10485760 in many a configuration, is taken for its most.
		const large = checkOverrides([["max.message.bytes", "2147483647"]]);
		expect(topicLogConfig(large, BUILT_IN_DEFAULTS).maxMessageBytes).toBe(8_388_608);
		// Made for a cluster; here a partition has one replica, and no ack can wait for more.
		const copied = checkOverrides([["min.insync.replicas", "2"]]);
		expect(topicLogConfig(copied, BUILT_IN_DEFAULTS).minInsyncReplicas).toBe(1);
	});
});
