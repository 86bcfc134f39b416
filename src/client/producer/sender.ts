import { CODES, type CodeName } from "../../protocol/codes.ts";
import { MillraceError } from "../../protocol/error.ts";
import type { HelloAnswer, ProducerIdentity } from "../../protocol/frames.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import {
	type Connection,
	type ProduceResult,
	REQUESTS_UNANSWERED_MAX,
} from "../connection/connection.ts";
import type { Link, LinkUser } from "../connection/link.ts";
import type { TopicDirectory } from "../topic-directory.ts";
import { Batch, type BatchOwner, BufferPool } from "./batch.ts";
import { PartitionQueue } from "./partition-queue.ts";
import { FRAME_HEAD_BYTES_MAX, produceFrame } from "./produce-frame.ts";

/** A batch of this size is closed and goes, in bytes. */
export const BATCH_BYTES_TARGET = 262_144;

/** Batches from this size on make a frame of their own, which is not copied, in bytes. */
const ALONE_BYTES_MIN = 32_768;

/**
 * So many frames are sent however small they are; beyond that a frame waits until it is worth
 * sending or an answer comes. This is what makes batches grow with the load, without a timer.
 */
const SMALL_FRAMES_IN_FLIGHT_MAX = 2;

/** Worth sending in any case, in bytes. */
const FRAME_BYTES_WORTHWHILE = 65_536;

/**
 * A batch takes records for at most this part of their delivery timeout, so that it ends as one.
 */
const OPEN_PART_MAX = 0.01;

/** Failures after which the records may be stored all the same. */
const UNCERTAIN: ReadonlySet<CodeName> = new Set([
	"UNKNOWN_SERVER_ERROR",
	"REQUEST_TIMED_OUT",
	"KAFKA_STORAGE_ERROR",
]);

/**
 * Why the broker refuses a frame as a whole before it has looked at what is in it. Any other
 * failure of a frame is one of its batches': the others may be stored.
 */
const REFUSED_UNSEEN: ReadonlySet<CodeName> = new Set([
	"MALFORMED_FRAME",
	"INVALID_REQUEST",
	"DUPLICATE_ID",
	"LIMIT_EXCEEDED",
]);

/**
 * An answer is waited for so long at least, or for the whole delivery timeout if that is shorter:
 * to give up a frame that was sent a moment before its deadline would cost the connection.
 */
const ANSWER_MS_MIN = 1_000;

/** A timer is so late only where the program stood still, or its machine did. */
const STALL_MS_MIN = 50;

interface Frame {
	readonly batches: readonly Batch[];
	readonly bytes: number;
	readonly sentMs: number;
}

/**
 * Sends the batches of all producers of a client, each partition's in order and exactly once:
 * numbers them, keeps what is in flight within the broker's bounds, repeats what was not answered,
 * and renews the producer identity when the numbering of a partition cannot go on (see
 * `PartitionQueue`).
 */
export class Sender implements LinkUser {
	readonly #link: Link;
	readonly #directory: TopicDirectory;
	readonly #partitions = new Map<string, PartitionQueue[]>();
	/** Those with batches that are not settled. */
	readonly #active = new Set<PartitionQueue>();
	readonly #frames = new Map<number, Frame>();
	readonly #pool = new BufferPool();
	#connection: Connection | undefined;
	#hello: HelloAnswer | undefined;
	#identity: ProducerIdentity | undefined;
	#inFlightBytes = 0;
	/**
	 * The present identity is used up: number nothing more, resolve what is unresolved, then renew.
	 */
	#renewing = false;
	#pumpScheduled = false;
	/** Before this a quota allows no produce frames. */
	#pumpAfterMs = 0;
	#pumpTimer: ReturnType<typeof setTimeout> | undefined;
	#sweepTimer: ReturnType<typeof setTimeout> | undefined;
	#sweepDueMs = 0;
	/** The last sweep came late, and gave up nothing. */
	#hasStalled = false;
	/** Why nothing will be sent any more. */
	#failure: MillraceError | undefined;

	constructor(link: Link, directory: TopicDirectory) {
		this.#link = link;
		this.#directory = directory;
		link.add(this);
	}

	/**
	 * The batch that the next record of `owner` for this partition goes into. Throws when no
	 * connection will come any more: records may have waited for their topic until then.
	 */
	openBatch(owner: BatchOwner, topic: string, partition: number): Batch {
		const queue = this.#queue(topic, partition);
		const last = queue.batches.at(-1);
		if (last?.open && last.owner === owner) return last;
		if (last !== undefined) {
			last.open = false;
			// Its first record was refused by the codec: nothing of it may be left to send.
			if (last.count === 0) queue.remove(last);
		}
		return this.#newBatch(owner, queue);
	}

