import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import {
	ALL_OPTIONS,
	ConfigError,
	environmentName,
	flagName,
	formatAddress,
	loadConfig,
	OPTIONS,
	parseAddress,
	parseConfigFile,
} from "../../src/config.ts";

let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "millrace-config-"));
});
afterEach(() => {
	rmSync(directory, { recursive: true });
});

function file(text: string): string {
	const path = join(directory, "millrace.properties");
	writeFileSync(path, text);
	return path;
}

describe("where an option's value comes from", () => {
	test("without anything, the documented defaults", () => {
		expect(loadConfig({}).config).toEqual({
			dataDir: "./data",
			websocket: { host: "127.0.0.1", port: 4600 },
			kafka: { host: "127.0.0.1", port: 9092 },
			advertise: null,
			maxConnections: 10_000,
			connectionsMaxIdleMs: 600_000,
			numPartitions: 1,
			autoCreateTopicsEnable: true,
			groupInitialRebalanceDelayMs: 3_000,
			groupMinSessionTimeoutMs: 6_000,
			groupMaxSessionTimeoutMs: 1_800_000,
			groupMaxSize: 2_147_483_647,
			groupConsumerSessionTimeoutMs: 45_000,
			groupConsumerMinSessionTimeoutMs: 45_000,
			groupConsumerMaxSessionTimeoutMs: 60_000,
			groupConsumerHeartbeatIntervalMs: 5_000,
			groupConsumerMinHeartbeatIntervalMs: 5_000,
			groupConsumerMaxHeartbeatIntervalMs: 15_000,
			groupConsumerMaxSize: 2_147_483_647,
			groupConsumerAssignors: ["uniform", "range"],
			groupConsumerMigrationPolicy: "bidirectional",
			offsetMetadataMaxBytes: 4_096,
			offsetsRetentionMinutes: 10_080,
			offsetsRetentionCheckIntervalMs: 600_000,
			offsetsTopicNumPartitions: 50,
			logRetentionCheckIntervalMs: 300_000,
			logCleanerEnable: true,
			logCleanerBackoffMs: 15_000,
			logCleanerDedupeBufferSize: 67_108_864,
			logCleanerIoMaxBytesPerSecond: 67_108_864,
			logFlushJournalEnable: false,
			scrubMaxBytesPerSecond: 10_485_760,
			allowedOrigins: [],
			websocketTransport: "auto",
			logLevel: "info",
			topicDefaults: new Map(),
		});
	});

	test("defaults of topics are taken from all three, in canonical form", () => {
		const config = file("log.retention.hours=+048\nlog.cleanup.policy=compact, delete\n");
		const environment = { MILLRACE_LOG_RETENTION_HOURS: "36", MILLRACE_MESSAGE_MAX_BYTES: "9" };
		const flags = { config, "log-preallocate": "TRUE", "message-max-bytes": "10" };
		expect([...loadConfig({ flags, environment }).config.topicDefaults].sort()).toEqual([
			["log.cleanup.policy", "compact,delete"],
			["log.preallocate", "true"],
			["log.retention.hours", "36"],
			["message.max.bytes", "10"],
		]);
		expect(loadConfig({ flags, environment }).unknownEnvironment).toEqual([]);
	});

	test("flag wins over environment wins over file", () => {
		const config = file("num.partitions=2\nlog.level = debug\r\n# comment\n\nkafka=[::1]:1\n");
		const environment = { MILLRACE_NUM_PARTITIONS: "3", MILLRACE_LOG_LEVEL: "warn" };
		const flags = { config, "num-partitions": "4" };
		expect(loadConfig({ flags, environment }).config).toMatchObject({
			numPartitions: 4,
			logLevel: "warn",
			kafka: { host: "::1", port: 1 },
		});
	});

	test("names follow from the option's name, and no two options share one", () => {
		expect(flagName(OPTIONS.autoCreateTopicsEnable)).toBe("auto-create-topics-enable");
		expect(environmentName(OPTIONS.numPartitions)).toBe("MILLRACE_NUM_PARTITIONS");
		const options = ALL_OPTIONS;
		expect(new Set(options.map(environmentName)).size).toBe(options.length);
	});

	test("unknown MILLRACE_ variables are reported, not refused", () => {
		const own = { MILLRACE_TOKEN: "t", MILLRACE_URL: "ws://host:4600" };
		const environment = { MILLRACE_SERVICE_HOST: "10.0.0.1", ...own, PATH: "/bin" };
		expect(loadConfig({ environment }).unknownEnvironment).toEqual(["MILLRACE_SERVICE_HOST"]);
	});

	test("a bad value is refused by the name under which it was given", () => {
		const load =
			(flags: Record<string, string>, environment = {}) =>
			() =>
				loadConfig({ flags, environment });
		expect(load({ websocket: "4600" })).toThrow(/^--websocket: 4600 is not HOST:PORT/);
		expect(load({}, { MILLRACE_NUM_PARTITIONS: "0" })).toThrow(
			/^MILLRACE_NUM_PARTITIONS: 0 is not/,
		);
		expect(load({ config: file("log.level=loud") })).toThrow(
			/^log\.level in .*: loud is not one of/,
		);
		expect(load({ "log-retention-hours": "0" })).toThrow(
			new ConfigError("--log-retention-hours: it cannot be 0"),
		);
		expect(load({}, { MILLRACE_LOG_ROLL_JITTER_HOURS: "9223372036854775807" })).toThrow(
			/^MILLRACE_LOG_ROLL_JITTER_HOURS: 9\d+ is not between 0 and 2147483647$/,
		);
		expect(load({ config: join(directory, "missing") })).toThrow(/cannot be read: ENOENT/);
	});
});

describe("the configuration file", () => {
	test("an unknown name is refused with line and nearest name", () => {
		expect(() => parseConfigFile("\nnum.partition=1", "f")).toThrow(
			new ConfigError("f:2: there is no option num.partition; did you mean num.partitions?"),
		);
	});

	test("a topic's setting is answered with the option that is its default", () => {
		expect(() => parseConfigFile("retention.ms=1", "f")).toThrow(
			"f:1: there is no option retention.ms; the default of retention.ms is log.retention.ms or " +
				"log.retention.minutes or log.retention.hours",
		);
	});

	test("a line without = and a name set twice are refused", () => {
		expect(() => parseConfigFile("data.dir", "f")).toThrow(/^f:1: expected name=value/);
		expect(() => parseConfigFile("kafka=a:1\nkafka=a:1", "f")).toThrow(/^f:2: kafka is set twice/);
	});

	test("values keep further equals signs", () => {
		expect(parseConfigFile("data.dir=/a=b", "f").get("data.dir")).toBe("/a=b");
	});
});

describe("addresses", () => {
	test.each(["127.0.0.1:0", "localhost:65535", "[::1]:4600"])("%s is one", (text) => {
		expect(formatAddress(parseAddress(text))).toBe(text);
	});

	test.each(["", ":1", "a", "a:", "a:-1", "a:65536", "::1:4600", "a b:1", "[::1]"])(
		"%j is none",
		(text) => {
			expect(() => parseAddress(text)).toThrow(ConfigError);
		},
	);
});

test("origins are taken apart and checked", () => {
	const load = (text: string) =>
		loadConfig({ flags: { "allowed-origins": text } }).config.allowedOrigins;
	expect(load("https://a.example, http://b.example:8080/")).toEqual([
		"https://a.example",
		"http://b.example:8080",
	]);
	expect(load("*")).toEqual(["*"]);
	expect(() => load("a.example")).toThrow(/is not an origin/);
	expect(() => load("https://a.example/path")).toThrow(/is not an origin/);
});
