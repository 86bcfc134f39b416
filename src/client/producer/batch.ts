import { SEQUENCE_NONE } from "../../protocol/operations.ts";
import { ByteWriter } from "../values/byte-writer.ts";
import type { Waiting } from "./completion.ts";
import { FRAME_HEAD_BYTES_MAX } from "./produce-frame.ts";

/** Bytes that a stored batch has before its records (record batch version 2). */
const STORED_HEADER_BYTES = 61;

/**
 * The most by which a stored record is larger than its MessagePack form, headers aside, in bytes.
 */
const STORED_RECORD_EXTRA_BYTES = 24;

/** ... and the same for each of its headers. */
const STORED_HEADER_FIELD_EXTRA_BYTES = 8;

/** Whoever fills batches: told what became of each. */
export interface BatchOwner {
	/** Ack on the wire; null: as the topic promises. */
	readonly ack: number | null;
	readonly bodyFormat: number;
	readonly deliveryTimeoutMs: number;
	/** All records are stored, the first at `baseOffset` (-1: known to the broker no more). */
	stored(batch: Batch, baseOffset: number, appendTimeMs: number, reached: number): void;
	/** None will be acknowledged; the error says whether they may be stored all the same. */
	failed(batch: Batch, error: Error): void;
}

/**
 * Records of one partition that travel together and are numbered, stored and answered as one. Its
 * buffer has room before the records, so that a whole frame can go to the socket without being
 * copied.
 */
export class Batch {
	readonly owner: BatchOwner;
	readonly topic: string;
	readonly partition: number;
	readonly buffer: ByteWriter;
	/** When its records are given up, on the clock of `performance.now()`. */
	readonly deadlineMs: number;
	/** When it was begun, on the same clock. */
	readonly createdMs: number;
	/** Who waits for each record, and as which of its records: only of those that somebody awaits. */
	readonly completions: Waiting[] = [];
	readonly positions: number[] = [];
	count = 0;
	/** Somebody waits for one of its records. */
	awaited = false;
	/** Takes more records. */
	open = true;
	/** Sequence of its first record once it has been sent under the present producer identity. */
	baseSequence: number = SEQUENCE_NONE;
	inFlight = false;
	/** It was sent and may be stored: the answer did not come, or did not say. */
	unresolved = false;
	/** It was in flight when a connection ended: a copy may still be on its way to the broker. */
	lost = false;
	#headerFields = 0;

	/** Whether it is stored or can come to be, without our knowing. */
	get mayBeStored(): boolean {
		return this.unresolved || this.lost;
	}

	constructor(
		owner: BatchOwner,
		topic: string,
		partition: number,
		buffer: ByteWriter,
		nowMs: number,
	) {
		this.owner = owner;
		this.topic = topic;
		this.partition = partition;
		this.buffer = buffer;
		this.createdMs = nowMs;
		this.deadlineMs = nowMs + owner.deliveryTimeoutMs;
		buffer.length = FRAME_HEAD_BYTES_MAX;
	}

	/** Bytes of the encoded records. */
	get bodyBytes(): number {
		return this.buffer.length - FRAME_HEAD_BYTES_MAX;
	}

	/** What the stored batch can be at most, in bytes, before compression. */
	get storedBytesMax(): number {
		return (
			STORED_HEADER_BYTES +
			this.bodyBytes +
			this.count * STORED_RECORD_EXTRA_BYTES +
			this.#headerFields * STORED_HEADER_FIELD_EXTRA_BYTES
		);
	}

	/**
	 * Counts a record whose bytes were just written behind the others.
	 * @param awaited whether `waiting` is a completion, or the record itself
	 */
	added(waiting: Waiting, awaited: boolean, position: number, headerFields: number): void {
		this.count++;
		this.#headerFields += headerFields;
		this.completions.push(waiting);
		if (!awaited) return;
		this.awaited = true;
		this.positions[this.count - 1] = position;
	}

	/** Takes the last record out again, whose bytes began at `start`; returns them, as a view. */
	removeLast(start: number, headerFields: number): Uint8Array {
		const bytes = this.buffer.written(start);
		this.count--;
		this.#headerFields -= headerFields;
		this.completions.pop();
		this.positions.length = Math.min(this.positions.length, this.count);
		this.buffer.length = start;
		return bytes;
	}
}

/** Buffers of this size are used again and again; batches are closed before they outgrow it. */
const POOLED_BYTES = 294_912;

/** First size of a batch's buffer where little is expected, in bytes. */
const SMALL_BYTES = 2_048;

const POOLED_MAX = 64;

/** Buffers for batches: large ones are kept, as zeroing new ones costs more than filling them. */
export class BufferPool {
	readonly #free: ByteWriter[] = [];

	/** @param large whether the batch is expected to become large */
	take(large: boolean): ByteWriter {
		if (!large) return new ByteWriter(SMALL_BYTES, FRAME_HEAD_BYTES_MAX);
		return this.#free.pop() ?? new ByteWriter(POOLED_BYTES, FRAME_HEAD_BYTES_MAX);
	}

	/** Takes a buffer back that nobody reads any more. */
	release(buffer: ByteWriter): void {
		if (buffer.bytes.length === POOLED_BYTES && this.#free.length < POOLED_MAX) {
			this.#free.push(buffer);
		}
	}
}
