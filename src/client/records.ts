/** A header of a record; names may repeat. */
export type Header = readonly [name: string, value: Uint8Array | null];

/** Headers of a record to send; strings go as their UTF-8. */
export type HeadersToSend =
	| Readonly<Record<string, string | Uint8Array | null>>
	| readonly (readonly [name: string, value: string | Uint8Array | null])[];

/** A record to send. It is encoded at once: changing it afterwards has no effect. */
export interface RecordToSend<Value = unknown> {
	readonly topic: string;
	/** null is a tombstone: on a compacted topic it deletes the key. */
	readonly value: Value | null;
	/** Decides the partition, as in Kafka's clients; strings go as their UTF-8. */
	readonly key?: string | Uint8Array | null | undefined;
	/** Overrides the choice by key. */
	readonly partition?: number | undefined;
	/** Milliseconds since 1970, or a Date; default: the broker's clock at the append. */
	readonly timestamp?: number | Date | undefined;
	readonly headers?: HeadersToSend | undefined;
}

/** How durable a stored record is: in the page cache, or on disk. */
export type Durability = "written" | "flushed";

/** Where a record was stored. */
export interface Ack {
	readonly partition: number;
	/** -1 where a repeated record was stored so long ago that the broker does not know any more. */
	readonly offset: number;
	/** What the record has reached by now: at least what was asked for. */
	readonly durability: Durability;
}
