/**
 * Layouts of the flat arrays of numbers that cross between the event loop and the core: one reused
 * array costs no objects a frame. `npm run generate` writes the same constants for the core, and
 * reads the lines below as they stand: a one-line comment, then `export const NAME = digits;`.
 */

/** Numbers that describe one entry of a produce frame. */
export const PLAN_STRIDE = 16;
/** The topic's alias, or -1 when it is named. */
export const PLAN_TOPIC_ALIAS = 0;
/** Where in the frame the topic's name begins (UTF-8). */
export const PLAN_TOPIC_START = 1;
/** Bytes of the topic's name. */
export const PLAN_TOPIC_BYTES = 2;
/** The partition asked for; -1: by key. */
export const PLAN_PARTITION = 3;
/** Sequence number of the first record, or -1. */
export const PLAN_BASE_SEQUENCE = 4;
/** How the body is to be taken: 0 bytes, 1 MessagePack, 2 batch. */
export const PLAN_FORMAT = 5;
/** Where in the frame the body begins. */
export const PLAN_BODY_START = 6;
/** Bytes of the body. */
export const PLAN_BODY_BYTES = 7;
/** Records of the body; 0 for a batch. */
export const PLAN_RECORD_COUNT = 8;
/** The topic's handle, set by the event loop. */
export const PLAN_TOPIC_HANDLE = 9;
/** Error code: set by the event loop to have the entry left alone, else by the core. */
export const PLAN_CODE = 10;
/** The partition that the entry went to; -1 when it went to several. */
export const PLAN_RESULT_PARTITION = 11;
/** Offset of the entry's first record, or -1. */
export const PLAN_BASE_OFFSET = 12;
/** When it was appended, in milliseconds since the Unix epoch, or -1. */
export const PLAN_APPEND_TIME_MS = 13;
/** Number of rows about this entry among the spreads; 0 when it went to one partition. */
export const PLAN_SPREAD = 14;
/** Number of the codec that the broker is asked to compress records with; 0: none. */
export const PLAN_CODEC = 15;

/** Numbers in one row of the spreads: what became of one partition's part of an entry. */
export const SPREAD_STRIDE = 5;
/** The entry that the row is about. */
export const SPREAD_ENTRY = 0;
/** Error code of the part. */
export const SPREAD_CODE = 1;
/** The partition. */
export const SPREAD_PARTITION = 2;
/** Offset of the part's first record, or -1. */
export const SPREAD_BASE_OFFSET = 3;
/** Records of the part. */
export const SPREAD_RECORD_COUNT = 4;

/** Numbers that an append returns ahead of the spreads. */
export const FRAME_STRIDE = 3;
/** The token to wait for, or 0. */
export const FRAME_TOKEN = 0;
/** The durability that the frame reaches: 0 none, 1 written, 2 flushed. */
export const FRAME_REACHED = 1;
/** 1 when another thread appends the rest: the plan is filled in once the token is done. */
export const FRAME_IS_ELSEWHERE = 2;

/** Numbers that describe the outcome of a read. */
export const READ_STRIDE = 11;
/** One of the READ_STATUS values. */
export const READ_STATUS = 0;
/** Where to read on. */
export const READ_NEXT_OFFSET = 1;
/** Records delivered. */
export const READ_RECORDS = 2;
/** Bytes delivered, as credit counts them. */
export const READ_BYTES = 3;
/** Offset behind the last visible record. */
export const READ_HIGH_WATERMARK = 4;
/** The token to wait for, where the status says loading. */
export const READ_TOKEN = 5;
/** First offset that can be read, where the status says out of range. */
export const READ_LOG_START = 6;
/** Bytes of the whole frame. */
export const READ_FRAME_BYTES = 7;
/** The read window that holds the batches. */
export const READ_WINDOW = 8;
/** Where in the window they begin. */
export const READ_VIEW_START = 9;
/** Their bytes. */
export const READ_VIEW_BYTES = 10;

/** Status: a frame or a view is there. */
export const READ_STATUS_DATA = 0;
/** Status: nothing at or behind the offset is visible yet. */
export const READ_STATUS_AT_END = 1;
/** Status: another thread brings it in; read again when the token is done. */
export const READ_STATUS_LOADING = 2;
/** Status: not an offset of this log. */
export const READ_STATUS_OUT_OF_RANGE = 3;
/** Status: a damaged range; read on behind it. */
export const READ_STATUS_GAP = 4;
/** Status: the frame is larger than the buffer and waits to be taken. */
export const READ_STATUS_LARGE = 5;

/** Numbers of one event. */
export const EVENT_STRIDE = 3;
/** Kind of an event: token, code. */
export const EVENT_TOKEN = 1;
/** Kind of an event: topic handle, partition. */
export const EVENT_VISIBLE = 2;
/** Kind of an event: topic handle, 0; files of the topic are gone: its windows are given up. */
export const EVENT_UNMAP = 3;

/** Bounds of a histogram of latencies, each twice the one before. */
export const LATENCY_BUCKETS = 20;
/** The first of them in microseconds. */
export const LATENCY_BUCKET_FIRST_US = 64;

/** Numbers about syncs of files. */
export const SYNC_STRIDE = 22;
/** How long all of them took together, in nanoseconds. */
export const SYNC_NANOSECONDS = 0;
/** From here on: how many were within each bound and not the one before; last, within none. */
export const SYNC_COUNTS = 1;

/** Numbers about some partitions of a topic. */
export const TOPIC_STRIDE = 5;
/** Partitions of the topic. */
export const TOPIC_PARTITIONS = 0;
/** Bytes of the segments. */
export const TOPIC_BYTES = 1;
/** Segments. */
export const TOPIC_SEGMENTS = 2;
/** Damaged ranges that readers are led past. */
export const TOPIC_DAMAGED_RANGES = 3;
/** Partitions that take no more records until the broker starts again. */
export const TOPIC_FAILED_PARTITIONS = 4;
