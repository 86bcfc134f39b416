import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { formatAddress } from "../../src/config/address.ts";
import { ConfigError } from "../../src/config/errors.ts";
import { parseConfigFile } from "../../src/config/file.ts";
import { loadConfig, resolveConfig } from "../../src/config/load.ts";
import { ALL_OPTIONS, environmentName, flagName, OPTIONS } from "../../src/config/options.ts";
import { LOG_LEVELS } from "../../src/log-levels.ts";

let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "millrace-config-"));
});
afterEach(() => {
	rmSync(directory, { recursive: true });
});

function file(text: string): string {
	const path = join(directory, "millrace.yaml");
	writeFileSync(path, text);
	return path;
}

describe("where an option's value comes from", () => {
	test("without anything, the documented defaults", () => {
		expect(resolveConfig({}).config).toEqual({
			dataDir: "./data",
			websocket: { host: "127.0.0.1", port: 4600 },
			kafka: { host: "127.0.0.1", port: 9092 },
			allowAnonymousRemote: false,
			advertise: null,
			kafkaSecurityProtocol: "PLAINTEXT",
			websocketSecurityProtocol: "PLAINTEXT",
			quotaWindowNum: 11,
			quotaWindowSizeSeconds: 1,
			saslEnabledMechanisms: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
			connectionsMaxReauthMs: 0,
			saslOauthbearerJwksEndpointUrl: "",
			saslOauthbearerJwksEndpointRefreshMs: 3_600_000,
			saslOauthbearerExpectedAudience: [],
			saslOauthbearerExpectedIssuer: "",
			saslOauthbearerExpectedScope: [],
			saslOauthbearerClockSkewSeconds: 30,
			saslOauthbearerSubClaimName: "sub",
			saslOauthbearerScopeClaimName: "scope",
			sslKeystoreLocation: "",
			sslKeyPasswordFile: "",
			sslTruststoreLocation: "",
			sslClientAuth: "none",
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
			logFlushJournalEnable: true,
			scrubMaxBytesPerSecond: 10_485_760,
			auditLogEnable: false,
			authorizationEnable: false,
			superUsers: "",
			allowEveryoneIfNoAclFound: false,
			metricsAuthenticationEnable: false,
			allowedOrigins: [],
			websocketTokenCookie: "",
			websocketTransport: "auto",
			logLevel: "info",
			logLevels: new Map(),
			topicDefaults: new Map(),
		});
	});

	test("levels of the log's areas are a list, or a text with commas", async () => {
		const logLevels = new Map([
			["kafka", "debug"],
			["groups", "trace"],
		]);
		const config = file("log.levels: [kafka=debug, groups = trace]\n");
		expect((await loadConfig({ flags: { config } })).config).toMatchObject({ logLevels });
		const flags = { "log-levels": "kafka=debug,groups=trace," };
		expect((await loadConfig({ flags })).config).toMatchObject({ logLevels });
		const refusal = (text: string) => () => resolveConfig({ flags: { "log-levels": text } });
		expect(refusal("kafak=debug")).toThrow("kafak is not one of broker, ");
		expect(refusal("kafka=loud")).toThrow("loud is not one of silent, ");
		expect(refusal("kafka")).toThrow("kafka is not NAME=VALUE");
		expect(refusal("kafka=debug=1")).toThrow("kafka=debug=1 is not NAME=VALUE");
	});

	test("defaults of topics are taken from all three, in canonical form", async () => {
		const config = file("log.retention.hours: +048\nlog.cleanup.policy: [compact, delete]\n");
		const environment = { MILLRACE_LOG_RETENTION_HOURS: "36", MILLRACE_MESSAGE_MAX_BYTES: "9" };
		const flags = { config, "log-preallocate": "TRUE", "message-max-bytes": "10" };
		const loaded = await loadConfig({ flags, environment });
		expect([...loaded.config.topicDefaults].sort()).toEqual([
			["log.cleanup.policy", "compact,delete"],
			["log.preallocate", "true"],
			["log.retention.hours", "36"],
			["message.max.bytes", "10"],
		]);
		expect(loaded.unknownEnvironment).toEqual([]);
	});

	test("flag wins over environment wins over file", async () => {
		const config = file(
			'num.partitions: 2\nlog.level: debug\r\n# comment\n\nkafka: "[::1]:1"\nmax.connections: 5',
		);
		const environment = { MILLRACE_NUM_PARTITIONS: "3", MILLRACE_LOG_LEVEL: "warn" };
		const flags = { config, "num-partitions": "4" };
		const loaded = await loadConfig({ flags, environment });
		expect(loaded.config).toMatchObject({
			numPartitions: 4,
			logLevel: "warn",
			kafka: { host: "::1", port: 1 },
			maxConnections: 5,
		});
		const sources = ["num.partitions", "log.level", "kafka", "data.dir", "log.roll.ms"];
		expect(sources.map((name) => loaded.sources.get(name))).toEqual([
			"flag",
			"environment",
			"file",
			"default",
			"default",
		]);
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
		expect(resolveConfig({ environment }).unknownEnvironment).toEqual(["MILLRACE_SERVICE_HOST"]);
	});

	test("a bad value is refused by the name under which it was given", async () => {
		const load =
			(flags: Record<string, string>, environment = {}) =>
			() =>
				resolveConfig({ flags, environment });
		expect(load({ websocket: "4600" })).toThrow(/^--websocket: 4600 is not HOST:PORT/);
		expect(load({}, { MILLRACE_NUM_PARTITIONS: "0" })).toThrow(
			/^MILLRACE_NUM_PARTITIONS: 0 is not/,
		);
		const config = file("# quiet\nlog.level: loud\nnum.partitions: [1]\nkafka: a:70000");
		await expect(loadConfig({ flags: { config } })).rejects.toMatchObject({
			problems: [
				`${config}:4:8: kafka: 70000 is not a port from 0 to 65535`,
				`${config}:3:17: num.partitions: expected one value, a list was given`,
				`${config}:2:12: log.level: loud is not one of ${LOG_LEVELS.join(", ")}`,
			],
		});
		expect(load({ "log-retention-hours": "0" })).toThrow(
			new ConfigError("--log-retention-hours: it cannot be 0"),
		);
		expect(load({}, { MILLRACE_LOG_ROLL_JITTER_HOURS: "9223372036854775807" })).toThrow(
			/^MILLRACE_LOG_ROLL_JITTER_HOURS: 9\d+ is not between 0 and 2147483647$/,
		);
		const missing = { config: join(directory, "missing") };
		await expect(loadConfig({ flags: missing })).rejects.toThrow(/cannot be read: ENOENT/);
	});
});

