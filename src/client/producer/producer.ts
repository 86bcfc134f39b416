import { MillraceError } from "../../protocol/error.ts";
import { ACK, BODY_COMPRESSION, BODY_COMPRESSION_FACTOR } from "../../protocol/operations.ts";
import { callProgram } from "../call-program.ts";
import { withSignal } from "../connection/abort.ts";
import type { Link } from "../connection/link.ts";
import type { Ack, Durability, RecordToSend } from "../records.ts";
import type { TopicDirectory, TopicInfo } from "../topic-directory.ts";
import type { Propagate } from "../trace.ts";
import { ByteWriter } from "../values/byte-writer.ts";
import { type Codec, type CodecName, type ValueCodec, valueCodec } from "../values/codecs.ts";
import { RecordWriter } from "../values/record-writer.ts";
import type { Batch, BatchOwner } from "./batch.ts";
import { isCompletion, SendBatchCompletion, SendCompletion, type Waiting } from "./completion.ts";
import { partitionOfHash } from "./murmur2.ts";
import { BATCH_BYTES_TARGET, type Sender } from "./sender.ts";
import { type StagedRecord, StagedRecords } from "./staged-records.ts";

export interface ProducerOptions<Value> {
	/** How values become bytes. Default "messagepack". */
	codec?: CodecName | Codec<Value>;
	/** What an ack waits for. Default: what the topic promises. */
	durability?: Durability;
	/**
	 * How the broker is to compress the records on topics that leave it to producers
	 * (`compression.type=producer`). The client compresses nothing. Default "none".
	 */
	compression?: Compression;
	/**
	 * How long a record may take to be acknowledged, lost connections included, before it fails with
	 * DELIVERY_TIMEOUT, in milliseconds. Default 120,000.
	 */
	deliveryTimeoutMs?: number;
	/** Encoded records that may wait in memory, in bytes. Default 32 MiB. */
	bufferBytesMax?: number;
	/**
	 * Told of each record given to `write()` that failed. Without it `flush()` and `close()` reject.
	 */
	onError?: (record: RecordToSend<Value>, error: Error) => void;
	/**
	 * Called with each record that is given to the producer, to write the trace context of the caller
	 * into its headers: `(carrier) => propagation.inject(context.active(), carrier)` with
	 * OpenTelemetry. Headers that a record has itself stay. Default: nothing is written.
	 */
	propagate?: Propagate;
}

/** A codec, or none. */
export type Compression = keyof typeof BODY_COMPRESSION;

/** `drained()` resolves when the buffer has shrunk to this part of its maximum. */
const DRAINED_PART = 0.5;

const DURABILITY_OF_REACHED: Record<number, Durability> = { 1: "written", 2: "flushed" };

/** One `flush()`: the batches that it still waits for. */
interface Flush {
	readonly batches: Set<Batch>;
	resolve(): void;
}

/** A topic as this producer writes to it. */
interface Destination {
	readonly name: string;
	/** Undefined until the broker has told. */
	info: TopicInfo | undefined;
	/** Records that wait for it, and what resolves when they do no more. */
	readonly staged: StagedRecords;
	opened: Promise<void> | undefined;
	/** Where records without a key go at present, and the batch that they go into. */
	stickyPartition: number;
	stickyBatch: Batch | undefined;
}

/**
 * Writes records to topics: each exactly once in order per partition and key, batched as the load
 * wants it, through lost connections. Made by `client.producer()`.
 */
export class Producer<Value = unknown> implements BatchOwner {
	readonly ack: number | null;
	readonly bodyFormat: number;
	readonly deliveryTimeoutMs: number;
	readonly #codec: ValueCodec<Value>;
	readonly #bufferBytesMax: number;
	readonly #onError: ((record: RecordToSend<Value>, error: Error) => void) | undefined;
	readonly #link: Link;
	readonly #sender: Sender;
	readonly #directory: TopicDirectory;
	readonly #forget: (producer: Producer<Value>) => void;
	readonly #destinations = new Map<string, Destination>();
	readonly #records: RecordWriter;
	readonly #scratch = new ByteWriter(1_024);
	readonly #stopListening: () => void;
	/** Batches that hold records of ours and are not settled. */
	readonly #batches = new Set<Batch>();
	#flushes: Flush[] = [];
	#drainWaiters: (() => void)[] = [];
	#latest: Destination | undefined;
	#bufferedBytes = 0;
	/** A failure of `write()` that nobody was told of yet. */
	#unreported: Error | undefined;
	#closedError: Error | undefined;

