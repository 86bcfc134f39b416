/** Checking, resolving and describing topic configurations, by the table beside this file. */
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { didYouMean } from "../nearest-name.ts";
import type { TopicLogConfig } from "../storage/storage.ts";
import { CONFIGURATION, type FixedEntry, type WorkingEntry } from "./configuration-table.ts";
import { InvalidValueError, parseValue, type ValueType } from "./configuration-value.ts";
import { DEFAULT_OPTIONS, type TopicDefaults } from "./topic-defaults.ts";

/** What a topic sets itself: canonical values by name; everything else is at its default. */
export type TopicOverrides = ReadonlyMap<string, string>;

/** One configuration entry as `describe` answers it. */
export interface ConfigurationDescription {
	readonly name: string;
	readonly value: string;
	readonly type: WorkingEntry["type"];
	/** The topic itself, an option of the broker, or neither. */
	readonly source: "topic" | "broker" | "default";
	readonly readOnly: boolean;
	readonly doc: string;
	/** What does not happen yet although the value is kept, or null. */
	readonly pending: string | null;
}

/** Longer values are refused before anything looks at them. */
const VALUE_CHARACTERS_MAX = 1_024;

/**
 * Readers look for their batch from the index entry before it, on the event loop: a topic with an
 * entry only every few megabytes would hold up everybody.
 */
const INDEX_INTERVAL_BYTES_MAX = 16_384;

/**
 * A partition has one replica. As in Kafka, `min.insync.replicas` asks for no more than there
 * are: a topic whose configuration was made for a cluster takes records that ask for all.
 */
const REPLICAS_PER_PARTITION = 1;

function invalid(detail: string): MillraceError {
	return new MillraceError("INVALID_CONFIG", detail);
}

/** The entry of a name that may be set. Throws INVALID_CONFIG for unknown and refused names. */
function acceptedEntry(name: string): WorkingEntry | FixedEntry {
	const entry = CONFIGURATION.get(name);
	if (entry === undefined) {
		const option = DEFAULT_OPTIONS.get(name);
		if (option !== undefined) {
			throw invalid(`${name} is an option of the broker; a topic has ${option.setting}`);
		}
		const shown = name.length > 100 ? `${name.slice(0, 100)}...` : name;
		throw invalid(
			`there is no topic configuration ${shown}${didYouMean(name, CONFIGURATION.keys())}`,
		);
	}
	if (entry.class === "refused") throw invalid(`${name} is refused: ${entry.reason}`);
	return entry;
}

/**
 * Checks one setting and returns its value in canonical form (surrounding blanks gone, integers
 * without sign or leading zeros, booleans in lower case). Throws INVALID_CONFIG.
 */
export function checkSetting(name: string, value: string): string {
	const entry = acceptedEntry(name);
	if (value.length > VALUE_CHARACTERS_MAX) {
		throw invalid(`${name}: a value has at most ${VALUE_CHARACTERS_MAX} characters`);
	}
	const text = value.trim();
	if (entry.class === "works") return parseSetting(name, entry.value, text);
	const canonical = entry.type === "BOOLEAN" ? text.toLowerCase() : text;
	if (canonical === entry.default) return canonical;
	const only = entry.default === "" ? "empty" : entry.default;
	throw invalid(`${name} can only be ${only} here, not ${text}: ${entry.reason}`);
}

/** `parseValue`, with the setting's name in front of what is wrong. */
function parseSetting(name: string, type: ValueType, text: string): string {
	try {
		return parseValue(type, text);
	} catch (error) {
		if (error instanceof InvalidValueError) throw invalid(`${name}: ${error.message}`);
		throw error;
	}
}

/** Checks every setting of a new topic; entries come back sorted by name. Throws INVALID_CONFIG. */
export function checkOverrides(settings: Iterable<readonly [string, string]>): TopicOverrides {
	const checked = new Map<string, string>();
	for (const [name, value] of settings) checked.set(name, checkSetting(name, value));
	return sorted(checked);
}

/**
 * `overrides` with `changes` made: a string sets a value, null goes back to the default.
 * Throws INVALID_CONFIG; then nothing was changed.
 */
export function changeOverrides(
	overrides: TopicOverrides,
	changes: Iterable<readonly [string, string | null]>,
): TopicOverrides {
	const changed = new Map(overrides);
	for (const [name, value] of changes) {
		if (value === null) {
			acceptedEntry(name);
			changed.delete(name);
		} else {
			changed.set(name, checkSetting(name, value));
		}
	}
	return sorted(changed);
}