/** What is wrong with a file. */
function problemsOf(text: string): readonly string[] {
	try {
		return parseConfigFile(text, "f").problems;
	} catch (error) {
		return (error as ConfigError).problems;
	}
}

describe("the configuration file", () => {
	test("all that is wrong with names is told with line, column and nearest name", async () => {
		const unknown = "\nnum.partition: 1\nretention.ms: 1\n";
		expect(problemsOf(`${unknown}kafka: a:1\nkafka: a:1\nkafka: b:1\n3: 4\n`)).toEqual([
			"f:2:1: there is no option num.partition; did you mean num.partitions?",
			"f:3:1: there is no option retention.ms; the default of retention.ms is " +
				"log.retention.ms or log.retention.minutes or log.retention.hours",
			"f:5:1: kafka is set twice",
			"f:6:1: kafka is set twice",
			"f:7:1: there is no option 3",
		]);
	});

	test("wrong names and wrong values are told together", async () => {
		const parsed = parseConfigFile("kafak: a:1\nlog.level: loud\nnum.partitions: 0", "f");
		const told = [
			"f:1:1: ",
			"did you mean kafka?",
			"f:2:12: log.level: ",
			"f:3:17: num.partitions: ",
		];
		for (const text of told) expect(() => resolveConfig({}, parsed)).toThrow(text);
	});

	test.each([
		["kafka: {host: a}", "f:1:8: kafka: expected a value or a list, given a mapping"],
		["data.dir:\nkafka: a:1", "f:1:10: data.dir: expected a value or a list, given nothing"],
		["data.dir: ~", "f:1:11: data.dir: expected a value or a list, given nothing"],
		[
			"allowed.origins: [{}]",
			"f:1:18: allowed.origins: expected a value or a list, given a list of other things",
		],
		["data.dir", "f:1:1: expected lines of name: value"],
		["- data.dir", "f:1:1: expected lines of name: value"],
		["num.partitions=3", "f:1:1: expected lines of name: value"],
	])("%j is refused", async (text, problem) => {
		expect(problemsOf(text)).toEqual([problem]);
	});

	test.each([
		["kafka: [a", /^f:1:\d+: /],
		["allowed.origins: *", /^f:1:\d+: /],
		["a: 1\n---\nb: 2", /^f:2:1: /],
		["data.dir: !secret x", /^f:1:11: /],
	])("%j is told with its place", async (text, problem) => {
		const [first] = problemsOf(text);
		expect(first).toMatch(problem);
	});

	test("values are taken as they are written, lists and numbers of 64 bits too", async () => {
		const text =
			"data.dir: /a=b # here\nlog.retention.bytes: 9223372036854775807\n" +
			'allowed.origins:\n  - https://a.example\n  - "https://b.example"\nlog.cleaner.enable: TRUE';
		const { config } = resolveConfig({}, parseConfigFile(text, "f"));
		expect(config).toMatchObject({
			dataDir: "/a=b",
			allowedOrigins: ["https://a.example", "https://b.example"],
			logCleanerEnable: true,
		});
		expect(config.topicDefaults.get("log.retention.bytes")).toBe("9223372036854775807");
	});

	test.each(["", "# nothing\n", "---\n"])("%j sets nothing", async (text) => {
		expect(parseConfigFile(text, "f")).toEqual({ entries: new Map(), problems: [] });
	});

	test("one larger than any is refused unread", async () => {
		const config = file("#".repeat(1_048_577));
		await expect(loadConfig({ flags: { config } })).rejects.toThrow(/more than 1048576 bytes/);
	});
});

