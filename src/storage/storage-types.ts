/** What the storage tells and is told: the plain data of its interface. */
import type { NativeSpaceWatermarks, NativeStoreStatistics } from "../native-binding.ts";
import type { TopicLogConfig } from "./topic-log-config.ts";

/** What the store and this event loop hold and have met: see `NativeStoreStatistics`. */
export type StoreStatistics = Readonly<NativeStoreStatistics>;

/** What is kept free of a file system, in bytes: see `NativeSpaceWatermarks`. */
export type SpaceWatermarks = Readonly<NativeSpaceWatermarks>;

/** A topic of the core's registry: a small number, the same in every thread. */
export type TopicHandle = number & { readonly topicHandle: unique symbol };

export interface StorageOptions {
	/** The data directory; created when missing, locked while this process has it open. */
	readonly dataDir: string;
	/** Keep everything in memory instead; gone when it is closed. */
	readonly memory?: boolean;
	/**
	 * With `memory`: threads that open the same name share one store. Absent: a store of its own.
	 */
	readonly memoryName?: string;
	/** With `memory`: bytes after which the disk counts as full. Absent: no bound. */
	readonly memoryBytesMax?: number;
	/**
	 * Whether this opener decides what topics there are. Of these a store has one at a time, and any
	 * number of others beside it.
	 */
	readonly owner?: boolean;
	/** Threads that flush. */
	readonly flushThreadsMax?: number;
	/** Descriptors to keep open. */
	readonly descriptorsMax?: number;
	/** Whether many logs are flushed together by a journal where many wait. Default: no. */
	readonly flushJournal?: boolean;
	/**
	 * Address space of the read windows that this event loop holds, in bytes: a process with several
	 * gives each its part. Default `LIMITS.readWindowsBytesMax`.
	 */
	readonly readWindowsBytesMax?: number;
}

/** A topic to open. */
export interface TopicSpec {
	readonly name: string;
	readonly topicId: string;
	readonly partitions: number;
	readonly config: TopicLogConfig;
	/** The catalogue knows it already: its directories must be there. */
	readonly existing: boolean;
}

/** What a step of checking a partition found. */
export interface VerifyStep {
	/** Where the next step goes on; null: everything was checked. */
	readonly nextOffset: number | null;
	/** Records in whole batches. */
	readonly recordCount: number;
	/** Bytes of whole batches. */
	readonly bytes: number;
	/** What is wrong and where, for people. */
	readonly findings: readonly string[];
}

/** What recovery did to one partition or directory. */
export interface RecoveryEntry {
	readonly subject: string;
	/** What was found and done, for people. */
	readonly detail: string;
}

/** How a store keeps itself in order. */
export interface UpkeepOptions {
	readonly logRetentionCheckIntervalMs: number;
	readonly logCleanerEnable: boolean;
	readonly logCleanerBackoffMs: number;
	/** Memory of the keys of one compaction, in bytes. */
	readonly logCleanerDedupeBufferSize: number;
	/** Bytes that compaction reads and writes a second at most. */
	readonly logCleanerIoMaxBytesPerSecond: number;
	/** Bytes that are read a second to find damage; 0: none. */
	readonly scrubMaxBytesPerSecond: number;
}

/** Something that the store did by itself, or could not do. */
export interface UpkeepEntry {
	/** Partition or path. */
	readonly subject: string;
	/** What was done, for people. */
	readonly detail: string;
	/** Somebody should look at it. */
	readonly isWarning: boolean;
}

export interface OpeningProgress {
	/** Partitions that are open. */
	readonly opened: number;
	/** Those and the ones that are still being opened. */
	readonly asked: number;
}

export interface PartitionOffsets {
	/** First offset that can be read. */
	readonly logStart: number;
	/** Offset behind the last record that consumers see. */
	readonly highWatermark: number;
	/** Offset behind the last record. */
	readonly logEnd: number;
	/** Offset behind the last record that is known to be durable. */
	readonly flushed: number;
	readonly leaderEpoch: number;
}

/** A record found by its time. */
export interface TimedOffset {
	readonly offset: number;
	readonly timestampMs: number;
	/** The epoch under which it was appended. */
	readonly leaderEpoch: number;
}

/** A producer as it is known to one partition. */
export interface ActiveProducer {
	readonly producerId: number;
	readonly epoch: number;
	/** Sequence number of its last record. */
	readonly lastSequence: number;
	/** When it last wrote, in milliseconds since the Unix epoch. */
	readonly lastAppendMs: number;
}

/** The envelope of a produce frame. */
export interface ProduceEnvelope {
	id: number;
	/** The durability asked for; -1: the topic's own. */
	ack: number;
	entryCount: number;
}

export type ReadStatus =
	| "data"
	| "at_end"
	| "loading"
	| "out_of_range"
	| "gap"
	| "deleted"
	| "failed";

/** The outcome of a read: one reused object, to be looked at before the next call. */
export interface ReadResult {
	status: ReadStatus;
	/**
	 * Records: a view of a scratch buffer, good until the next read. Batches: a lent view of the
	 * mapping.
	 */
	data: Uint8Array | null;
	/** Where to read on. */
	nextOffset: number;
	records: number;
	/** Bytes as credit counts them. */
	bytes: number;
	highWatermark: number;
	/** "loading": read again once `onToken` fired. */
	token: number;
	/** "gap": the offsets from here to `gapTo` are damaged. */
	gapFrom: number;
	gapTo: number;
	/** "out_of_range": the first offset that there is. */
	logStart: number;
	/** "deleted", "failed", "gap": the error's number. */
	code: number;
}
