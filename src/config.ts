/**
 * Every option of the broker, once. An option is a flag (`--num-partitions 3`), an environment
 * variable (`MILLRACE_NUM_PARTITIONS=3`) and a line of the configuration file (`num.partitions=3`);
 * flag wins over environment wins over file wins over default. Options that Kafka has carry Kafka's
 * names.
 *
 * The file is `name=value` lines with `#` comments, the form of Kafka's own server.properties:
 * people who come from there know it, dotted names need no quoting or nesting in it, and it needs
 * no library.
 */
import { readFileSync } from "node:fs";

import { ASSIGNOR_NAMES } from "./groups/consumer/assignors.ts";
import { type GroupOptions, MIGRATION_POLICIES } from "./groups/options.ts";
import { LIMITS } from "./limits.ts";
import { didYouMean } from "./nearest-name.ts";
import type { UpkeepOptions } from "./storage/storage-types.ts";
import { InvalidValueError } from "./topics/configuration-value.ts";
import {
	DEFAULT_OPTIONS,
	type DefaultOption,
	defaultDoc,
	defaultOptionsOf,
	parseDefault,
} from "./topics/topic-defaults.ts";

/** A host and a port to listen on; port 0 picks a free one. */
export interface Address {
	readonly host: string;
	readonly port: number;
}

/** `auto` takes uWebSockets.js where it has a binary for this Node, else ws. */
export const TRANSPORTS = ["auto", "uws", "ws"] as const;
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;

/** What the broker is started with. */
export interface BrokerConfig extends GroupOptions, UpkeepOptions {
	readonly dataDir: string;
	readonly websocket: Address;
	readonly kafka: Address;
	readonly advertise: Address | null;
	readonly maxConnections: number;
	readonly connectionsMaxIdleMs: number;
	readonly numPartitions: number;
	readonly autoCreateTopicsEnable: boolean;
	readonly logFlushJournalEnable: boolean;
	readonly allowedOrigins: readonly string[];
	readonly websocketTransport: (typeof TRANSPORTS)[number];
	readonly logLevel: (typeof LOG_LEVELS)[number];
	/** Defaults of topics that were given, in canonical form by the names of their options. */
	readonly topicDefaults: ReadonlyMap<string, string>;
}

/** What has an option of its own in the table below. */
type OptionKey = Exclude<keyof BrokerConfig, "topicDefaults">;

/**
 * A value that an option does not take, a file that cannot be read, an unknown name: exit code 2.
 */
export class ConfigError extends Error {
	override readonly name = "ConfigError";
}

/** One option of the broker. */
export interface Option<Value> {
	/** In the file; flag and environment variable follow from it. */
	readonly name: string;
	/** What the value looks like, for the help text. */
	readonly placeholder: string;
	/** As it would be written. */
	readonly default: string;
	readonly doc: string;
	/** Throws a ConfigError that says what is wrong with the value, without the option's name. */
	readonly parse: (text: string) => Value;
}

type Options = { readonly [Key in OptionKey]: Option<BrokerConfig[Key]> };

/** Kafka's INT ends here. */
const INT_MAX = 2_147_483_647;

