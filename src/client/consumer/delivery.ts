import { MillraceError } from "../../protocol/error.ts";
import type { Header } from "../records.ts";
import { ByteReader } from "../values/byte-reader.ts";
import type { ValueCodec } from "../values/codecs.ts";
import { type BytesJson, bytesJson, type RecordJson } from "./record-json.ts";

const TEXT = new TextDecoder();

/**
 * A record as it was delivered. Key, value and headers are decoded when they are asked for; binary
 * ones are views of the delivery, which stays in memory as long as one of them does: copy what you
 * keep for long.
 */
export class ConsumedRecord<Value = unknown> {
	// Declared, not defined: a defined field is written twice, and these are made by the million.
	declare readonly offset: number;
	/** Milliseconds since 1970. */
	declare readonly timestamp: number;
	declare private readonly batch: RecordBatch<Value>;
	declare private readonly keyStart: number;
	declare private readonly keyEnd: number;
	declare private readonly valueStart: number;
	declare private readonly valueEnd: number;
	declare private readonly headersStart: number;
	declare private decoded: Value | null | undefined;

	/** @internal Starts of -1 stand for nil, and for no headers. */
	constructor(
		batch: RecordBatch<Value>,
		offset: number,
		timestamp: number,
		keyStart: number,
		keyEnd: number,
		valueStart: number,
		valueEnd: number,
		headersStart: number,
	) {
		this.batch = batch;
		this.offset = offset;
		this.timestamp = timestamp;
		this.keyStart = keyStart;
		this.keyEnd = keyEnd;
		this.valueStart = valueStart;
		this.valueEnd = valueEnd;
		this.headersStart = headersStart;
		this.decoded = undefined;
	}

	get topic(): string {
		return this.batch.topic;
	}

	get partition(): number {
		return this.batch.partition;
	}

	/**
	 * The value; null for a tombstone. Throws INVALID_RECORD when the stored bytes are not what the
	 * consumer's codec writes: `valueBytes` has them.
	 */
	get value(): Value | null {
		if (this.decoded === undefined) this.decoded = this.decode();
		return this.decoded;
	}

	/** The value as it is stored; null for a tombstone. */
	get valueBytes(): Uint8Array | null {
		if (this.valueStart < 0) return null;
		return this.batch.frame.subarray(this.valueStart, this.valueEnd);
	}

	get key(): Uint8Array | null {
		return this.keyStart < 0 ? null : this.batch.frame.subarray(this.keyStart, this.keyEnd);
	}

	/** The key read as UTF-8. */
	get keyText(): string | null {
		const { key } = this;
		return key === null ? null : TEXT.decode(key);
	}

	get headers(): Header[] {
		const headers: Header[] = [];
		if (this.headersStart < 0) return headers;
		const reader = new ByteReader(this.batch.frame, this.headersStart);
		const count = reader.arrayHeader();
		for (let index = 0; index < count; index++) {
			const fields = reader.arrayHeader();
			const name = reader.string();
			headers.push([name, reader.binary()]);
			for (let field = 2; field < fields; field++) reader.skip();
		}
		return headers;
	}

	/**
	 * What `JSON.stringify` writes, for logs and debugging: bytes are text where they are UTF-8, but
	 * for those within a value. Throws as `value` does.
	 */
	toJSON(): RecordJson<Value> {
		const { topic, partition, offset, timestamp, key, value, headers } = this;
		return {
			topic,
			partition,
			offset,
			timestamp,
			key: bytesJson(key),
			value: value instanceof Uint8Array ? bytesJson(value) : value,
			headers: headers.map(([name, bytes]): [string, BytesJson] => [name, bytesJson(bytes)]),
		};
	}

	private decode(): Value | null {
		if (this.valueStart < 0) return null;
		try {
			return this.batch.codec.read(this.batch.frame, this.valueStart, this.valueEnd);
		} catch (cause) {
			throw this.undecodable(cause);
		}
	}

	private undecodable(cause: unknown): MillraceError {
		const { topic, partition, offset } = this;
		const particular = `the value at offset ${offset} cannot be decoded`;
		return new MillraceError("INVALID_RECORD", particular, { topic, partition, cause });
	}
}

/**
 * Records that arrived together: of one partition, in the order of their offsets. Iterate over it,
 * as often as you like; each time makes the records anew.
 */
export class RecordBatch<Value = unknown> implements Iterable<ConsumedRecord<Value>> {
	readonly topic: string;
	readonly partition: number;
	/** How many records there are. */
	readonly length: number;
	/** Where the partition's visible end was when this was sent: compare it to see the lag. */
	readonly highWatermark: number;
	/** @internal */
	readonly frame: Uint8Array;
	/** @internal */
	readonly codec: ValueCodec<Value>;
	/** @internal Where the first record begins. */
	readonly recordsStart: number;
	/** @internal */
	readonly baseOffset: number;

