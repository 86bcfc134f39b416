/**
 * Every topic configuration name, once, in three classes: works; accepted at the one value that is
 * true of this broker; refused with the reason. Names, types, defaults and bounds are Kafka's
 * (4.x), but that `flush.messages` is 1 by default (Kafka: 2^63-1): an ack means flushed.
 *
 * Defaults and fixed values are in canonical form, as `parseValue` returns it.
 */
import { LIMITS } from "../limits.ts";
import type { ValueType } from "./configuration-value.ts";

/** What every accepted name has. */
interface AcceptedEntry {
	/** Kafka's name of the type, for descriptions. */
	readonly type: "BOOLEAN" | "INT" | "LONG" | "DOUBLE" | "STRING" | "LIST";
	readonly default: string;
	readonly doc: string;
}

/** The value is the caller's to choose. */
export interface WorkingEntry extends AcceptedEntry {
	readonly class: "works";
	readonly value: ValueType;
	/**
	 * Set where the value is kept and answered but nothing acts on it in this version: says what does
	 * not happen. What only permits or hints is here as well, since it stays true: configurations
	 * made for other brokers are to create their topics.
	 */
	readonly pending?: string;
}

/** Only the default is accepted, because nothing else would be true; the reason says why. */
export interface FixedEntry extends AcceptedEntry {
	readonly class: "fixed";
	readonly reason: string;
}

/** Never accepted. */
export interface RefusedEntry {
	readonly class: "refused";
	readonly reason: string;
}

export type ConfigurationEntry = WorkingEntry | FixedEntry | RefusedEntry;

const INT_MAX = 2_147_483_647n;
const LONG_MAX = 9_223_372_036_854_775_807n;
const LONG_MIN = -LONG_MAX - 1n;

const int = (minimum: bigint, maximum: bigint = INT_MAX) =>
	({ type: "INT", value: { kind: "integer", minimum, maximum } }) as const;
const long = (minimum: bigint) =>
	({ type: "LONG", value: { kind: "integer", minimum, maximum: LONG_MAX } }) as const;
const boolean = { type: "BOOLEAN", value: { kind: "boolean" } } as const;
const choice = (...choices: string[]) =>
	({ type: "STRING", value: { kind: "choice", choices } }) as const;

const list = (...choices: string[]) =>
	({ type: "LIST", value: { kind: "choices", choices } }) as const;
const RATIO = { type: "DOUBLE", value: { kind: "double", minimum: 0, maximum: 1 } } as const;
/** 1 to 9, and -1 for the codec's own default. */
const GZIP_LEVEL = {
	type: "INT",
	value: { kind: "integer", minimum: -1n, maximum: 9n, except: 0n },
} as const;
const COMPRESSIONS = ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"] as const;

/** A name that works. */
const works = (
	shape: Pick<WorkingEntry, "type" | "value">,
	defaultValue: string,
	doc: string,
	pending?: string,
): WorkingEntry => ({
	class: "works",
	...shape,
	default: defaultValue,
	doc,
	...(pending === undefined ? {} : { pending }),
});

/** A name that is accepted at one value. */
const fixed = (
	type: AcceptedEntry["type"],
	onlyValue: string,
	doc: string,
	reason: string,
): FixedEntry => ({ class: "fixed", type, default: onlyValue, doc, reason });

const refused = (reason: string): RefusedEntry => ({ class: "refused", reason });

const NO_TIERS = "there is no remote tier on this broker";
const ONE_NODE = "there is no replication traffic on one node";
const GONE = "Kafka 4.0 removed it; record batches are always stored in format v2";

