/**
 * The internal topic that holds groups and committed offsets: which partition is whose, appending,
 * reading everything back.
 *
 * Appends to one partition take effect in the order in which they are made. `done` comes when the
 * records are as durable as the topic promises.
 */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { nextTurn } from "../../next-turn.ts";
import { CODES } from "../../protocol/codes.ts";
import { BODY_FORMAT, OPERATION, SEQUENCE_NONE } from "../../protocol/operations.ts";
import { FrameReader } from "../../protocol/reader.ts";
import { FrameWriter } from "../../protocol/writer.ts";
import {
	PLAN_BASE_OFFSET,
	PLAN_CODE,
	PLAN_RESULT_PARTITION,
	PLAN_TOPIC_HANDLE,
} from "../../storage/layout.ts";
import type { ReadResult, Storage, TopicHandle } from "../../storage/storage.ts";
import type { Topic, TopicCatalogue } from "../../topics/catalogue.ts";
import { OFFSETS_TOPIC } from "../../topics/internal-topics.ts";
import type { GroupRecord } from "../group.ts";

/** What the log uses of storage. */
export type OffsetsStorage = Pick<
	Storage,
	| "append"
	| "decodeProduce"
	| "deleteRecords"
	| "isElsewhere"
	| "nextConnection"
	| "offsetForTimestamp"
	| "offsets"
	| "onToken"
	| "plan"
	| "readRecords"
	| "takeAppended"
>;

/** `baseOffset` is that of the first record; -1 when there was none. */
export type AppendDone = (error: MillraceError | undefined, baseOffset: number) => void;

/**
 * What the topic is created with. As Kafka does it but for two: records may be as large as a batch
 * may be, and segments are small: only whole ones are deleted when a log is rolled up, and the last
 * one is left alone by compaction.
 */
export const OFFSETS_TOPIC_CONFIG: readonly (readonly [string, string])[] = [
	["cleanup.policy", "compact"],
	["compression.type", "producer"],
	["max.message.bytes", String(LIMITS.batchBytesMax)],
	["segment.bytes", "1048576"],
];

/** A body of the format `bytes`: `[value, key]`. */
const RECORD_FIELDS = 2;
/** What a record's framing costs at most beside its key and value, in bytes. */
const RECORD_FRAMING_BYTES = 16;
const PRODUCER_NONE = -1;
/** As durable as the topic promises. */
const ACK_OF_TOPIC = -1;
/** Records read for one turn of the loop while the log is loaded. */
const READ_RECORDS_MAX = 500;

export class OffsetsLog {
	readonly #storage: OffsetsStorage;
	/** Storage takes the log for a connection like any other. */
	readonly #connection: number;
	readonly #catalogue: Pick<TopicCatalogue, "create" | "get">;
	readonly #partitionsDefault: number;
	readonly #writer = new FrameWriter(65_536);
	readonly #reader = new FrameReader();
	#creation: Promise<unknown> | null = null;
	#pendingBytes = 0;

	/** `partitionsDefault`: partitions of the topic where it has to be created. */
	constructor(
		storage: OffsetsStorage,
		catalogue: Pick<TopicCatalogue, "create" | "get">,
		partitionsDefault: number,
	) {
		this.#storage = storage;
		this.#connection = storage.nextConnection();
		this.#catalogue = catalogue;
		this.#partitionsDefault = partitionsDefault;
	}

	/** The topic, if it was ever created. */
	get topic(): Topic | undefined {
		return this.#catalogue.get(OFFSETS_TOPIC);
	}

	/** Creates the topic unless it is there. Rejects as `TopicCatalogue.create` does. */
	async create(): Promise<void> {
		if (this.topic !== undefined) return;
		this.#creation ??= this.#catalogue
			.create({
				name: OFFSETS_TOPIC,
				partitions: this.#partitionsDefault,
				config: OFFSETS_TOPIC_CONFIG,
				ifNotExists: true,
				isInternal: true,
			})
			.finally(() => {
				this.#creation = null;
			});
		await this.#creation;
	}

