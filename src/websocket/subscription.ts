/**
 * One subscription: a position in a partition, credit, and what it waits for. It holds no records;
 * what it has not delivered is in the log.
 */
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { OutOfRangePolicy, SubscriptionFormat } from "../protocol/operations.ts";
import type { ReadResult } from "../storage/storage.ts";
import type { LiveTopic } from "../topics/live-topics.ts";
import { batchesHeader, caughtUpFrame, endedFrame, gapFrame } from "./outgoing.ts";
import type { SessionHost } from "./session-host.ts";

/** What a subscription needs of its session. */
export interface SubscriptionOwner {
	/** Tells its connection from the others of the loop. */
	readonly id: number;
	/** Gives it a turn. */
	due(subscription: Subscription): void;
	send(header: Uint8Array, body?: Uint8Array, release?: () => void): void;
	/** It is over, and its number free. */
	ended(subscription: Subscription): void;
}

export interface SubscriptionTarget {
	readonly sub: number;
	readonly topic: LiveTopic;
	readonly partition: number;
	readonly format: SubscriptionFormat;
	readonly onOutOfRange: OutOfRangePolicy;
}

/**
 * "starting": its first offset is being looked up. "idle": without credit. "due": has its turn
 * coming. "waiting": for records or for pages.
 */
type State = "starting" | "idle" | "due" | "waiting" | "ended";

export class Subscription {
	readonly target: SubscriptionTarget;
	readonly #host: SessionHost;
	readonly #owner: SubscriptionOwner;
	#state: State = "starting";
	#position = 0;
	#creditRecords = 0;
	#creditBytes = 0;
	/** The position at which the client was last told that it has caught up. */
	#caughtUpAt = -1;
	#cancelWatch: (() => void) | undefined;
	#idleSinceMs: number | undefined;

	constructor(host: SessionHost, owner: SubscriptionOwner, target: SubscriptionTarget) {
		this.#host = host;
		this.#owner = owner;
		this.target = target;
	}

	get isEnded(): boolean {
		return this.#state === "ended";
	}

	/** Whether it waits for records that nobody has sent yet. */
	get isCaughtUp(): boolean {
		return this.#state === "waiting" && this.#cancelWatch !== undefined;
	}

	/** Since when it has no credit; undefined: it has. By the monotonic clock. */
	get idleSinceMs(): number | undefined {
		return this.#state === "idle" ? this.#idleSinceMs : undefined;
	}