	/** A batch is full: it goes now, if the bounds allow. */
	full(batch: Batch): void {
		batch.open = false;
		this.#queue(batch.topic, batch.partition).large = true;
		this.#pump();
	}

	/** Something is to be sent: as soon as the program has run to its next pause. */
	schedule(): void {
		if (this.#pumpScheduled) return;
		this.#pumpScheduled = true;
		queueMicrotask(() => {
			this.#pumpScheduled = false;
			this.#pump();
		});
	}

	/** Fails every batch of a topic that is gone. */
	failTopic(topic: string, error: Error): void {
		for (const queue of this.#partitions.get(topic) ?? []) {
			if (queue === undefined) continue;
			for (const batch of [...queue.batches]) {
				if (!batch.inFlight) this.#giveUp(queue, batch, error);
			}
			this.#drained(queue);
		}
	}

	attached(connection: Connection, hello: HelloAnswer): void {
		this.#connection = connection;
		this.#hello = hello;
		this.#pumpAfterMs = 0;
		const known = this.#identity;
		const { producer } = hello;
		if (known !== undefined && (known.id !== producer.id || known.epoch !== producer.epoch)) {
			// The broker did not take our identity.
			this.#renumberAll("UNKNOWN_PRODUCER_ID");
		}
		this.#identity = producer;
		this.#pump();
	}

	detached(): void {
		this.#connection = undefined;
		this.#frames.clear();
		this.#inFlightBytes = 0;
		for (const queue of this.#active) {
			queue.disconnected();
			this.#drained(queue);
		}
		this.#renewIfResolved();
	}

	failed(error: MillraceError): void {
		this.#failure = error;
		this.#connection = undefined;
		clearTimeout(this.#sweepTimer);
		clearTimeout(this.#pumpTimer);
		for (const queue of this.#active) {
			for (const batch of queue.batches.splice(0)) {
				batch.open = false;
				batch.owner.failed(batch, error);
			}
		}
		this.#active.clear();
	}

	notice(kind: string, { throttle_ms: ms, quota }: DecodedMap): void {
		if (kind !== "throttled" || typeof ms !== "number" || typeof quota !== "string") return;
		// What the broker sends it holds back by itself.
		if (quota.endsWith("consumer_byte_rate")) return;
		this.#pumpAfterMs = Math.max(this.#pumpAfterMs, performance.now() + ms);
		clearTimeout(this.#pumpTimer);
		const waitMs = Math.ceil(this.#pumpAfterMs - performance.now());
		this.#pumpTimer = setTimeout(() => this.#pump(), waitMs + 1);
	}

	produced(id: number, reached: number, results: ProduceResult[]): void {
		const frame = this.#takeFrame(id);
		if (frame === undefined) return;
		for (const [index, batch] of frame.batches.entries()) {
			const result = results[index];
			const queue = this.#queue(batch.topic, batch.partition);
			queue.answered(batch);
			if (result?.code === CODES.NONE.code) this.#stored(queue, batch, result, reached);
			else {
				const code = result?.code ?? CODES.UNKNOWN_SERVER_ERROR.code;
				this.#refused(queue, batch, MillraceError.fromNumber(code));
			}
		}
		this.#settled(frame);
	}

	produceFailed(id: number, error: MillraceError): void {
		const frame = this.#takeFrame(id);
		if (frame === undefined) return;
		for (const batch of frame.batches) {
			const queue = this.#queue(batch.topic, batch.partition);
			queue.answered(batch);
			if (REFUSED_UNSEEN.has(error.code)) this.#refused(queue, batch, error);
			else {
				batch.unresolved = true;
				this.#repeatLater(queue, error);
			}
		}
		this.#settled(frame);
	}

	#queue(topic: string, partition: number): PartitionQueue {
		let queues = this.#partitions.get(topic);
		if (queues === undefined) {
			queues = [];
			this.#partitions.set(topic, queues);
		}
		queues[partition] ??= new PartitionQueue(topic, partition);
		return queues[partition];
	}

	#newBatch(owner: BatchOwner, queue: PartitionQueue): Batch {
		if (this.#failure !== undefined) throw this.#failure;
		const buffer = this.#pool.take(queue.large);
		queue.large = false;
		const batch = new Batch(owner, queue.topic, queue.partition, buffer, performance.now());
		queue.batches.push(batch);
		this.#active.add(queue);
		this.#sweepTimer ??= this.#planSweep();
		return batch;
	}

	#pump(): void {
		const connection = this.#connection;
		const limits = this.#hello?.limits;
		if (connection === undefined || limits === undefined) return;
		if (performance.now() < this.#pumpAfterMs) return;
		const framesMax = Math.max(1, limits.in_flight_requests_max - REQUESTS_UNANSWERED_MAX);
		while (this.#frames.size < framesMax) {
			const batches = this.#collect(limits.produce_entries_max);
			const [first] = batches;
			if (first === undefined) return;
			let bytes = 0;
			for (const batch of batches) bytes += FRAME_HEAD_BYTES_MAX + batch.bodyBytes;
			const inFlight = this.#frames.size;
			if (inFlight > 0 && this.#inFlightBytes + bytes > limits.in_flight_bytes_max) return;
			if (inFlight >= SMALL_FRAMES_IN_FLIGHT_MAX && bytes < FRAME_BYTES_WORTHWHILE) return;
			const id = connection.takeId();
			for (const batch of batches) this.#queue(batch.topic, batch.partition).sent(batch);
			this.#frames.set(id, { batches, bytes, sentMs: performance.now() });
			this.#inFlightBytes += bytes;
			connection.sendFrame(produceFrame(id, first.owner.ack, batches));
		}
	}

	/** What the next frame carries: one large batch, or small ones of many partitions. */
	#collect(entriesMax: number): Batch[] {
		const nowMs = performance.now();
		const batches: Batch[] = [];
		let bytes = 0;
		for (const queue of this.#active) {
			const batch = queue.sendable(nowMs, this.#renewing);
			if (batch === undefined) continue;
			const size = FRAME_HEAD_BYTES_MAX + batch.bodyBytes;
			if (size >= ALONE_BYTES_MIN) {
				if (batches.length === 0) return [batch];
				continue;
			}
			if (batches.length > 0 && batch.owner.ack !== batches[0]?.owner.ack) continue;
			if (bytes + size > BATCH_BYTES_TARGET || batches.length === entriesMax) break;
			batches.push(batch);
			bytes += size;
		}
		return batches;
	}

	#takeFrame(id: number): Frame | undefined {
		const frame = this.#frames.get(id);
		this.#frames.delete(id);
		return frame;
	}

	/** All batches of a frame were dealt with. */
	#settled(frame: Frame): void {
		this.#inFlightBytes -= frame.bytes;
		for (const batch of frame.batches) this.#drained(this.#queue(batch.topic, batch.partition));
		this.#renewIfResolved();
		this.#pump();
	}

	#stored(queue: PartitionQueue, batch: Batch, result: ProduceResult, reached: number): void {
		queue.confirm();
		queue.remove(batch);
		batch.unresolved = false;
		batch.owner.stored(batch, result.baseOffset, result.appendTimeMs, reached);
		this.#pool.release(batch.buffer);
	}

	/** A batch came back: decides whether it is sent again, under which numbers, or given up. */
	#refused(queue: PartitionQueue, batch: Batch, refusal: MillraceError): void {
		const { topic, partition } = batch;
		const { code } = refusal;
		const error = new MillraceError(code, "", { topic, partition, cause: refusal });
		switch (code) {
			case "OUT_OF_ORDER_SEQUENCE_NUMBER":
				queue.refused(refusal);
				// Not stored. Behind a batch that failed this is a consequence; as the first it is a hole.
				batch.unresolved = false;
				if (queue.batches[0] === batch && queue.hole === "none") queue.hole = "dirty";
				return;
			case "UNKNOWN_PRODUCER_ID":
			case "INVALID_PRODUCER_EPOCH":
				queue.refused(refusal);
				// What the broker knew of an earlier attempt is gone: repeating it might store it twice.
				if (batch.mayBeStored) this.#giveUp(queue, batch, error);
				queue.hole = "dirty";
				return;
			case "UNKNOWN_TOPIC_OR_PARTITION":
				this.#directory.refresh(topic).catch((gone: Error) => this.failTopic(topic, gone));
				break;
			case "LIMIT_EXCEEDED":
				break; // too many requests at once: this one was not carried out
			default:
				batch.unresolved ||= UNCERTAIN.has(code);
				if (!error.retriable) {
					queue.refused(refusal);
					this.#giveUp(queue, batch, error);
					return;
				}
		}
		this.#repeatLater(queue, refusal);
	}

	#repeatLater(queue: PartitionQueue, refusal: MillraceError): void {
		queue.refused(refusal);
		const waitMs = queue.delay(performance.now(), refusal.retryAfterMs ?? 0);
		setTimeout(() => this.#pump(), waitMs + 1);
	}

	#giveUp(queue: PartitionQueue, batch: Batch, error: Error): void {
		queue.giveUp(batch);
		batch.owner.failed(batch, error);
	}