	/** @internal `recordsStart` is where the first of `length` records begins in the frame. */
	constructor(
		from: Pick<RecordBatch, "topic" | "partition" | "baseOffset" | "highWatermark">,
		codec: ValueCodec<Value>,
		frame: Uint8Array,
		recordsStart: number,
		length: number,
	) {
		this.topic = from.topic;
		this.partition = from.partition;
		this.baseOffset = from.baseOffset;
		this.highWatermark = from.highWatermark;
		this.codec = codec;
		this.frame = frame;
		this.recordsStart = recordsStart;
		this.length = length;
		this.last = undefined;
	}

	/**
	 * Offset of the last record; -1 without records. Walks over the records unless that was done
	 * before.
	 */
	get lastOffset(): number {
		if (this.last !== undefined) return this.last;
		const reader = new ByteReader(this.frame, this.recordsStart);
		let delta = -1 - this.baseOffset;
		for (let index = 0; index < this.length; index++) {
			const fields = reader.arrayHeader();
			delta = reader.integer();
			for (let field = 1; field < fields; field++) reader.skip();
		}
		this.last = this.baseOffset + delta;
		return this.last;
	}

	/** @internal Set by whoever has walked over all records. */
	last: number | undefined;

	[Symbol.iterator](): RecordCursor<Value> {
		return new RecordCursor(this);
	}

	/** @internal The part of this batch from `fromOffset` up to, and without, `endOffset`. */
	clip(fromOffset: number, endOffset: number): RecordBatch<Value> {
		const cursor = new RecordCursor(this);
		let start = this.recordsStart;
		let length = 0;
		for (;;) {
			const before = cursor.position;
			const record = cursor.take();
			if (record === undefined || record.offset >= endOffset) break;
			if (record.offset < fromOffset) continue;
			if (length === 0) start = before;
			length++;
		}
		return new RecordBatch(this, this.codec, this.frame, start, length);
	}
}

/** Walks over the records of a batch. */
export class RecordCursor<Value> implements IterableIterator<ConsumedRecord<Value>> {
	readonly batch: RecordBatch<Value>;
	readonly #reader: ByteReader;
	#remaining: number;

	constructor(batch: RecordBatch<Value>) {
		this.batch = batch;
		this.#reader = new ByteReader(batch.frame, batch.recordsStart);
		this.#remaining = batch.length;
	}

	/** Where the next record begins in the frame. */
	get position(): number {
		return this.#reader.position;
	}

	/**
	 * The next record, or undefined behind the last one. Throws MALFORMED_FRAME on a broken delivery.
	 */
	take(): ConsumedRecord<Value> | undefined {
		if (this.#remaining === 0) return undefined;
		let record: ConsumedRecord<Value>;
		try {
			record = this.#read();
		} catch (cause) {
			this.#remaining = 0;
			throw brokenDelivery(this.batch, cause);
		}
		if (--this.#remaining === 0) this.batch.last = record.offset;
		return record;
	}

	next(): IteratorResult<ConsumedRecord<Value>, undefined> {
		const value = this.take();
		return value === undefined ? { done: true, value } : { done: false, value };
	}

	[Symbol.iterator](): this {
		return this;
	}

	/** [offset_delta, timestamp_ms, key, value, headers?] */
	#read(): ConsumedRecord<Value> {
		const reader = this.#reader;
		const fields = reader.arrayHeader();
		const offset = this.batch.baseOffset + reader.integer();
		const timestamp = reader.integer();
		const keyBytes = reader.binaryHeader();
		const keyStart = keyBytes < 0 ? -1 : reader.position;
		if (keyBytes > 0) reader.position += keyBytes;
		const keyEnd = reader.position;
		const valueBytes = reader.binaryHeader();
		const valueStart = valueBytes < 0 ? -1 : reader.position;
		if (valueBytes > 0) reader.position += valueBytes;
		const valueEnd = reader.position;
		let headersStart = -1;
		if (fields > 4) {
			if (!reader.isNil()) {
				headersStart = reader.position;
				reader.skip();
			}
			for (let field = 5; field < fields; field++) reader.skip();
		}
		return new ConsumedRecord(
			this.batch,
			offset,
			timestamp,
			keyStart,
			keyEnd,
			valueStart,
			valueEnd,
			headersStart,
		);
	}
}

function brokenDelivery(batch: RecordBatch, cause: unknown): MillraceError {
	const { topic, partition } = batch;
	return new MillraceError("MALFORMED_FRAME", "a delivery", { topic, partition, cause });
}
