/**
 * Produce: v3-13, offered from v0 on.
 *
 * Behavior:
 * - Each partition's records are exactly one batch of format 2, else INVALID_RECORD.
 * - The broker's internal topics are refused: INVALID_TOPIC_EXCEPTION.
 * - acks 0 is never answered; where something of it fails, the connection is closed, as Kafka does.
 * - acks 1 and all wait for what the topic promises: the flush, or the write on relaxed topics.
 * - Where records of a batch are to blame for its refusal, they are told with what is wrong.
 * - A batch of another codec than its topic's compression.type is encoded anew, elsewhere if that
 *   takes long.
 * - The core takes the batches where they lie in the request: nothing here looks at a record.
 *
 * Version notes:
 * - v0-2: the connection is closed, as Kafka does. They are offered because older librdkafka
 *   switches compression off where they are missing (KAFKA-18659).
 * - v3: batches of format 2 (KIP-98).  v7: zstd (KIP-110).  v8: record errors (KIP-467).
 * - v10: current leader and node endpoints (KIP-951), which one broker never has to tell.
 * - v13: topic ids (KIP-516).
 */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { recordCountOf } from "../../monitoring/topic-traffic.ts";
import { CODES } from "../../protocol/codes.ts";
import { ACK, BODY_FORMAT } from "../../protocol/operations.ts";
import {
	PLAN_APPEND_TIME_MS,
	PLAN_BASE_OFFSET,
	PLAN_BASE_SEQUENCE,
	PLAN_BODY_BYTES,
	PLAN_BODY_START,
	PLAN_CODE,
	PLAN_CODEC,
	PLAN_FORMAT,
	PLAN_PARTITION,
	PLAN_STRIDE,
	PLAN_TOPIC_HANDLE,
} from "../../storage/layout.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { isInternalTopic } from "../../topics/internal-topics.ts";
import { serveApi } from "../api.ts";
import { kafkaCode } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	PRODUCE,
	type ProduceRequest,
	type ProduceResponse,
	type ProduceResponseRecordError,
} from "../generated/00-produce.ts";
import { findAllowedTopic } from "../topics.ts";

const ACKS_ALL = -1;
const ACKS_LEADER = 1;
const ACKS_NONE = 0;

/** What the core takes for "as durable as the topic promises". */
const ACK_OF_TOPIC = -1;

/** Where a batch's header keeps its attributes, whose lowest three bits name the codec. */
const BATCH_MAGIC = 16;
const BATCH_ATTRIBUTES_LOW_BYTE = 22;
const CODEC_BITS = 0b111;
const CODEC_ZSTD = 4;
const ZSTD_VERSION_MIN = 7;

/** One partition of a request, and what became of it. */
interface Entry {
	readonly topic: Topic | undefined;
	readonly partition: number;
	/** In the request's memory; null once the core has taken what it wants of it. */
	records: Uint8Array | null;
	code: number;
	baseOffset: number;
	appendTimeMs: number;
	/** The records for which it is refused. */
	recordErrors: ProduceResponseRecordError[] | undefined;
}

/** What a request has for one topic, under the name or id by which the client calls it. */
interface TopicEntries {
	readonly name: string;
	readonly topicId: string;
	readonly entries: readonly Entry[];
}

export const produceApi = serveApi(PRODUCE, produce);

/**
 * Nothing that is made here for the time of waiting may know the request: its records are views of
 * memory that is held, and counted, until this returns.
 */
function produce(
	request: ProduceRequest,
	exchange: Exchange,
): ProduceResponse | null | Promise<ProduceResponse | null> {
	const topics = admitAll(request, exchange);
	const entries = topics.flatMap((topic) => topic.entries);
	const waits = appendAll(entries, request.acks, exchange);
	for (const entry of entries) entry.records = null;
	if (waits.length === 0) return answer(topics, request.acks, exchange);
	return answerAfter(waits, topics, request.acks, exchange);
}

async function answerAfter(
	waits: Promise<void>[],
	topics: readonly TopicEntries[],
	acks: number,
	exchange: Exchange,
): Promise<ProduceResponse | null> {
	await Promise.all(waits);
	return answer(topics, acks, exchange);
}