function sorted(overrides: ReadonlyMap<string, string>): TopicOverrides {
	return new Map([...overrides].sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** The value in force, in canonical form. `name` must be one that the table accepts. */
export function effectiveValue(
	overrides: TopicOverrides,
	name: string,
	defaults: TopicDefaults,
): string {
	return overrides.get(name) ?? defaults.valueOf(name) ?? acceptedEntry(name).default;
}

/** Throws INVALID_CONFIG where values in force that are valid by themselves do not go together. */
export function checkTogether(overrides: TopicOverrides, defaults: TopicDefaults): void {
	const lag = (name: string) => BigInt(effectiveValue(overrides, name, defaults));
	const [least, most] = [lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms")];
	if (least <= most) return;
	throw invalid(`min.compaction.lag.ms (${least}) is more than max.compaction.lag.ms (${most})`);
}

/** Every accepted name with the value in force, in the order of the names. */
export function describeConfiguration(
	overrides: TopicOverrides,
	defaults: TopicDefaults,
): ConfigurationDescription[] {
	const descriptions: ConfigurationDescription[] = [];
	for (const [name, entry] of CONFIGURATION) {
		if (entry.class === "refused") continue;
		const isOverride = overrides.has(name);
		descriptions.push({
			name,
			value: effectiveValue(overrides, name, defaults),
			type: entry.type,
			source: isOverride ? "topic" : defaults.isGiven(name) ? "broker" : "default",
			readOnly: entry.class === "fixed",
			doc: entry.doc,
			pending: entry.class === "works" ? (entry.pending ?? null) : null,
		});
	}
	return descriptions;
}

/** What topics that set the same share; one is about 1 KB. */
const logConfigs = new WeakMap<TopicDefaults, Map<string, Readonly<TopicLogConfig>>>();
const LOG_CONFIGS_MAX = 256;

/**
 * What the storage core needs of a topic's configuration: LONG values saturate at 2^53-1, "never".
 * `internal`: the topic is the broker's own. Topics that set the same share one, since ten thousand
 * of them would take a third of the time of a start.
 */
export function topicLogConfig(
	overrides: TopicOverrides,
	defaults: TopicDefaults,
	internal = false,
): Readonly<TopicLogConfig> {
	let shared = logConfigs.get(defaults);
	if (shared === undefined || shared.size >= LOG_CONFIGS_MAX) {
		shared = new Map();
		logConfigs.set(defaults, shared);
	}
	const key = JSON.stringify([internal, ...overrides]);
	let config = shared.get(key);
	if (config === undefined) {
		config = Object.freeze(makeLogConfig(overrides, defaults, internal));
		shared.set(key, config);
	}
	return config;
}

function makeLogConfig(
	overrides: TopicOverrides,
	defaults: TopicDefaults,
	internal: boolean,
): TopicLogConfig {
	const text = (name: string) => effectiveValue(overrides, name, defaults);
	const number = (name: string) => saturated(text(name));
	const compression = text("compression.type") as TopicLogConfig["compression"];
	const policies = text("cleanup.policy").split(",");
	// What is only compacted, or not cleaned up at all, is kept whatever its age.
	const isDeleted = policies.includes("delete");
	const kept = (name: string) => {
		const value = number(name);
		return isDeleted && value >= 0 ? value : null;
	};
	return {
		flushMessages: number("flush.messages"),
		flushMs: number("flush.ms"),
		segmentBytes: number("segment.bytes"),
		segmentMs: number("segment.ms"),
		segmentJitterMs: number("segment.jitter.ms"),
		indexIntervalBytes: Math.min(number("index.interval.bytes"), INDEX_INTERVAL_BYTES_MAX),
		maxMessageBytes: Math.min(number("max.message.bytes"), LIMITS.batchBytesMax),
		compacted: policies.includes("compact"),
		timestampType: text("message.timestamp.type") as TopicLogConfig["timestampType"],
		timestampBeforeMsMax: number("message.timestamp.before.max.ms"),
		timestampAfterMsMax: number("message.timestamp.after.max.ms"),
		preallocate: text("preallocate") === "true",
		compression,
		compressionLevel: compressionLevel(text, compression),
		retentionMs: kept("retention.ms"),
		retentionBytes: kept("retention.bytes"),
		fileDeleteDelayMs: number("file.delete.delay.ms"),
		deleteRetentionMs: number("delete.retention.ms"),
		minCleanableDirtyRatio: Number(text("min.cleanable.dirty.ratio")),
		minCompactionLagMs: number("min.compaction.lag.ms"),
		maxCompactionLagMs: number("max.compaction.lag.ms"),
		minInsyncReplicas: Math.min(number("min.insync.replicas"), REPLICAS_PER_PARTITION),
		internal,
	};
}

/** The level of the codec in force; null where it has none or is to use its own default. */
function compressionLevel(
	text: (name: string) => string,
	compression: TopicLogConfig["compression"],
): number | null {
	switch (compression) {
		case "gzip": {
			const level = Number(text("compression.gzip.level"));
			return level === -1 ? null : level;
		}
		case "lz4":
			return Number(text("compression.lz4.level"));
		case "zstd":
			return Number(text("compression.zstd.level"));
		case "producer":
		case "uncompressed":
		case "snappy":
			return null;
	}
}

function saturated(text: string): number {
	const number = BigInt(text);
	const largest = BigInt(Number.MAX_SAFE_INTEGER);
	if (number > largest) return Number.MAX_SAFE_INTEGER;
	return Number(number < -largest ? -largest : number);
}
