/** How far a group is behind: in records, and in time, by the record that it reads next. */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import { FrameReader } from "../../protocol/reader.ts";
import type { Storage, TopicHandle } from "../../storage/storage.ts";
import type { TopicCatalogue } from "../../topics/catalogue.ts";

/** Where one partition is read, and how much there is left to read. */
export interface PartitionLag {
	/** First offset that can be read. */
	readonly logStart: number;
	/** Offset behind the last record that consumers see. */
	readonly highWatermark: number;
	/** Records from the committed offset on; null without one. */
	readonly records: number | null;
	/** Age of the first of them in milliseconds; 0: nothing is left to read; null: not known. */
	readonly ms: number | null;
}

export type LagStorage = Pick<Storage, "nextConnection" | "offsets" | "onToken" | "readRecords">;

/** Names the reads for the core; no client's subscription is likely to have this number. */
const SUBSCRIPTION = 0xffff_ffff;

export class LagReader {
	readonly #storage: LagStorage;
	/** Storage takes it for a connection like any other. */
	readonly #connection: number;
	readonly #catalogue: Pick<TopicCatalogue, "get">;
	readonly #reader = new FrameReader();
	/** The times of records that were read, the oldest look first: a dead group's are asked again. */
	readonly #times = new Map<string, number>();

	constructor(storage: LagStorage, catalogue: Pick<TopicCatalogue, "get">) {
		this.#storage = storage;
		this.#connection = storage.nextConnection();
		this.#catalogue = catalogue;
	}

	/** Null for a partition that does not exist. `nowMs`: milliseconds since 1970. */
	async read(
		topicName: string,
		partition: number,
		committed: number | null,
		nowMs: number,
	): Promise<PartitionLag | null> {
		const topic = this.#catalogue.get(topicName);
		if (topic === undefined || partition >= topic.partitions) return null;
		const { logStart, highWatermark } = this.#storage.offsets(topic.handle, partition);
		const bounds = { logStart, highWatermark };
		if (committed === null || committed < 0) return { ...bounds, records: null, ms: null };
		const records = Math.max(highWatermark - committed, 0);
		if (records === 0) return { ...bounds, records, ms: 0 };
		const next = Math.max(committed, logStart);
		const timestampMs = await this.#knownTimestamp(topic.handle, partition, next);
		const ms = timestampMs === null ? null : Math.max(nowMs - timestampMs, 0);
		return { ...bounds, records, ms };
	}

	async #knownTimestamp(
		topic: TopicHandle,
		partition: number,
		from: number,
	): Promise<number | null> {
		const key = `${topic} ${partition} ${from}`;
		const known = this.#times.get(key);
		if (known !== undefined) return known;
		const timestampMs = await this.#timestamp(topic, partition, from);
		if (timestampMs === null) return null;
		this.#times.set(key, timestampMs);
		if (this.#times.size > LIMITS.lagTimesMax) {
			for (const oldest of this.#times.keys()) {
				this.#times.delete(oldest);
				break;
			}
		}
		return timestampMs;
	}

	/** The time of the first record that can be read from an offset on; null: there is none. */
	async #timestamp(topic: TopicHandle, partition: number, from: number): Promise<number | null> {
		let offset = from;
		for (;;) {
			const result = this.#storage.readRecords(
				topic,
				partition,
				offset,
				SUBSCRIPTION,
				1,
				LIMITS.deliveryBytesMax,
				this.#connection,
			);
			switch (result.status) {
				case "data":
					return this.#firstTimestamp(result.data as Uint8Array);
				case "loading":
					await this.#loaded(result.token);
					break;
				case "gap":
					offset = result.gapTo;
					break;
				case "at_end":
				case "deleted":
				case "failed":
					return null;
				case "out_of_range":
					// The log's start has moved on meanwhile.
					if (result.logStart <= offset) return null;
					offset = result.logStart;
			}
		}
	}

	/** `[131, sub, base_offset, high_watermark, [[offset_delta, timestamp_ms, ...]]]`. */
	#firstTimestamp(frame: Uint8Array): number {
		const reader = this.#reader.reset(frame);
		for (let fields = reader.arrayHeader(); fields > 1; fields--) reader.integer();
		reader.arrayHeader();
		reader.arrayHeader();
		reader.integer();
		return reader.integer();
	}

	#loaded(token: number): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#storage.onToken(token, (code) => {
				if (code === CODES.NONE.code) resolve();
				else reject(MillraceError.fromNumber(code));
			});
		});
	}
}