function answer(
	topics: readonly TopicEntries[],
	acks: number,
	exchange: Exchange,
): ProduceResponse | null {
	if (acks === ACKS_NONE) {
		for (const { entries } of topics) refuseSilently(entries);
		return null;
	}
	return {
		responses: topics.map(({ name, topicId, entries }) => ({
			name,
			topicId,
			partitionResponses: entries.map((entry) => respond(entry, exchange)),
		})),
	};
}

function admitAll(request: ProduceRequest, exchange: Exchange): TopicEntries[] {
	return request.topicData.map((data) => {
		const found = findAllowedTopic(exchange, data);
		return {
			name: data.name,
			topicId: data.topicId,
			entries: data.partitionData.map(({ index, records }) =>
				admit(found, index, records, request, exchange),
			),
		};
	});
}

/** The entry of one partition, refused already where that can be told without its batch. */
function admit(
	found: Topic | number,
	partition: number,
	records: Uint8Array | null,
	request: ProduceRequest,
	exchange: Exchange,
): Entry {
	const topic = typeof found === "number" ? undefined : found;
	const code =
		typeof found === "number" ? found : refusal(found, partition, records, request, exchange);
	return {
		topic,
		partition,
		records,
		code,
		baseOffset: -1,
		appendTimeMs: -1,
		recordErrors: undefined,
	};
}

function refusal(
	topic: Topic,
	partition: number,
	records: Uint8Array | null,
	{ acks, transactionalId }: ProduceRequest,
	{ apiVersion }: Exchange,
): number {
	if (acks !== ACKS_ALL && acks !== ACKS_LEADER && acks !== ACKS_NONE) {
		return CODES.INVALID_REQUIRED_ACKS.code;
	}
	if (isInternalTopic(topic.name)) return CODES.INVALID_TOPIC_EXCEPTION.code;
	// Not retriable: there is no transaction coordinator to wait for.
	if (transactionalId !== null) return CODES.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.code;
	if (partition < 0 || partition >= topic.partitions) return CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
	if (records === null || records.length === 0) return CODES.INVALID_RECORD.code;
	const codec = (records[BATCH_ATTRIBUTES_LOW_BYTE] ?? 0) & CODEC_BITS;
	// In what is no batch of format 2 something else lies there, which the core refuses.
	const isZstd = records[BATCH_MAGIC] === 2 && codec === CODEC_ZSTD;
	if (isZstd && apiVersion < ZSTD_VERSION_MIN) {
		return CODES.UNSUPPORTED_COMPRESSION_TYPE.code;
	}
	return CODES.NONE.code;
}

/** The durability to ask the core for. */
function ackOf(topic: Topic, acks: number): number {
	if (acks === ACKS_NONE) return ACK.none;
	if (acks === ACKS_ALL) return ACK_OF_TOPIC;
	return topic.logConfig.flushMessages === 1 ? ACK.flushed : ACK.written;
}

/** Appends what was not refused; resolves what has to wait for another thread or the disk. */
function appendAll(entries: readonly Entry[], acks: number, exchange: Exchange): Promise<void>[] {
	const waits: Promise<void>[] = [];
	let run: Entry[] = [];
	let runAck = 0;
	const appendRun = () => {
		if (run.length === 0) return;
		const wait = append(run, runAck, exchange);
		if (wait !== undefined) waits.push(wait);
		run = [];
	};
	for (const entry of entries) {
		if (entry.topic === undefined || entry.code !== CODES.NONE.code) continue;
		const ack = ackOf(entry.topic, acks);
		if (ack !== runAck || run.length === LIMITS.produceEntriesMax) appendRun();
		runAck = ack;
		run.push(entry);
	}
	appendRun();
	return waits;
}