describe("addresses", () => {
	const kafka = (text: string) => resolveConfig({ flags: { kafka: text } }).config.kafka;

	test.each(["127.0.0.1:0", "localhost:65535", "[::1]:4600"])("%s is one", (text) => {
		expect(formatAddress(kafka(text))).toBe(text);
	});

	test.each(["", ":1", "a", "a:", "a:-1", "a:65536", "::1:4600", "a b:1", "[::1]"])(
		"%j is none",
		(text) => {
			expect(() => kafka(text)).toThrow(ConfigError);
		},
	);
});

test("origins are taken apart and checked", () => {
	const load = (text: string) =>
		resolveConfig({ flags: { "allowed-origins": text } }).config.allowedOrigins;
	expect(load("https://a.example, http://b.example:8080/")).toEqual([
		"https://a.example",
		"http://b.example:8080",
	]);
	expect(load("*")).toEqual(["*"]);
	expect(() => load("a.example")).toThrow(/is not an origin/);
	expect(() => load("https://a.example/path")).toThrow(/is not an origin/);
});

describe("where the keys of tokens are", () => {
	const flag = (url: string) => ({ "sasl-oauthbearer-jwks-endpoint-url": url });
	const load = (url: string, more = {}) => resolveConfig({ flags: { ...flag(url), ...more } });

	test.each([
		"https://issuer.example/keys",
		"http://localhost:8080/keys",
		"http://127.0.0.1/keys",
		"http://[::1]:80/keys",
		"file:///etc/millrace/keys.json",
	])("%s is a place", (url) => {
		expect(load(url).config.saslOauthbearerJwksEndpointUrl).toBe(url);
	});

	test.each([
		"http://issuer.example/keys",
		"http://localhost.example/keys",
		"http://127.0.0.1.example/",
		"file://host/keys",
		"ftp://127.0.0.1/keys",
		"keys.json",
	])("%s is none", (url) => {
		expect(() => load(url)).toThrow(/is neither https: nor file: nor http: of this machine/);
	});

	test("has to be said where tokens are asked for", () => {
		const asked = { "sasl-enabled-mechanisms": "PLAIN,OAUTHBEARER" };
		expect(() => load("", asked)).toThrow(/needs sasl.oauthbearer.jwks.endpoint.url/);
		expect(load("https://issuer.example/", asked).config.saslEnabledMechanisms).toHaveLength(2);
	});
});

test("the least session timeout of groups is not above the longest", () => {
	const load = (least: string, most: string) => {
		const flags = { "group-min-session-timeout-ms": least, "group-max-session-timeout-ms": most };
		return resolveConfig({ flags });
	};
	expect(() => load("101", "100")).toThrow(
		new ConfigError("group.min.session.timeout.ms is above group.max.session.timeout.ms: 101, 100"),
	);
	expect(load("100", "100").config.groupMinSessionTimeoutMs).toBe(100);
});

