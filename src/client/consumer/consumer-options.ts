import { MillraceError } from "../../protocol/error.ts";
import type { StartPosition } from "../../protocol/frames.ts";
import type { OutOfRangePolicy } from "../../protocol/operations.ts";
import type { Codec, CodecName } from "../values/codecs.ts";
import type { Gap } from "./subscription.ts";

/**
 * Where to begin: an end of the log, an offset, or the first record at or after a time (ms since
 * 1970).
 */
export type Start =
	| "earliest"
	| "latest"
	| { readonly offset: number }
	| { readonly timestamp: number | Date };

export interface TopicSelection {
	readonly topic: string;
	/** Default: all, and those that are added later. */
	readonly partitions?: readonly number[];
}

export interface ConsumerOptions<Value> {
	topics: string | TopicSelection | readonly (string | TopicSelection)[];
	/** Where to begin in each partition. Default "latest". */
	from?: Start | ((topic: string, partition: number) => Start);
	/**
	 * "end": finish at the ends that the partitions have when the consumer starts. Default: never.
	 */
	until?: "end";
	/** How values are decoded. Default "messagepack". */
	codec?: CodecName | Codec<Value>;
	/** Deliveries that may wait in memory, over all partitions, in bytes. Default 16 MiB. */
	bufferBytesMax?: number;
	/**
	 * What to do when the offset to read is not in the log (any more): "error" (default) throws
	 * OFFSET_OUT_OF_RANGE from the iterator, the others go on at that end and tell of a gap if that
	 * passes over records.
	 */
	onOutOfRange?: OutOfRangePolicy;
	/**
	 * Told when records cannot be had. Without it the iterator throws the gap's error; iterating
	 * again goes on behind the gap.
	 */
	onGap?: (gap: Gap) => void;
	/**
	 * Told when all records of a partition that were visible have been taken; again after each time.
	 */
	onCaughtUp?: (topic: string, partition: number, highWatermark: number) => void;
	/** Ends the iteration with the signal's reason. */
	signal?: AbortSignal;
}

/** The wire's form of a start. Throws INVALID_ARGUMENT. */
export function startPosition(start: Start): StartPosition {
	if (start === "earliest" || start === "latest") return start;
	const number = "offset" in start ? start.offset : Number(start.timestamp);
	if (!Number.isSafeInteger(number) || number < 0) {
		throw new MillraceError("INVALID_ARGUMENT", "offsets and times are whole and not negative");
	}
	return "offset" in start ? number : { timestamp_ms: number };
}

/** The topics asked for, one element each. Throws INVALID_ARGUMENT when there are none. */
export function topicSelections(topics: ConsumerOptions<never>["topics"]): TopicSelection[] {
	const list = Array.isArray(topics)
		? (topics as readonly (string | TopicSelection)[])
		: [topics as string | TopicSelection];
	if (list.length === 0) throw new MillraceError("INVALID_ARGUMENT", "a consumer needs topics");
	return list.map((topic) => (typeof topic === "string" ? { topic } : topic));
}