/** By the name that the code uses; the defaults of topics are in a table of their own. */
export const OPTIONS: Options = {
	dataDir: {
		name: "data.dir",
		placeholder: "DIR",
		default: "./data",
		doc: "Where everything is stored.",
		parse: parseNonEmpty,
	},
	websocket: {
		name: "websocket",
		placeholder: "HOST:PORT",
		default: "127.0.0.1:4600",
		doc: "Where WebSocket and HTTP are served; port 0 picks a free one.",
		parse: parseAddress,
	},
	kafka: {
		name: "kafka",
		placeholder: "HOST:PORT",
		default: "127.0.0.1:9092",
		doc: "Where the Kafka protocol is served; port 0, also that of websocket, picks a free one.",
		parse: parseAddress,
	},
	advertise: {
		name: "advertise",
		placeholder: "HOST:PORT",
		default: "",
		doc: "What Kafka clients are told to connect to; without it, the address that they dialled.",
		parse: (text) => (text === "" ? null : parseAddress(text)),
	},
	maxConnections: {
		name: "max.connections",
		placeholder: "N",
		default: `${LIMITS.connectionsDefault}`,
		doc: "Connections of all protocols together; further ones are refused until some have ended.",
		parse: (text) => parseInteger(text, 1, LIMITS.connectionsMax),
	},
	connectionsMaxIdleMs: {
		name: "connections.max.idle.ms",
		placeholder: "MS",
		default: "600000",
		doc: "Silence after which a Kafka client's connection is closed, in milliseconds.",
		parse: (text) => parseInteger(text, 1, 2_147_483_647),
	},
	numPartitions: {
		name: "num.partitions",
		placeholder: "N",
		default: "1",
		doc: "Partitions of a topic for which nobody asks a number.",
		parse: (text) => parseInteger(text, 1, LIMITS.topicPartitionsMax),
	},
	autoCreateTopicsEnable: {
		name: "auto.create.topics.enable",
		placeholder: "true|false",
		default: "true",
		doc: "Whether the first use of a topic creates it.",
		parse: parseBoolean,
	},
	groupInitialRebalanceDelayMs: {
		name: "group.initial.rebalance.delay.ms",
		placeholder: "MS",
		default: "3000",
		doc: "How long the first join of an empty group waits for further members.",
		parse: (text) => parseInteger(text, 0, INT_MAX),
	},
	groupMinSessionTimeoutMs: {
		name: "group.min.session.timeout.ms",
		placeholder: "MS",
		default: "6000",
		doc: "The shortest session timeout that a group member may ask for.",
		parse: (text) => parseInteger(text, 0, INT_MAX),
	},
	groupMaxSessionTimeoutMs: {
		name: "group.max.session.timeout.ms",
		placeholder: "MS",
		default: "1800000",
		doc: "The longest session timeout that a group member may ask for.",
		parse: (text) => parseInteger(text, 0, INT_MAX),
	},
	groupMaxSize: {
		name: "group.max.size",
		placeholder: "N",
		default: `${INT_MAX}`,
		doc: `Members that one group may have, and never more than ${LIMITS.groupMembersMax}.`,
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerSessionTimeoutMs: {
		name: "group.consumer.session.timeout.ms",
		placeholder: "MS",
		default: "45000",
		doc: "Silence after which a member of a consumer group (KIP-848) is out.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerMinSessionTimeoutMs: {
		name: "group.consumer.min.session.timeout.ms",
		placeholder: "MS",
		default: "45000",
		doc: "The least that group.consumer.session.timeout.ms may be.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerMaxSessionTimeoutMs: {
		name: "group.consumer.max.session.timeout.ms",
		placeholder: "MS",
		default: "60000",
		doc: "The most that group.consumer.session.timeout.ms may be.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerHeartbeatIntervalMs: {
		name: "group.consumer.heartbeat.interval.ms",
		placeholder: "MS",
		default: "5000",
		doc: "How often members of consumer groups (KIP-848) are told to send heartbeats.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerMinHeartbeatIntervalMs: {
		name: "group.consumer.min.heartbeat.interval.ms",
		placeholder: "MS",
		default: "5000",
		doc: "The least that group.consumer.heartbeat.interval.ms may be.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerMaxHeartbeatIntervalMs: {
		name: "group.consumer.max.heartbeat.interval.ms",
		placeholder: "MS",
		default: "15000",
		doc: "The most that group.consumer.heartbeat.interval.ms may be.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerMaxSize: {
		name: "group.consumer.max.size",
		placeholder: "N",
		default: `${INT_MAX}`,
		doc: `Members of one consumer group (KIP-848), and never more than ${LIMITS.groupMembersMax}.`,
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	groupConsumerAssignors: {
		name: "group.consumer.assignors",
		placeholder: "NAME,...",
		default: ASSIGNOR_NAMES.join(","),
		doc: "Assignors that members of consumer groups may ask for; the first is the default.",
		parse: (text) => text.split(",").map((name) => parseChoice(name.trim(), ASSIGNOR_NAMES)),
	},
	groupConsumerMigrationPolicy: {
		name: "group.consumer.migration.policy",
		placeholder: "POLICY",
		default: "bidirectional",
		doc: `How groups with members may change their protocol: ${MIGRATION_POLICIES.join(", ")}.`,
		parse: (text) => parseChoice(text.toLowerCase(), MIGRATION_POLICIES),
	},
	offsetMetadataMaxBytes: {
		name: "offset.metadata.max.bytes",
		placeholder: "BYTES",
		default: "4096",
		doc: "Metadata that may be committed with an offset.",
		parse: (text) => parseInteger(text, 0, 32_767),
	},
	offsetsRetentionMinutes: {
		name: "offsets.retention.minutes",
		placeholder: "MINUTES",
		default: "10080",
		doc: "How long offsets of a group without members are kept.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	offsetsRetentionCheckIntervalMs: {
		name: "offsets.retention.check.interval.ms",
		placeholder: "MS",
		default: "600000",
		doc: "How often offsets and groups are looked through for what has expired.",
		parse: (text) => parseInteger(text, 1, INT_MAX),
	},
	offsetsTopicNumPartitions: {
		name: "offsets.topic.num.partitions",
		placeholder: "N",
		default: "50",
		doc: "Partitions of the topic that keeps groups and offsets, when it is first used.",
		parse: (text) => parseInteger(text, 1, LIMITS.topicPartitionsMax),
	},
	logRetentionCheckIntervalMs: {
		name: "log.retention.check.interval.ms",
		placeholder: "MS",
		default: "300000",
		doc: "How often segments are looked through for what their topic no longer keeps.",
		parse: (text) => parseInteger(text, 1, Number.MAX_SAFE_INTEGER),
	},
	logCleanerEnable: {
		name: "log.cleaner.enable",
		placeholder: "true|false",
		default: "true",
		doc: "Whether topics with cleanup.policy=compact are compacted.",
		parse: parseBoolean,
	},
	logCleanerBackoffMs: {
		name: "log.cleaner.backoff.ms",
		placeholder: "MS",
		default: "15000",
		doc: "Pause between two looks for a log to compact, when there was none.",
		parse: (text) => parseInteger(text, 0, Number.MAX_SAFE_INTEGER),
	},
	logCleanerDedupeBufferSize: {
		name: "log.cleaner.dedupe.buffer.size",
		placeholder: "BYTES",
		default: "67108864",
		doc: "Memory for the keys of a compaction; a log with more keys takes several passes.",
		parse: (text) => parseInteger(text, 1_048_576, Number.MAX_SAFE_INTEGER),
	},
	logCleanerIoMaxBytesPerSecond: {
		name: "log.cleaner.io.max.bytes.per.second",
		placeholder: "BYTES",
		default: "67108864",
		doc: "Bytes that compaction reads and writes a second at most.",
		parse: (text) => parseInteger(text, 1, Number.MAX_SAFE_INTEGER),
	},
	logFlushJournalEnable: {
		name: "log.flush.journal.enable",
		placeholder: "true|false",
		default: "false",
		doc: "Whether a journal flushes many partitions with one sync, where many wait for one.",
		parse: parseBoolean,
	},
	scrubMaxBytesPerSecond: {
		name: "scrub.max.bytes.per.second",
		placeholder: "BYTES",
		default: "10485760",
		doc: "Bytes of closed segments that are read a second to find damage; 0: none.",
		parse: (text) => parseInteger(text, 0, Number.MAX_SAFE_INTEGER),
	},
	allowedOrigins: {
		name: "allowed.origins",
		placeholder: "ORIGIN,...",
		default: "",
		doc: "Web origins whose pages may connect, beside loopback and our own; * allows all.",
		parse: parseOrigins,
	},
	websocketTransport: {
		name: "websocket.transport",
		placeholder: TRANSPORTS.join("|"),
		default: "auto",
		doc: "The WebSocket library; auto takes uWebSockets.js where it has a binary for this Node.",
		parse: (text) => parseChoice(text, TRANSPORTS),
	},
	logLevel: {
		name: "log.level",
		placeholder: LOG_LEVELS.join("|"),
		default: "info",
		doc: "The least important kind of line that is logged.",
		parse: (text) => parseChoice(text, LOG_LEVELS),
	},
};

/** The defaults of topics, generated from the table of their configuration. */
export const TOPIC_DEFAULT_OPTIONS: readonly Option<string>[] = [...DEFAULT_OPTIONS.values()]
	.filter(({ isFixed }) => !isFixed)
	.map((option) => ({
		name: option.name,
		placeholder: placeholderOf(option),
		default: option.default ?? "",
		doc: defaultDoc(option),
		parse: (text) => parseTopicDefault(option, text),
	}));

/** Every option there is. */
export const ALL_OPTIONS: readonly Option<unknown>[] = [
	...Object.values(OPTIONS),
	...TOPIC_DEFAULT_OPTIONS,
];

/** `num.partitions` -> `num-partitions`, to stand behind `--`. */
export const flagName = (option: { readonly name: string }) => option.name.replaceAll(".", "-");

/** `num.partitions` -> `MILLRACE_NUM_PARTITIONS`. */
export const environmentName = (option: { readonly name: string }) =>
	`MILLRACE_${option.name.toUpperCase().replaceAll(".", "_")}`;

/** Throws ConfigError for a name that no option has. */
export function checkOptionNames(given: readonly string[]): void {
	const names = ALL_OPTIONS.map(({ name }) => name);
	for (const name of given) {
		if (names.includes(name)) continue;
		throw new ConfigError(`there is no option ${name}${suggestion(name, names)}`);
	}
}

/** What somebody may have meant: a topic's setting is called otherwise as an option. */
function suggestion(name: string, names: readonly string[]): string {
	const options = defaultOptionsOf(name);
	if (options.length > 0) return `; the default of ${name} is ${options.join(" or ")}`;
	return didYouMean(name, names);
}

/** Environment variables that are Millrace's without being options of the broker. */
const OTHER_ENVIRONMENT = new Set(["MILLRACE_TOKEN", "MILLRACE_URL", "MILLRACE_CONFIG"]);

export interface ConfigSources {
	/** By flag name, without `--`; `config` names the file. */
	readonly flags?: Readonly<Record<string, string | undefined>>;
	readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface LoadedConfig {
	readonly config: BrokerConfig;
	/**
	 * MILLRACE_ variables that no option has. They are worth a warning and no refusal: Kubernetes
	 * puts variables such as MILLRACE_SERVICE_HOST beside a service that is called millrace.
	 */
	readonly unknownEnvironment: readonly string[];
}

/** Puts the configuration together. Throws ConfigError. */
export function loadConfig({ flags = {}, environment = {} }: ConfigSources): LoadedConfig {
	const file = flags.config ?? environment.MILLRACE_CONFIG;
	const fromFile = file === undefined ? new Map<string, string>() : readConfigFile(file);
	const given = (option: Option<unknown>): Given | undefined => {
		const flag = flags[flagName(option)];
		if (flag !== undefined) return { source: `--${flagName(option)}`, text: flag };
		const variable = environment[environmentName(option)];
		if (variable !== undefined) return { source: environmentName(option), text: variable };
		const line = fromFile.get(option.name);
		return line === undefined ? undefined : { source: `${option.name} in ${file}`, text: line };
	};
	const values: Partial<Record<OptionKey, unknown>> = {};
	for (const [key, option] of Object.entries(OPTIONS) as [OptionKey, Option<unknown>][]) {
		const { source, text } = given(option) ?? { source: option.name, text: option.default };
		values[key] = parseFrom(source, option, text);
	}
	const topicDefaults = new Map<string, string>();
	for (const option of TOPIC_DEFAULT_OPTIONS) {
		const found = given(option);
		if (found === undefined) continue;
		topicDefaults.set(option.name, parseFrom(found.source, option, found.text));
	}
	const known = new Set(ALL_OPTIONS.map(environmentName));
	const unknownEnvironment = Object.keys(environment).filter(
		(name) => name.startsWith("MILLRACE_") && !known.has(name) && !OTHER_ENVIRONMENT.has(name),
	);
	// The first loop has filled in every key of OPTIONS, whose type has exactly those of BrokerConfig
	// but for the defaults of topics.
	const config = { ...values, topicDefaults } as BrokerConfig;
	checkRelations(config);
	const isKafkaGiven = given(OPTIONS.kafka) !== undefined;
	return { config: isKafkaGiven ? config : besideFreePort(config), unknownEnvironment };
}

/** Throws ConfigError where options that are valid by themselves do not go together. */
function checkRelations(config: BrokerConfig): void {
	const within = (
		key: keyof BrokerConfig & `group${string}`,
		least: keyof BrokerConfig & `group${string}`,
		most: keyof BrokerConfig & `group${string}`,
	) => {
		if (config[key] >= config[least] && config[key] <= config[most]) return;
		throw new ConfigError(
			`${OPTIONS[key].name} is not within ${OPTIONS[least].name} to ${OPTIONS[most].name}: ` +
				`${config[key]}, ${config[least]} to ${config[most]}`,
		);
	};
	within(
		"groupConsumerSessionTimeoutMs",
		"groupConsumerMinSessionTimeoutMs",
		"groupConsumerMaxSessionTimeoutMs",
	);
	within(
		"groupConsumerHeartbeatIntervalMs",
		"groupConsumerMinHeartbeatIntervalMs",
		"groupConsumerMaxHeartbeatIntervalMs",
	);
	if (config.groupConsumerHeartbeatIntervalMs >= config.groupConsumerSessionTimeoutMs) {
		throw new ConfigError(
			"group.consumer.heartbeat.interval.ms is not below group.consumer.session.timeout.ms",
		);
	}
}

/**
 * Who has a free port picked for WebSocket wants to stand beside other brokers: then the Kafka port
 * that nobody chose is a free one, too.
 */
function besideFreePort(config: BrokerConfig): BrokerConfig {
	if (config.websocket.port !== 0) return config;
	return { ...config, kafka: { ...config.kafka, port: 0 } };
}

/** A value as it was given to the broker, and by what name. */
interface Given {
	readonly source: string;
	readonly text: string;
}

function parseFrom<Value>(source: string, option: Option<Value>, text: string): Value {
	try {
		return option.parse(text.trim());
	} catch (error) {
		if (error instanceof ConfigError)
			throw new ConfigError(`${source}: ${error.message}`, { cause: error });
		throw error;
	}
}

function readConfigFile(path: string): Map<string, string> {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new ConfigError(`the configuration file cannot be read: ${reason}`, { cause });
	}
	return parseConfigFile(text, path);
}

/**
 * The lines of a configuration file by option name. Throws ConfigError for a line that is no
 * `name=value`, for a name that no option has and for one that stands there twice; `path` is for
 * the message.
 */
export function parseConfigFile(text: string, path: string): Map<string, string> {
	const names = ALL_OPTIONS.map(({ name }) => name);
	const lines = new Map<string, string>();
	for (const [index, line] of text
		.replace(/^\uFEFF/, "")
		.split(/\r?\n/)
		.entries()) {
		const content = line.trim();
		if (content === "" || content.startsWith("#")) continue;
		const place = `${path}:${index + 1}`;
		const equals = content.indexOf("=");
		if (equals <= 0) throw new ConfigError(`${place}: expected name=value`);
		const name = content.slice(0, equals).trim();
		if (!names.includes(name)) {
			throw new ConfigError(`${place}: there is no option ${name}${suggestion(name, names)}`);
		}
		if (lines.has(name)) throw new ConfigError(`${place}: ${name} is set twice`);
		lines.set(name, content.slice(equals + 1).trim());
	}
	return lines;
}

/** `HOST:PORT`, IPv6 hosts in brackets. Throws ConfigError. */
export function parseAddress(text: string): Address {
	const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
	const host = match?.[1] ?? match?.[2];
	if (host === undefined) {
		throw new ConfigError(
			`${text || "nothing"} is not HOST:PORT, such as 127.0.0.1:4600 or [::1]:4600`,
		);
	}
	return { host, port: parseInteger(match?.[3] ?? "", 0, 65_535) };
}

/** The inverse of `parseAddress`. */
export function formatAddress({ host, port }: Address): string {
	return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A whole number within bounds. Throws ConfigError. */
export function parseInteger(text: string, minimum: number, maximum: number): number {
	const number = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
	if (!(number >= minimum && number <= maximum)) {
		throw new ConfigError(
			`${text || "nothing"} is not a whole number from ${minimum} to ${maximum}`,
		);
	}
	return number;
}

function parseBoolean(text: string): boolean {
	const lower = text.toLowerCase();
	if (lower !== "true" && lower !== "false") {
		throw new ConfigError(`${text || "nothing"} is neither true nor false`);
	}
	return lower === "true";
}

function parseChoice<Choice extends string>(text: string, choices: readonly Choice[]): Choice {
	const choice = choices.find((candidate) => candidate === text);
	if (choice === undefined) {
		throw new ConfigError(`${text || "nothing"} is not one of ${choices.join(", ")}`);
	}
	return choice;
}

function parseTopicDefault(option: DefaultOption, text: string): string {
	try {
		return parseDefault(option, text);
	} catch (cause) {
		if (cause instanceof InvalidValueError) throw new ConfigError(cause.message, { cause });
		throw cause;
	}
}

function placeholderOf({ name, value }: DefaultOption): string {
	switch (value.kind) {
		case "boolean":
			return "true|false";
		case "choice":
			return value.choices.join("|");
		case "choices":
			return `${value.choices.join("|")},...`;
		case "double":
			return "RATIO";
		case "integer":
			return /\.(ms|minutes|hours|bytes|level)$/.exec(name)?.[1]?.toUpperCase() ?? "N";
	}
}

function parseNonEmpty(text: string): string {
	if (text === "") throw new ConfigError("it must not be empty");
	return text;
}

function parseOrigins(text: string): string[] {
	const origins = text
		.split(",")
		.map((part) => part.trim())
		.filter((part) => part !== "");
	return origins.map((origin) => {
		if (origin === "*") return origin;
		const parsed = URL.canParse(origin) ? new URL(origin) : undefined;
		if (parsed === undefined || parsed.origin === "null" || parsed.pathname !== "/") {
			throw new ConfigError(`${origin} is not an origin such as https://example.com`);
		}
		return parsed.origin;
	});
}