/** Appends entries in one crossing; resolves when they are as durable as was asked. */
function append(
	entries: readonly Entry[],
	ack: number,
	exchange: Exchange,
): Promise<void> | undefined {
	const { frame } = exchange;
	const { storage, traffic } = exchange.host;
	const { plan } = storage;
	for (const [index, entry] of entries.entries()) {
		const row = index * PLAN_STRIDE;
		const records = entry.records as Uint8Array;
		plan[row + PLAN_TOPIC_HANDLE] = (entry.topic as Topic).handle;
		plan[row + PLAN_PARTITION] = entry.partition;
		plan[row + PLAN_BASE_SEQUENCE] = -1;
		plan[row + PLAN_FORMAT] = BODY_FORMAT.batch;
		plan[row + PLAN_CODEC] = 0;
		plan[row + PLAN_BODY_START] = records.byteOffset - frame.byteOffset;
		plan[row + PLAN_BODY_BYTES] = records.length;
		plan[row + PLAN_CODE] = CODES.NONE.code;
		plan[row + PLAN_BASE_OFFSET] = -1;
		plan[row + PLAN_APPEND_TIME_MS] = -1;
	}
	const { connectionId } = exchange.origin;
	const token = storage.append(frame, entries.length, ack, null, -1, connectionId);
	const isElsewhere = storage.isElsewhere;
	if (!isElsewhere) take(entries, storage);
	for (const { topic, records, code } of entries) {
		if (topic === undefined || records === null || code !== CODES.NONE.code) continue;
		traffic.received(topic.handle, recordCountOf(records), records.length);
	}
	if (token === 0) return undefined;
	return new Promise((resolve) => {
		storage.onToken(token, (code) => {
			if (isElsewhere) {
				storage.takeAppended(token);
				take(entries, storage);
			}
			for (const entry of entries) if (entry.code === CODES.NONE.code) entry.code = code;
			resolve();
		});
	});
}

/** Notes what became of the entries, before the plan is used again. */
function take(entries: readonly Entry[], storage: Storage): void {
	const { plan } = storage;
	let hasRefusedRecords = false;
	for (const [index, entry] of entries.entries()) {
		const row = index * PLAN_STRIDE;
		entry.code = plan[row + PLAN_CODE] as number;
		entry.baseOffset = plan[row + PLAN_BASE_OFFSET] as number;
		entry.appendTimeMs = plan[row + PLAN_APPEND_TIME_MS] as number;
		hasRefusedRecords ||=
			entry.code === CODES.INVALID_RECORD.code || entry.code === CODES.INVALID_TIMESTAMP.code;
	}
	if (!hasRefusedRecords) return;
	for (const { entry, index, message } of storage.refusedRecords()) {
		const { recordErrors = [] } = entries[entry] as Entry;
		recordErrors.push({ batchIndex: index, batchIndexErrorMessage: message });
		(entries[entry] as Entry).recordErrors = recordErrors;
	}
}

function respond(entry: Entry, { host }: Exchange) {
	const { topic, partition, code } = entry;
	if (topic === undefined || code !== CODES.NONE.code) {
		return {
			index: partition,
			errorCode: kafkaCode(code),
			baseOffset: -1,
			recordErrors: entry.recordErrors,
			errorMessage: code === CODES.NONE.code ? null : MillraceError.fromNumber(code).message,
		};
	}
	const isBrokersTime = topic.logConfig.timestampType === "LogAppendTime";
	return {
		index: partition,
		errorCode: CODES.NONE.code,
		baseOffset: entry.baseOffset,
		// Clients take it for the time of their records: it is told only where it is that.
		logAppendTimeMs: isBrokersTime ? entry.appendTimeMs : -1,
		logStartOffset: logStartOf(topic, partition, host.storage),
	};
}

/** -1 where the topic was deleted since: what was appended is acknowledged all the same. */
function logStartOf({ handle }: Topic, partition: number, storage: Storage): number {
	try {
		return storage.offsets(handle, partition).logStart;
	} catch (error) {
		if (error instanceof MillraceError) return -1;
		throw error;
	}
}

/** A client that wants no answers learns of a failure by losing its connection, as with Kafka. */
function refuseSilently(entries: readonly Entry[]): void {
	const failed = entries.find(({ code }) => code !== CODES.NONE.code);
	if (failed !== undefined) throw MillraceError.fromNumber(failed.code);
}