// biome-ignore format: a table, one entry a name, sorted by name
const TABLE: Readonly<Record<string, ConfigurationEntry>> = {
	"cleanup.policy": works(list("compact", "delete"), "delete",
		"What becomes of old data: deleted by age and size, compacted by key, both, or kept (empty)."),
	"compression.gzip.level": works(GZIP_LEVEL, "-1",
		"Level for compression.type=gzip, 1 to 9; -1 is the codec's own default."),
	"compression.lz4.level": works(int(1n, 17n), "9", "Level for compression.type=lz4."),
	"compression.type": works(choice(...COMPRESSIONS), "producer",
		"How batches are stored; producer keeps what the producer sent."),
	"compression.zstd.level": works(int(-131_072n, 22n), "3", "Level for compression.type=zstd."),
	"delete.retention.ms": works(long(0n), "86400000",
		"How long compaction keeps a tombstone that it has met, in milliseconds."),
	"file.delete.delay.ms": works(long(0n), "60000",
		"How long a deleted segment's file stays, in milliseconds; at once when the disk is short."),
	"flush.messages": works(long(1n), "1",
		"Records after which the log is flushed. 1: always before an ack, and before readers see it."),
	"flush.ms": works(long(0n), LONG_MAX.toString(),
		"Milliseconds after which written records are flushed at the latest."),
	"follower.replication.throttled.replicas": fixed("LIST", "",
		"Replicas whose replication is throttled on the follower's side.", ONE_NODE),
	"index.interval.bytes": works(int(0n), "4096",
		"Bytes of log between two entries of the offset index; more than 16384 counts as 16384."),
	"internal.segment.bytes": refused("it exists for Kafka's own tests; use segment.bytes"),
	"leader.replication.throttled.replicas": fixed("LIST", "",
		"Replicas whose replication is throttled on the leader's side.", ONE_NODE),
	"local.retention.bytes": fixed("LONG", "-2",
		"Bytes kept locally when there is a remote tier.", NO_TIERS),
	"local.retention.ms": fixed("LONG", "-2",
		"Milliseconds kept locally when there is a remote tier.", NO_TIERS),
	"max.compaction.lag.ms": works(long(1n), LONG_MAX.toString(),
		"Milliseconds after which a record must be open to compaction."),
	"max.message.bytes": works(int(0n), "1048588",
		"Largest record batch accepted, in bytes as stored; more than " +
		`${LIMITS.batchBytesMax} counts as that.`),
	"message.downconversion.enable": refused(GONE),
	"message.format.version": refused(GONE),
	"message.timestamp.after.max.ms": works(long(0n), "3600000",
		"How far a record's timestamp may lie after the broker's clock, in milliseconds."),
	"message.timestamp.before.max.ms": works(long(0n), LONG_MAX.toString(),
		"How far a record's timestamp may lie before the broker's clock, in milliseconds."),
	"message.timestamp.difference.max.ms": refused(
		"Kafka 4.0 removed it; use message.timestamp.before.max.ms and message.timestamp.after.max.ms"),
	"message.timestamp.type": works(choice("CreateTime", "LogAppendTime"), "CreateTime",
		"Whose timestamp a record carries: the producer's or the broker's at append."),
	"min.cleanable.dirty.ratio": works(RATIO, "0.5",
		"Share of a compacted log that must be dirty before it is compacted."),
	"min.compaction.lag.ms": works(long(0n), "0",
		"Milliseconds for which a record stays out of compaction."),
	"min.insync.replicas": works(int(1n), "1",
		"Replicas that must have a record before an ack of all; above 1, all there are here, is 1."),
	"preallocate": works(boolean, "false",
		"Allocate blocks ahead of the end of a topic that is fast and does not flush before acks."),
	"remote.log.copy.disable": fixed("BOOLEAN", "false",
		"Stop copying segments to the remote tier.", NO_TIERS),
	"remote.log.delete.on.disable": fixed("BOOLEAN", "false",
		"Delete remote segments when the remote tier is switched off.", NO_TIERS),
	"remote.storage.enable": fixed("BOOLEAN", "false",
		"Keep closed segments in a remote tier.", NO_TIERS),
	"retention.bytes": works(long(LONG_MIN), "-1",
		"Bytes of a partition that are kept; -1: no limit."),
	"retention.ms": works(long(-1n), "604800000",
		"Milliseconds for which records are kept; -1: for ever."),
	"segment.bytes": works(int(1_048_576n), "1073741824",
		"Bytes after which a new segment is started."),
	"segment.index.bytes": works(int(4n), "10485760", "Bytes that are set aside for an index.",
		"an index is as large as its segment needs"),
	"segment.jitter.ms": works(long(0n), "0", "Random time that is taken off segment.ms at most."),
	"segment.ms": works(long(1n), "604800000", "Milliseconds after which a new segment is started."),
	"unclean.leader.election.enable": works(boolean, "false",
		"Allow a replica that is behind to become leader.",
		"a partition has one replica, which is never behind"),
};

/** By name, in the order of the names. */
export const CONFIGURATION: ReadonlyMap<string, ConfigurationEntry> = new Map(
	Object.entries(TABLE),
);