	/** The partition that holds a group's records, as Kafka computes it. */
	partitionOf(groupId: string): number {
		const count = this.topic?.partitions ?? this.#partitionsDefault;
		const hash = javaHash(groupId);
		return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % count;
	}

	/**
	 * Appends records, in as many batches as they need; `done` is called on a later turn. The
	 * records' memory is not kept. When it fails, the first batches may have been stored.
	 */
	append(partition: number, records: readonly GroupRecord[], done: AppendDone): void {
		let firstError: MillraceError | undefined;
		let firstOffset = -1;
		let left = 1;
		const onPart = (error: MillraceError | undefined, baseOffset: number) => {
			firstError ??= error;
			if (baseOffset >= 0 && (firstOffset < 0 || baseOffset < firstOffset))
				firstOffset = baseOffset;
			left--;
			if (left === 0) done(firstError, firstOffset);
		};
		for (const [start, end, bytes] of parts(records)) {
			left++;
			this.#appendPart(partition, records, start, end, bytes, onPart);
		}
		// Not before the caller has seen this function return.
		queueMicrotask(() => onPart(undefined, -1));
	}

	#appendPart(
		partition: number,
		records: readonly GroupRecord[],
		start: number,
		end: number,
		bytes: number,
		done: AppendDone,
	): void {
		let token: number;
		try {
			token = this.#appendNow(partition, records, start, end, bytes);
		} catch (error) {
			if (!(error instanceof MillraceError)) throw error;
			queueMicrotask(() => done(error, -1));
			return;
		}
		const { plan, isElsewhere } = this.#storage;
		const code = plan[PLAN_CODE] as number;
		const baseOffset = plan[PLAN_BASE_OFFSET] as number;
		if (token === 0) {
			queueMicrotask(() => done(errorOf(code), baseOffset));
			return;
		}
		this.#pendingBytes += bytes;
		this.#storage.onToken(token, (tokenCode) => {
			this.#pendingBytes -= bytes;
			if (isElsewhere) this.#storage.takeAppended(token);
			if (tokenCode !== CODES.NONE.code) done(errorOf(tokenCode), -1);
			else if (!isElsewhere) done(errorOf(code), baseOffset);
			else done(errorOf(plan[PLAN_CODE] as number), plan[PLAN_BASE_OFFSET] as number);
		});
	}

	/** Returns the token to wait for; the plan's first row tells what became of it. */
	#appendNow(
		partition: number,
		records: readonly GroupRecord[],
		start: number,
		end: number,
		bytes: number,
	): number {
		const { topic } = this;
		if (topic === undefined) throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", OFFSETS_TOPIC);
		if (this.#pendingBytes + bytes > LIMITS.groupAppendsPendingBytesMax) {
			throw new MillraceError("REQUEST_TIMED_OUT", "the disk does not keep up");
		}
		const writer = this.#writer.reset().array(4).integer(OPERATION.produce).integer(0).nil();
		writer.array(1).array(5).string(OFFSETS_TOPIC).integer(partition).integer(SEQUENCE_NONE);
		writer.integer(BODY_FORMAT.bytes).array(end - start);
		for (let index = start; index < end; index++) {
			const { key, value } = records[index] as GroupRecord;
			writer.array(RECORD_FIELDS);
			if (value === null) writer.nil();
			else writer.binary(value);
			writer.binary(key);
		}
		const frame = writer.finish();
		this.#storage.decodeProduce(frame);
		const { plan } = this.#storage;
		plan[PLAN_TOPIC_HANDLE] = topic.handle;
		plan[PLAN_CODE] = CODES.NONE.code;
		plan[PLAN_RESULT_PARTITION] = partition;
		return this.#storage.append(
			frame,
			1,
			ACK_OF_TOPIC,
			PRODUCER_NONE,
			PRODUCER_NONE,
			this.#connection,
		);
	}

	/** The offset behind the last record, durable or not. */
	endOffset(partition: number): number {
		const { topic } = this;
		return topic === undefined ? 0 : this.#storage.offsets(topic.handle, partition).logEnd;
	}

	/** Deletes what is durable before an offset, durably. Rejects with what storage says. */
	async deleteBefore(partition: number, offset: number): Promise<void> {
		const { topic } = this;
		if (topic === undefined) return;
		const { highWatermark } = this.#storage.offsets(topic.handle, partition);
		const end = Math.min(offset, highWatermark);
		await this.#storage.deleteRecords(topic.handle, partition, end);
	}

	/**
	 * Reads a partition from its start to its end, handing every record to `visit`, which must not
	 * keep the bytes. Gives the loop a turn in between. Resolves to the bytes read; rejects with what
	 * storage says. `onGap` is told of damaged ranges, which are passed over.
	 */
	async read(
		partition: number,
		visit: (key: Uint8Array | null, value: Uint8Array | null) => void,
		onGap: (from: number, to: number) => void,
	): Promise<number> {
		const { topic } = this;
		if (topic === undefined) return 0;
		const { handle } = topic;
		let offset = this.#storage.offsets(handle, partition).logStart;
		let bytes = 0;
		for (;;) {
			const result = this.#readSome(handle, partition, offset);
			switch (result.status) {
				case "at_end":
					return bytes;
				case "data":
					this.#visit(result.data as Uint8Array, visit);
					bytes += result.bytes;
					offset = result.nextOffset;
					await nextTurn();
					break;
				case "gap":
					onGap(result.gapFrom, result.gapTo);
					offset = result.gapTo;
					break;
				case "out_of_range":
					if (result.logStart <= offset)
						throw MillraceError.fromNumber(CODES.OFFSET_OUT_OF_RANGE.code);
					offset = result.logStart;
					break;
				case "loading":
					await this.#loaded(result.token);
					break;
				case "deleted":
				case "failed":
					throw MillraceError.fromNumber(result.code);
			}
		}
	}

	#readSome(handle: TopicHandle, partition: number, offset: number): ReadResult {
		const { deliveryBytesMax } = LIMITS;
		return this.#storage.readRecords(
			handle,
			partition,
			offset,
			0,
			READ_RECORDS_MAX,
			deliveryBytesMax,
			this.#connection,
		);
	}

	#loaded(token: number): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#storage.onToken(token, (code) => {
				if (code === CODES.NONE.code) resolve();
				else reject(MillraceError.fromNumber(code));
			});
		});
	}

	/**
	 * Takes a delivery apart: `[131, sub, base_offset, high_watermark, [[delta, time, key, value]]]`.
	 */
	#visit(
		frame: Uint8Array,
		visit: (key: Uint8Array | null, value: Uint8Array | null) => void,
	): void {
		const reader = this.#reader.reset(frame);
		for (let left = reader.arrayHeader(); left > 1; left--) reader.integer();
		for (let records = reader.arrayHeader(); records > 0; records--) {
			let fields = reader.arrayHeader();
			reader.integer();
			reader.integer();
			const key = reader.binaryOrNil();
			const value = reader.binaryOrNil();
			for (fields -= 4; fields > 0; fields--) reader.skip();
			visit(key, value);
		}
	}
}

/** Ranges of records that make batches of a bounded size; one large record is alone. */
function* parts(
	records: readonly GroupRecord[],
): Generator<[start: number, end: number, bytes: number]> {
	let start = 0;
	let bytes = 0;
	for (const [index, { key, value }] of records.entries()) {
		const more = key.length + (value?.length ?? 0) + RECORD_FRAMING_BYTES;
		if (index > start && bytes + more > LIMITS.groupAppendBytesMax) {
			yield [start, index, bytes];
			start = index;
			bytes = 0;
		}
		bytes += more;
	}
	if (records.length > start) yield [start, records.length, bytes];
}

function errorOf(code: number): MillraceError | undefined {
	return code === CODES.NONE.code ? undefined : MillraceError.fromNumber(code);
}

/** Java's `String.hashCode`. */
function javaHash(text: string): number {
	let hash = 0;
	for (let index = 0; index < text.length; index++) {
		hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0;
	}
	return hash;
}