describe("a cookie with a token", () => {
	const flags = {
		"websocket-token-cookie": "session",
		"websocket-security-protocol": "SASL_PLAINTEXT",
		"sasl-oauthbearer-jwks-endpoint-url": "https://issuer.example/",
		"allowed-origins": "https://app.example",
	};

	test("has all that it needs, or the broker does not start", () => {
		expect(resolveConfig({ flags }).config.websocketTokenCookie).toBe("session");
		for (const [flag, value, missing] of [
			["websocket-security-protocol", "PLAINTEXT", "websocket.security.protocol=SASL_SSL"],
			["sasl-oauthbearer-jwks-endpoint-url", "", "sasl.oauthbearer.jwks.endpoint.url"],
			["allowed-origins", "", "allowed.origins with the origins"],
			["allowed-origins", "*", "allowed.origins with the origins"],
		] as const) {
			expect(() => resolveConfig({ flags: { ...flags, [flag]: value } })).toThrow(missing);
		}
		expect(() => resolveConfig({ flags: { ...flags, "websocket-token-cookie": "a b" } })).toThrow(
			"no name of a cookie",
		);
	});
});

describe("listeners at addresses that others reach", () => {
	const load = (...flags: [string, string][]) =>
		resolveConfig({ flags: Object.fromEntries(flags) });

	test.each([
		["kafka", "0.0.0.0:9092"],
		["kafka", "[::]:9092"],
		["websocket", "192.0.2.1:4600"],
		["websocket", "broker.example:4600"],
	] as const)("%s %s asks who clients are, or is allowed not to", (name, where) => {
		const at: [string, string] = [name, where];
		expect(() => load(at)).toThrow(
			`${name} ${where}: others reach it, and nobody is asked who they are`,
		);
		expect(() => load(at)).toThrow("allow.anonymous.remote=true");
		const protocol = `${name}-security-protocol`;
		expect(() => load(at, [protocol, "SSL"])).toThrow(ConfigError);
		expect(() => load(at, [protocol, "SSL"], ["ssl-client-auth", "requested"])).toThrow();
		load(at, [protocol, "SASL_PLAINTEXT"]);
		const keystore: [string, string] = ["ssl-keystore-location", "keystore.pem"];
		load(at, [protocol, "SASL_SSL"], keystore);
		const truststore: [string, string] = ["ssl-truststore-location", "clients-ca.pem"];
		load(at, [protocol, "SSL"], keystore, truststore, ["ssl-client-auth", "required"]);
		load(at, ["allow-anonymous-remote", "true"]);
	});

	test.each(["kafka", "websocket"])("%s with TLS has a certificate", (name) => {
		const secure: [string, string] = [`${name}-security-protocol`, "SASL_SSL"];
		expect(() => load(secure)).toThrow(/websocket\.security\.protocol .*ssl\.keystore\.location/);
		load(["ssl-client-auth", "required"]);
	});

	test.each(["requested", "required"])(
		"certificates of clients that are %s come from CAs that are named",
		(clientAuth) => {
			const load = (more: Record<string, string> = {}) => {
				const secure = { "kafka-security-protocol": "SSL", "ssl-keystore-location": "key.pem" };
				resolveConfig({ flags: { ...secure, "ssl-client-auth": clientAuth, ...more } });
			};
			expect(load).toThrow(`ssl.client.auth=${clientAuth} needs ssl.truststore.location`);
			load({ "ssl-truststore-location": "clients-ca.pem" });
		},
	);

	test("are told of together", () => {
		const both = () => load(["kafka", "0.0.0.0:1"], ["websocket", "0.0.0.0:2"]);
		expect(both).toThrow(/websocket 0\.0\.0\.0:2.*kafka 0\.0\.0\.0:1/s);
	});

	test.each(["127.0.0.1:1", "127.5.5.5:1", "localhost:1", "[::1]:1"])("%s is none", (where) => {
		load(["kafka", where], ["websocket", where]);
	});

	test("uWebSockets.js is not asked for TLS", () => {
		const secure: [string, string] = ["websocket-security-protocol", "SSL"];
		expect(() => load(secure, ["websocket-transport", "uws"])).toThrow(/speaks no TLS/);
	});
});
