/** Checking, resolving and describing topic configurations, by the table beside this file. */
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { didYouMean } from "../nearest-name.ts";
import type { TopicLogConfig } from "../storage/storage.ts";
import {
	CONFIGURATION,
	type FixedEntry,
	type ValueType,
	type WorkingEntry,
} from "./configuration-table.ts";

/** What a topic sets itself: canonical values by name; everything else is at its default. */
export type TopicOverrides = ReadonlyMap<string, string>;

/** One configuration entry as `describe` answers it. */
export interface ConfigurationDescription {
	readonly name: string;
	readonly value: string;
	readonly type: WorkingEntry["type"];
	/** The value that a topic has which does not set it. */
	readonly default: string;
	readonly source: "topic" | "default";
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
	if (entry.class === "works") return parseValue(name, entry.value, text);
	const canonical = entry.type === "BOOLEAN" ? text.toLowerCase() : text;
	if (canonical === entry.default) return canonical;
	const only = entry.default === "" ? "empty" : entry.default;
	throw invalid(`${name} can only be ${only} here, not ${text}: ${entry.reason}`);
}

function parseValue(name: string, type: ValueType, text: string): string {
	switch (type.kind) {
		case "boolean": {
			const lower = text.toLowerCase();
			if (lower !== "true" && lower !== "false")
				throw invalid(`${name}: ${text} is neither true nor false`);
			return lower;
		}
		case "integer": {
			if (!/^[+-]?\d{1,19}$/.test(text)) throw invalid(`${name}: ${text} is not a whole number`);
			const number = BigInt(text.startsWith("+") ? text.slice(1) : text);
			if (number < type.minimum || number > type.maximum) {
				throw invalid(`${name}: ${text} is not between ${type.minimum} and ${type.maximum}`);
			}
			if (number === type.except) throw invalid(`${name} cannot be ${text}`);
			return number.toString();
		}
		case "double": {
			const number = text === "" ? Number.NaN : Number(text);
			if (!(number >= type.minimum && number <= type.maximum)) {
				throw invalid(`${name}: ${text} is not between ${type.minimum} and ${type.maximum}`);
			}
			return number.toString();
		}
		case "choice":
			if (!type.choices.includes(text)) {
				throw invalid(`${name}: ${text} is not one of ${type.choices.join(", ")}`);
			}
			return text;
		case "choices": {
			const list = text.replace(/^\[(.*)\]$/, "$1").trim();
			if (list === "") return "";
			const parts = list.split(",").map((part) => part.trim());
			for (const part of parts) {
				if (!type.choices.includes(part)) {
					throw invalid(`${name}: ${part} is not one of ${type.choices.join(", ")}`);
				}
			}
			return [...new Set(parts)].join(",");
		}
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
export function effectiveValue(overrides: TopicOverrides, name: string): string {
	return overrides.get(name) ?? acceptedEntry(name).default;
}

/** Every accepted name with the value in force, in the order of the names. */
export function describeConfiguration(overrides: TopicOverrides): ConfigurationDescription[] {
	const descriptions: ConfigurationDescription[] = [];
	for (const [name, entry] of CONFIGURATION) {
		if (entry.class === "refused") continue;
		descriptions.push({
			name,
			value: overrides.get(name) ?? entry.default,
			type: entry.type,
			default: entry.default,
			source: overrides.has(name) ? "topic" : "default",
			readOnly: entry.class === "fixed",
			doc: entry.doc,
			pending: entry.class === "works" ? (entry.pending ?? null) : null,
		});
	}
	return descriptions;
}

/**
 * What the storage core needs of a topic's configuration: LONG values saturate at 2^53-1, "never".
 * `internal`: the topic is the broker's own.
 */
export function topicLogConfig(overrides: TopicOverrides, internal = false): TopicLogConfig {
	const text = (name: string) => effectiveValue(overrides, name);
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
		compressionLevel: compressionLevel(overrides, compression),
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
	overrides: TopicOverrides,
	compression: TopicLogConfig["compression"],
): number | null {
	switch (compression) {
		case "gzip": {
			const level = Number(effectiveValue(overrides, "compression.gzip.level"));
			return level === -1 ? null : level;
		}
		case "lz4":
			return Number(effectiveValue(overrides, "compression.lz4.level"));
		case "zstd":
			return Number(effectiveValue(overrides, "compression.zstd.level"));
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