	/** Records that are there and were not sent. */
	lagRecords(): number {
		if (this.#state === "starting" || this.#state === "ended") return 0;
		return Math.max(0, (this.#offsets()?.highWatermark ?? 0) - this.#position);
	}

	/** Begins to deliver, on a later turn of the loop: behind the answer to subscribe. */
	start(offset: number): void {
		if (this.#state !== "starting") return;
		this.#position = offset;
		this.#state = "due";
		this.#owner.due(this);
	}

	/** Adds credit; beyond the limits the subscription ends. */
	addCredit(records: number, bytes: number): void {
		if (this.#state === "ended") return;
		this.#creditRecords += records;
		this.#creditBytes += bytes;
		if (
			this.#creditRecords > LIMITS.creditRecordsMax ||
			this.#creditBytes > LIMITS.creditBytesMax
		) {
			this.end(new MillraceError("LIMIT_EXCEEDED", "credit"));
		} else if (this.#state === "idle") this.#becomeDue();
	}

	/** Stops without a word to the client. */
	stop(): void {
		this.#state = "ended";
		this.#cancelWatch?.();
		this.#cancelWatch = undefined;
	}

	/** Stops and tells the client why. */
	end(error: MillraceError, withOffsets = false): void {
		if (this.#state === "ended") return;
		this.stop();
		this.#owner.ended(this);
		const { sub } = this.target;
		const offsets = withOffsets ? this.#offsets() : undefined;
		const range = offsets && { log_start: offsets.logStart, high_watermark: offsets.highWatermark };
		this.#owner.send(endedFrame(this.#host.writer, sub, error, range));
	}

	/** One delivery, or whatever keeps it from one; returns the bytes sent. Only when it is due. */
	deliver(bytesMax: number): number {
		if (this.#state !== "due") return 0;
		const { topic } = this.target;
		if (topic.isDeleted) {
			this.end(new MillraceError("TOPIC_DELETED", topic.current.name));
			return 0;
		}
		if (this.#creditRecords <= 0 || this.#creditBytes <= 0) {
			this.#state = "idle";
			this.#idleSinceMs = this.#host.clock.monotonicMs();
			const highWatermark = this.#offsets()?.highWatermark;
			if (highWatermark === this.#position) this.#tellCaughtUp(highWatermark);
			return 0;
		}
		return this.#take(this.#read(Math.min(bytesMax, this.#creditBytes)));
	}

	#read(bytesMax: number): ReadResult {
		const { topic, partition, sub, format } = this.target;
		const { handle } = topic.current;
		const { storage } = this.#host;
		if (format === "batch") {
			const viewBytesMax = Math.min(bytesMax, LIMITS.deliveryBytesMax);
			return storage.readBatches(handle, partition, this.#position, viewBytesMax);
		}
		const recordsMax = this.#creditRecords;
		const { id } = this.#owner;
		return storage.readRecords(handle, partition, this.#position, sub, recordsMax, bytesMax, id);
	}

	#take(result: ReadResult): number {
		switch (result.status) {
			case "data":
				return this.#send(result);
			case "at_end":
				this.#tellCaughtUp(result.highWatermark);
				this.#watch();
				return 0;
			case "loading":
				this.#state = "waiting";
				this.#host.storage.onToken(result.token, (code) => this.#loaded(code));
				return 0;
			case "gap":
				this.#host.log.warn(
					{
						topic: this.target.topic.current.name,
						partition: this.target.partition,
						from: result.gapFrom,
						to: result.gapTo,
					},
					"damaged records are skipped: run `millrace verify` when the broker is stopped",
				);
				this.#skip({ from: result.gapFrom, to: result.gapTo }, result.code);
				return 0;
			case "out_of_range":
				this.#outOfRange();
				return 0;
			case "deleted":
				this.end(new MillraceError("TOPIC_DELETED", this.target.topic.current.name));
				return 0;
			case "failed":
				this.end(MillraceError.fromNumber(result.code));
				return 0;
		}
	}

	#send({ data, bytes, records, nextOffset, highWatermark }: ReadResult): number {
		if (data === null || nextOffset <= this.#position) {
			if (data !== null) this.#host.storage.release(data);
			this.end(new MillraceError("UNKNOWN_SERVER_ERROR", "a read made no progress"));
			return 0;
		}
		if (bytes > LIMITS.frameBytesMax && this.target.format === "records") {
			this.#endBefore(data, bytes);
			return 0;
		}
		this.#position = nextOffset;
		this.#creditRecords -= records;
		this.#creditBytes -= bytes;
		this.#host.traffic.sent(this.target.topic.current.handle, records, data.length);
		this.#sendData(data, highWatermark);
		if (nextOffset >= highWatermark) {
			this.#tellCaughtUp(highWatermark);
			this.#watch();
		} else this.#becomeDue();
		return bytes;
	}

	/** Ends before a record that no frame holds: as part of a compressed batch it could be stored. */
	#endBefore(frame: Uint8Array, bytes: number): void {
		// [131, sub, base_offset, ...]
		const reader = this.#host.reader.reset(frame);
		reader.frameHeader();
		reader.integer();
		reader.integer();
		const particular = `the record at offset ${reader.integer()} expands to ${bytes} bytes`;
		const { topic, partition } = this.target;
		const details = { topic: topic.current.name, partition };
		const advice = "subscribe with format batch";
		this.end(new MillraceError("MESSAGE_TOO_LARGE", `${particular}; ${advice}`, details));
	}

	#sendData(data: Uint8Array, highWatermark: number): void {
		if (this.target.format === "records") {
			this.#owner.send(data);
			return;
		}
		const { storage, writer } = this.#host;
		const header = batchesHeader(writer, this.target.sub, highWatermark, data.length);
		this.#owner.send(header, data, () => storage.release(data));
	}

	#tellCaughtUp(highWatermark: number): void {
		if (this.#caughtUpAt === this.#position) return;
		this.#caughtUpAt = this.#position;
		this.#owner.send(caughtUpFrame(this.#host.writer, this.target.sub, highWatermark));
	}

	#watch(): void {
		if (this.#state === "ended") return;
		const { topic, partition } = this.target;
		this.#state = "waiting";
		this.#cancelWatch = this.#host.storage.watch(
			topic.current.handle,
			partition,
			this.#position,
			() => {
				this.#cancelWatch = undefined;
				if (this.#state === "waiting") this.#becomeDue();
			},
		);
	}

	#loaded(code: number): void {
		if (this.#state !== "waiting") return;
		if (code === 0) this.#becomeDue();
		else this.end(MillraceError.fromNumber(code));
	}

	#outOfRange(): void {
		const offsets = this.#offsets();
		const { onOutOfRange, topic, partition } = this.target;
		if (onOutOfRange === "error" || offsets === undefined) {
			const details = { topic: topic.current.name, partition };
			const error = new MillraceError("OFFSET_OUT_OF_RANGE", `${this.#position}`, details);
			this.end(error, true);
			return;
		}
		const to = onOutOfRange === "earliest" ? offsets.logStart : offsets.highWatermark;
		const { number } = new MillraceError("OFFSET_OUT_OF_RANGE");
		this.#skip({ from: this.#position, to }, number);
	}

	/** Goes on at `range.to`, and says so where that leaves records out. */
	#skip(range: { from: number; to: number }, code: number): void {
		if (range.to > range.from) {
			this.#owner.send(gapFrame(this.#host.writer, this.target.sub, range, code));
		}
		this.#position = range.to;
		this.#becomeDue();
	}

	#becomeDue(): void {
		// What was sent just before may have ended the connection, and this with it.
		if (this.#state === "ended") return;
		this.#state = "due";
		this.#owner.due(this);
	}

	#offsets(): { logStart: number; highWatermark: number } | undefined {
		const { topic, partition } = this.target;
		if (topic.isDeleted) return undefined;
		return this.#host.storage.offsets(topic.current.handle, partition);
	}
}