	/** If nothing of a partition is in flight, lets it go on, or asks for another identity. */
	#drained(queue: PartitionQueue): void {
		if (queue.inFlight > 0) return;
		if (queue.settle()) this.#renewing = true;
		if (queue.batches.length === 0) this.#active.delete(queue);
	}

	#renewIfResolved(): void {
		if (!this.#renewing || this.#frames.size > 0) return;
		for (const queue of this.#active) if (queue.unresolved) return;
		this.#renumberAll("CONNECTION_LOST");
		this.#identity = undefined;
		this.#link.renewIdentity();
	}

	/**
	 * Begins to number again, under another identity. What may be stored under the present one, now
	 * or when a copy of it arrives late, is given up with `code`: nothing would tell the two apart.
	 */
	#renumberAll(code: CodeName): void {
		for (const queues of this.#partitions.values()) {
			for (const queue of queues) {
				if (queue === undefined) continue;
				const { topic, partition, refusal } = queue;
				const details = { topic, partition, ...(refusal === undefined ? {} : { cause: refusal }) };
				const error = new MillraceError(code, "it may be stored all the same", details);
				for (const batch of [...queue.batches]) {
					if (batch.mayBeStored) this.#giveUp(queue, batch, error);
				}
				queue.renumber();
				this.#drained(queue);
			}
		}
		this.#renewing = false;
	}

	#planSweep(): ReturnType<typeof setTimeout> {
		let timeoutMs = 1_000;
		for (const queue of this.#active) {
			const [oldest] = queue.batches;
			if (oldest === undefined) continue;
			timeoutMs = Math.min(timeoutMs, oldest.owner.deliveryTimeoutMs / 10);
		}
		const delayMs = Math.max(5, timeoutMs);
		this.#sweepDueMs = performance.now() + delayMs;
		return setTimeout(() => this.#sweep(), delayMs);
	}

	/** Gives up what is past its deadline, and closes batches that have been open for long. */
	#sweep(): void {
		const nowMs = performance.now();
		// What came while the program stood still is read first: it may be what is waited for.
		this.#hasStalled = !this.#hasStalled && nowMs - this.#sweepDueMs > STALL_MS_MIN;
		if (this.#hasStalled) {
			this.#sweepTimer = this.#planSweep();
			return;
		}
		for (const { batches } of this.#active) {
			for (const batch of batches) {
				const openMs = nowMs - batch.createdMs;
				if (openMs > batch.owner.deliveryTimeoutMs * OPEN_PART_MAX) batch.open = false;
			}
		}
		// An answer that does not come holds up whatever follows it.
		for (const frame of this.#frames.values()) {
			if (!isOverdue(frame, nowMs)) continue;
			this.#link.drop("a produce frame was not answered in time");
			break;
		}
		for (const queue of this.#active) {
			for (const batch of [...queue.batches]) {
				if (batch.deadlineMs <= nowMs && !batch.inFlight) this.#expire(queue, batch);
			}
			this.#drained(queue);
		}
		this.#renewIfResolved();
		this.#pump();
		this.#sweepTimer = this.#active.size > 0 ? this.#planSweep() : undefined;
	}

	#expire(queue: PartitionQueue, batch: Batch): void {
		const { topic, partition } = batch;
		const what = batch.mayBeStored ? "it was sent and not answered" : "it was not stored";
		const cause = queue.refusal ?? this.#link.lastError;
		const details = { topic, partition, ...(cause === undefined ? {} : { cause }) };
		this.#giveUp(queue, batch, new MillraceError("DELIVERY_TIMEOUT", what, details));
	}
}

/** Whether an answer that a record waits for past its deadline will not come. */
function isOverdue({ batches, sentMs }: Frame, nowMs: number): boolean {
	return batches.some(({ deadlineMs, owner }) => {
		const answerMs = Math.min(ANSWER_MS_MIN, owner.deliveryTimeoutMs);
		return deadlineMs <= nowMs && sentMs + answerMs <= nowMs;
	});
}
