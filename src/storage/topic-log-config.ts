/** The part of a topic's configuration that its logs act on, and its form for the core. */
import type { NativeTopicConfig } from "../native-binding.ts";

/** Numbers; LONG values saturate at 2^53-1, which means never. Names are Kafka's. */
export interface TopicLogConfig {
	flushMessages: number;
	flushMs: number;
	segmentBytes: number;
	segmentMs: number;
	segmentJitterMs: number;
	indexIntervalBytes: number;
	maxMessageBytes: number;
	/** `cleanup.policy` holds `compact`. */
	compacted: boolean;
	timestampType: "CreateTime" | "LogAppendTime";
	timestampBeforeMsMax: number;
	timestampAfterMsMax: number;
	/** Blocks are allocated ahead, and stored into through memory where nothing waits for a flush. */
	preallocate: boolean;
	compression: "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd";
	/** Level for the codec; null: its default. */
	compressionLevel: number | null;
	/** null: for ever, also because `cleanup.policy` does not hold `delete`. */
	retentionMs: number | null;
	/** null: no bound, also because `cleanup.policy` does not hold `delete`. */
	retentionBytes: number | null;
	fileDeleteDelayMs: number;
	deleteRetentionMs: number;
	minCleanableDirtyRatio: number;
	minCompactionLagMs: number;
	maxCompactionLagMs: number;
	minInsyncReplicas: number;
	/** A topic of the broker's own. */
	internal: boolean;
}

const CODEC_NUMBERS = {
	producer: -1,
	uncompressed: 0,
	gzip: 1,
	snappy: 2,
	lz4: 3,
	zstd: 4,
} as const satisfies Record<TopicLogConfig["compression"], number>;

/** The configuration as the core takes it. */
export function nativeConfig(config: TopicLogConfig): NativeTopicConfig {
	const { compressionLevel, retentionMs, retentionBytes } = config;
	return {
		flushMessages: config.flushMessages,
		flushMs: config.flushMs,
		segmentBytes: config.segmentBytes,
		segmentMs: config.segmentMs,
		segmentJitterMs: config.segmentJitterMs,
		indexIntervalBytes: config.indexIntervalBytes,
		messageBytesMax: config.maxMessageBytes,
		isCompacted: config.compacted,
		...(retentionMs === null ? {} : { retentionMs }),
		...(retentionBytes === null ? {} : { retentionBytes }),
		fileDeleteDelayMs: config.fileDeleteDelayMs,
		deleteRetentionMs: config.deleteRetentionMs,
		dirtyRatioMin: config.minCleanableDirtyRatio,
		compactionLagMsMin: config.minCompactionLagMs,
		compactionLagMsMax: config.maxCompactionLagMs,
		isInternal: config.internal,
		isLogAppendTime: config.timestampType === "LogAppendTime",
		timestampBeforeMsMax: config.timestampBeforeMsMax,
		timestampAfterMsMax: config.timestampAfterMsMax,
		codec: CODEC_NUMBERS[config.compression],
		...(compressionLevel === null ? {} : { compressionLevel }),
		minInsyncReplicas: config.minInsyncReplicas,
		writer: config.preallocate ? "automatic" : "pwrite",
	};
}