	/** @internal */
	constructor(
		link: Link,
		sender: Sender,
		directory: TopicDirectory,
		options: ProducerOptions<Value>,
		forget: (producer: Producer<Value>) => void,
	) {
		this.#codec = valueCodec<Value>(options.codec ?? "messagepack");
		const compression = compressionNumber(options.compression ?? "none");
		if (
			compression !== BODY_COMPRESSION.none &&
			!link.hello.features.includes("produce.compress")
		) {
			throw new MillraceError("UNSUPPORTED_OPERATION", "this broker compresses for no producer");
		}
		this.bodyFormat = this.#codec.bodyFormat + BODY_COMPRESSION_FACTOR * compression;
		this.ack = options.durability === undefined ? null : ACK[options.durability];
		this.deliveryTimeoutMs = positive(options.deliveryTimeoutMs ?? 120_000, "deliveryTimeoutMs");
		this.#bufferBytesMax = positive(options.bufferBytesMax ?? 33_554_432, "bufferBytesMax");
		this.#onError = options.onError;
		this.#records = new RecordWriter(options.propagate);
		this.#link = link;
		this.#sender = sender;
		this.#directory = directory;
		this.#forget = forget;
		this.#stopListening = directory.listen((info) => {
			const destination = this.#destinations.get(info.name);
			if (destination?.info !== undefined) destination.info = info;
		});
	}

	/** Bytes of encoded records that are not settled. */
	get bufferedBytes(): number {
		return this.#bufferedBytes;
	}

	/**
	 * Sends one record. Rejects with UNREPRESENTABLE_VALUE, MESSAGE_TOO_LARGE, BUFFER_FULL (await
	 * `drained()` and send it again), DELIVERY_TIMEOUT, or what the broker refused it with.
	 */
	send(record: RecordToSend<Value>): Promise<Ack> {
		const completion = new SendCompletion();
		try {
			this.#refuseIfFull();
			this.#append(this.#destination(record.topic), record, completion, 0);
		} catch (error) {
			return Promise.reject(error);
		}
		return completion.promise;
	}

	/**
	 * Sends many records to a topic; the acks are in the order of the records. Rejects with the first
	 * failure once all are settled: the others are stored. A record that cannot be encoded ends the
	 * call there: it and those behind it are not sent.
	 */
	sendBatch(topic: string, records: readonly Omit<RecordToSend<Value>, "topic">[]): Promise<Ack[]> {
		const completion = new SendBatchCompletion(records.length);
		let position = 0;
		try {
			this.#refuseIfFull();
			const destination = this.#destination(topic);
			for (; position < records.length; position++) {
				const record = records[position] as RecordToSend<Value>;
				this.#append(destination, record, completion, position);
			}
		} catch (error) {
			for (; position < records.length; position++) completion.failed(error as Error);
		}
		return completion.promise;
	}

	/**
	 * Takes a record in without a promise for it: the fastest way to write many. false: the buffer is
	 * above `bufferBytesMax`, await `drained()` before the next one. Throws what `send` rejects with
	 * at once (BUFFER_FULL if that was not awaited); later failures go to `onError`.
	 */
	write(record: RecordToSend<Value>): boolean {
		this.#refuseIfFull();
		this.#append(this.#destination(record.topic), record, record as Waiting, 0);
		return this.#bufferedBytes < this.#bufferBytesMax;
	}

	/** Resolves when the buffer has room again: at once unless `write` has returned false. */
	drained(options: { signal?: AbortSignal } = {}): Promise<void> {
		if (this.#closedError !== undefined) return Promise.reject(this.#closedError);
		if (this.#bufferedBytes < this.#bufferBytesMax) return Promise.resolve();
		const drained = new Promise<void>((resolve) => this.#drainWaiters.push(resolve));
		return withSignal(drained, options.signal);
	}

	/**
	 * Resolves when every record taken in so far is stored or has failed. Rejects with the first
	 * failure of a `write()` since the last call, if there is no `onError`.
	 */
	async flush(options: { signal?: AbortSignal } = {}): Promise<void> {
		await withSignal(this.#settleAll(), options.signal);
		const error = this.#unreported;
		this.#unreported = undefined;
		if (error !== undefined) throw error;
	}

	/** Takes no more records, and flushes. */
	async close(options: { signal?: AbortSignal } = {}): Promise<void> {
		if (this.#closedError === undefined) {
			this.#closedError = new MillraceError("CLOSED", "the producer");
		}
		try {
			await this.flush(options);
		} finally {
			this.#stopListening();
			this.#forget(this);
		}
	}

	/** @internal */
	stored(batch: Batch, baseOffset: number, _appendTimeMs: number, reached: number): void {
		const durability = DURABILITY_OF_REACHED[reached] ?? "written";
		const { partition, completions, positions } = batch;
		if (batch.awaited) {
			for (let index = 0; index < completions.length; index++) {
				const waiting = completions[index] as Waiting;
				if (!isCompletion(waiting)) continue;
				const offset = baseOffset < 0 ? -1 : baseOffset + index;
				waiting.stored(positions[index] as number, { partition, offset, durability });
			}
		}
		this.#settled(batch);
	}

	/** @internal */
	failed(batch: Batch, error: Error): void {
		this.#settled(batch);
		for (const waiting of batch.completions) this.#tellFailed(waiting, error);
	}

	async #settleAll(): Promise<void> {
		for (const { staged } of this.#destinations.values()) await staged.untilEmpty();
		if (this.#batches.size === 0) return;
		for (const batch of this.#batches) batch.open = false;
		await new Promise<void>((resolve) => {
			this.#flushes.push({ batches: new Set(this.#batches), resolve });
		});
	}

	#refuseIfFull(): void {
		if (this.#closedError !== undefined) throw this.#closedError;
		if (this.#link.closedError !== undefined) throw this.#link.closedError;
		if (this.#bufferedBytes >= this.#bufferBytesMax) throw new MillraceError("BUFFER_FULL");
	}

	#destination(topic: string): Destination {
		if (this.#latest?.name === topic) return this.#latest;
		let destination = this.#destinations.get(topic);
		if (destination === undefined) {
			if (typeof topic !== "string" || !/^[A-Za-z0-9._-]{1,249}$/.test(topic)) {
				throw new MillraceError("INVALID_TOPIC_EXCEPTION", String(topic));
			}
			destination = this.#newDestination(topic);
			this.#destinations.set(topic, destination);
		}
		this.#latest = destination;
		return destination;
	}

	#newDestination(name: string): Destination {
		const fail = (record: StagedRecord, error: Error): void => {
			this.#release(record.bytes.length);
			this.#tellFailed(record.waiting, error);
		};
		return {
			name,
			info: this.#directory.get(name),
			staged: new StagedRecords(name, fail, () => this.#link.lastError),
			opened: undefined,
			stickyPartition: Math.floor(Math.random() * 65_536),
			stickyBatch: undefined,
		};
	}

	/** Encodes a record into the batch where it belongs. Nothing has changed when it throws. */
	#append(
		destination: Destination,
		record: RecordToSend<Value>,
		waiting: Waiting,
		position: number,
	): void {
		const keyed = this.#records.takeKey(record.key);
		const { info } = destination;
		if (info === undefined) {
			this.#stage(destination, record, keyed, waiting, position);
			return;
		}
		const batch = this.#batchFor(destination, info, record.partition, keyed);
		const { buffer } = batch;
		const start = buffer.length;
		let headerFields: number;
		try {
			headerFields = this.#records.write(buffer, record, this.#codec);
			this.#checkSize(buffer.length - start);
		} catch (error) {
			buffer.length = start;
			throw error;
		}
		this.#added(batch, info, start, headerFields, waiting, position);
	}

	#batchFor(
		destination: Destination,
		info: TopicInfo,
		partition: number | undefined,
		keyed: boolean,
	): Batch {
		if (partition !== undefined) {
			if (!Number.isInteger(partition) || partition < 0 || partition >= info.partitions) {
				throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", `${info.name}-${partition}`, {
					topic: info.name,
					partition,
				});
			}
			return this.#sender.openBatch(this, info.name, partition);
		}
		if (keyed) {
			const chosen = partitionOfHash(this.#records.keyHash(), info.partitions);
			return this.#sender.openBatch(this, info.name, chosen);
		}
		// Records without a key stay together until their batch is on its way, then go elsewhere.
		if (destination.stickyBatch?.open) return destination.stickyBatch;
		destination.stickyPartition = (destination.stickyPartition + 1) % info.partitions;
		const batch = this.#sender.openBatch(this, info.name, destination.stickyPartition);
		destination.stickyBatch = batch;
		return batch;
	}

	/**
	 * A record was written to `batch` from `start` on: counts it, and keeps the batch within its
	 * bounds.
	 */
	#added(
		batch: Batch,
		info: TopicInfo,
		start: number,
		headerFields: number,
		waiting: Waiting,
		position: number,
	): void {
		const bytes = batch.buffer.length - start;
		const awaited = isCompletion(waiting);
		batch.added(waiting, awaited, position, headerFields);
		const most = Math.min(BATCH_BYTES_TARGET, info.maxMessageBytes);
		let target = batch;
		let storedBytesMax = batch.storedBytesMax;
		if (batch.count > 1 && storedBytesMax > most) {
			const moved = batch.removeLast(start, headerFields);
			this.#sender.full(batch);
			target = this.#sender.openBatch(this, batch.topic, batch.partition);
			target.buffer.raw(moved);
			target.added(waiting, awaited, position, headerFields);
			storedBytesMax = target.storedBytesMax;
		}
		if (target.count === 1) this.#batches.add(target);
		this.#bufferedBytes += bytes;
		if (storedBytesMax >= most) this.#sender.full(target);
		else this.#sender.schedule();
	}

	/** Keeps a record until its topic's partitions are known. */
	#stage(
		destination: Destination,
		record: RecordToSend<Value>,
		keyed: boolean,
		waiting: Waiting,
		position: number,
	): void {
		const scratch = this.#scratch;
		scratch.length = 0;
		const headerFields = this.#records.write(scratch, record, this.#codec);
		this.#checkSize(scratch.length);
		const bytes = scratch.written().slice();
		this.#bufferedBytes += bytes.length;
		destination.staged.push({
			bytes,
			keyHash: keyed ? this.#records.keyHash() : undefined,
			partition: record.partition,
			headerFields,
			waiting,
			position,
			deadlineMs: performance.now() + this.deliveryTimeoutMs,
		});
		destination.opened ??= this.#open(destination);
	}

	async #open(destination: Destination): Promise<void> {
		try {
			const info = await this.#directory.open(destination.name);
			destination.info = info;
			for (const record of destination.staged.take()) this.#unstage(destination, info, record);
		} catch (error) {
			for (const record of destination.staged.take()) {
				this.#release(record.bytes.length);
				this.#tellFailed(record.waiting, error as Error);
			}
		}
		destination.opened = undefined;
	}

	#unstage(destination: Destination, info: TopicInfo, record: StagedRecord): void {
		const { bytes, keyHash, waiting } = record;
		this.#bufferedBytes -= bytes.length;
		try {
			const partition =
				record.partition ??
				(keyHash === undefined ? undefined : partitionOfHash(keyHash, info.partitions));
			const batch = this.#batchFor(destination, info, partition, false);
			const start = batch.buffer.length;
			batch.buffer.raw(bytes);
			this.#added(batch, info, start, record.headerFields, waiting, record.position);
		} catch (error) {
			this.#tellFailed(waiting, error as Error);
		}
	}

	#checkSize(bytes: number): void {
		const most = this.#link.hello.limits.record_bytes_max;
		if (bytes > most) {
			throw new MillraceError("MESSAGE_TOO_LARGE", `${bytes} bytes, ${most} are the most`);
		}
	}

	#settled(batch: Batch): void {
		this.#batches.delete(batch);
		for (const flush of this.#flushes) {
			if (flush.batches.delete(batch) && flush.batches.size === 0) flush.resolve();
		}
		this.#flushes = this.#flushes.filter(({ batches }) => batches.size > 0);
		this.#release(batch.bodyBytes);
	}

	#release(bytes: number): void {
		this.#bufferedBytes -= bytes;
		if (this.#drainWaiters.length === 0) return;
		if (this.#bufferedBytes > this.#bufferBytesMax * DRAINED_PART) return;
		for (const resolve of this.#drainWaiters.splice(0)) resolve();
	}

	#tellFailed(waiting: Waiting, error: Error): void {
		if (isCompletion(waiting)) waiting.failed(error);
		else if (this.#onError === undefined) this.#unreported ??= error;
		else callProgram(this.#onError, waiting as RecordToSend<Value>, error);
	}
}

function compressionNumber(name: Compression): number {
	if (Object.hasOwn(BODY_COMPRESSION, name)) return BODY_COMPRESSION[name];
	const names = Object.keys(BODY_COMPRESSION).join(", ");
	throw new MillraceError("INVALID_ARGUMENT", `compression is one of ${names}, not ${name}`);
}

function positive(value: number, name: string): number {
	if (Number.isFinite(value) && value > 0) return value;
	throw new MillraceError("INVALID_ARGUMENT", `${name} must be above 0, not ${value}`);
}
