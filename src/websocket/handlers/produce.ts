/**
 * 3 produce: `[3, id, ack, [[topic, partition, base_sequence, format, body], ...]]`
 * -> `[129, id, reached, [[code, partition, base_offset, append_time_ms], ...]]`.
 *
 * The core takes the frame apart and stores it; here it is only decided where each entry may go.
 * Entries and results are rows of the core's plan: nothing here looks at a record.
 */

import { mayUseTopic } from "../../calls/access.ts";
import { auditRefusal } from "../../calls/audited.ts";
import type { Caller } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { recordCountOf } from "../../monitoring/topic-traffic.ts";
import { CODES } from "../../protocol/codes.ts";
import {
	ACK,
	BODY_FORMAT,
	OPERATION,
	PARTITION_BY_KEY,
	SEQUENCE_NONE,
} from "../../protocol/operations.ts";
import {
	PLAN_APPEND_TIME_MS,
	PLAN_BASE_OFFSET,
	PLAN_BASE_SEQUENCE,
	PLAN_BODY_BYTES,
	PLAN_BODY_START,
	PLAN_CODE,
	PLAN_FORMAT,
	PLAN_PARTITION,
	PLAN_RECORD_COUNT,
	PLAN_RESULT_PARTITION,
	PLAN_SPREAD,
	PLAN_STRIDE,
	PLAN_TOPIC_ALIAS,
	PLAN_TOPIC_BYTES,
	PLAN_TOPIC_HANDLE,
	PLAN_TOPIC_START,
	SPREAD_STRIDE,
} from "../../storage/layout.ts";
import { SPREAD_ROWS_MAX, type Storage, type TopicHandle } from "../../storage/storage.ts";
import { isInternalTopic } from "../../topics/internal-topics.ts";
import type { LiveTopic } from "../../topics/live-topics.ts";
import { isTopicName } from "../../topics/names.ts";
import type { Session } from "../session.ts";
import type { SessionHost } from "../session-host.ts";

/**
 * Answers now, or when the core says that the records are as durable as was asked; `isLate`: not
 * before the client has waited as it was told to.
 */
export function produce(
	session: Session,
	id: number,
	frame: Uint8Array,
	startedMs: number,
	isLate: boolean,
): void {
	const { storage } = session.host;
	const { ack, entryCount } = storage.decodeProduce(frame);
	if (entryCount === 0)
		throw new MillraceError("INVALID_REQUEST", "a produce frame without entries");
	const { plan } = storage;
	let partsLeft = SPREAD_ROWS_MAX;
	for (let row = 0; row < entryCount * PLAN_STRIDE; row += PLAN_STRIDE) {
		const topic = topicOf(session, plan, row, frame);
		plan[row + PLAN_CODE] = admit(session, topic, plan, row);
		if (plan[row + PLAN_CODE] !== CODES.NONE.code) continue;
		partsLeft -= partsMost(topic as LiveTopic, plan, row);
		if (partsLeft < 0) plan[row + PLAN_CODE] = CODES.LIMIT_EXCEEDED.code;
	}
	const { producer, id: connectionId } = session;
	const token = storage.append(frame, entryCount, ack, producer.id, producer.epoch, connectionId);
	countRecords(session, frame, entryCount);
	if (ack === ACK.none) {
		session.count(OPERATION.produce, startedMs);
		if (token !== 0 && storage.isElsewhere) holdUnanswered(session, token, frame.length);
		else if (isLate) holdThrottled(session, null, frame.length, () => undefined);
		return;
	}
	if (token === 0) {
		session.count(OPERATION.produce, startedMs);
		const answer = writeAnswer(session, id, entryCount);
		if (isLate) holdThrottled(session, id, frame.length, sending(session, answer.slice()));
		else session.send(answer);
		return;
	}
	// The plan is used again by the next frame, so the answer is made now and kept, unless another
	// thread still has to fill the plan in.
	const { isElsewhere } = storage;
	const kept = isElsewhere ? null : writeAnswer(session, id, entryCount).slice();
	const bytes = frame.length;
	session.await(id, bytes);
	storage.onToken(token, (code) => {
		const isWaitedFor = session.settle(id, bytes);
		session.guard(() => {
			if (isElsewhere) storage.takeAppended(token);
			const error = code === CODES.NONE.code ? undefined : MillraceError.fromNumber(code);
			session.count(OPERATION.produce, startedMs, error);
			if (!isWaitedFor) return;
			if (error !== undefined) session.fail(id, error);
			else if (isLate) {
				const answer = kept ?? writeAnswer(session, id, entryCount).slice();
				holdThrottled(session, id, bytes, sending(session, answer));
			} else session.send(kept ?? writeAnswer(session, id, entryCount));
		});
	});
}

/** Counts the records of entries that are not refused by now, while the frame is there. */
export function countRecords(
	{ host }: { readonly host: Pick<SessionHost, "traffic"> & { storage: Pick<Storage, "plan"> } },
	frame: Uint8Array,
	entryCount: number,
): void {
	const { plan } = host.storage;
	for (let row = 0; row < entryCount * PLAN_STRIDE; row += PLAN_STRIDE) {
		if (plan[row + PLAN_CODE] !== CODES.NONE.code) continue;
		const isBatch = plan[row + PLAN_FORMAT] === BODY_FORMAT.batch;
		const records = isBatch
			? recordCountOf(frame, plan[row + PLAN_BODY_START])
			: (plan[row + PLAN_RECORD_COUNT] as number);
		const topic = plan[row + PLAN_TOPIC_HANDLE] as TopicHandle;
		host.traffic.received(topic, records, plan[row + PLAN_BODY_BYTES] as number);
	}
}

const sending = (session: Session, answer: Uint8Array) => () => session.send(answer);

/** Counts a frame as in flight until the client has waited as it was told to, then does `work`. */
function holdThrottled(session: Session, id: number | null, bytes: number, work: () => void): void {
	session.await(id, bytes);
	session.whenNotThrottled(() => {
		if (session.settle(id, bytes)) work();
	});
}

/** Counts a frame that nobody waits for, but another thread still works on, as in flight. */
function holdUnanswered(session: Session, token: number, bytes: number): void {
	const { storage } = session.host;
	session.await(null, bytes);
	storage.onToken(token, () => {
		session.settle(null, bytes);
		session.guard(() => storage.takeAppended(token));
	});
}

/** The topic of an entry; where there is none, the row gets the code that says why. */
function topicOf(
	session: Session,
	plan: Float64Array,
	row: number,
	frame: Uint8Array,
): LiveTopic | undefined {
	const alias = plan[row + PLAN_TOPIC_ALIAS] as number;
	if (alias < 0) return findByName(session, plan, row, frame);
	const topic = session.aliases.get(alias);
	if (topic === undefined) plan[row + PLAN_CODE] = CODES.UNKNOWN_ALIAS.code;
	return topic;
}

/** Puts the topic's handle into the entry's row, or returns the code that refuses the entry. */
export function admit(
	caller: Caller,
	topic: LiveTopic | undefined,
	plan: Float64Array,
	row: number,
): number {
	// What the answer says of an entry that fails; the core puts the true one where it stores.
	plan[row + PLAN_RESULT_PARTITION] = plan[row + PLAN_PARTITION] as number;
	if (topic === undefined) return plan[row + PLAN_CODE] as number;
	if (topic.isDeleted) return CODES.TOPIC_DELETED.code;
	const { handle, name, partitions } = topic.current;
	if (!mayUseTopic(caller, OPERATION.produce, name)) {
		return CODES.TOPIC_AUTHORIZATION_FAILED.code;
	}
	if (isInternalTopic(name)) return CODES.INVALID_TOPIC_EXCEPTION.code;
	const partition = plan[row + PLAN_PARTITION] as number;
	if (partition === PARTITION_BY_KEY) {
		if (plan[row + PLAN_BASE_SEQUENCE] !== SEQUENCE_NONE) return CODES.INVALID_REQUEST.code;
	} else if (partition < 0 || partition >= partitions) {
		return CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
	}
	plan[row + PLAN_TOPIC_HANDLE] = handle;
	return CODES.NONE.code;
}

/** Over how many partitions the entry may spread: so many rows its answer may take. */
function partsMost({ current }: LiveTopic, plan: Float64Array, row: number): number {
	if (plan[row + PLAN_PARTITION] !== PARTITION_BY_KEY) return 0;
	return Math.min(current.partitions, plan[row + PLAN_RECORD_COUNT] as number);
}

function findByName(
	session: Session,
	plan: Float64Array,
	row: number,
	frame: Uint8Array,
): LiveTopic | undefined {
	const bytes = plan[row + PLAN_TOPIC_BYTES] as number;
	if (bytes > LIMITS.topicNameCharactersMax) {
		plan[row + PLAN_CODE] = CODES.INVALID_TOPIC_EXCEPTION.code;
		return undefined;
	}
	const start = frame.byteOffset + (plan[row + PLAN_TOPIC_START] as number);
	// Names are ASCII; anything else finds nothing.
	const name = Buffer.from(frame.buffer, start, bytes).toString("latin1");
	const topic = session.host.topics.find(name);
	if (topic === undefined) plan[row + PLAN_CODE] = missing(session, name);
	return topic;
}

/** The code for a topic that is not there; who may not write to it is not told so. */
function missing(session: Session, name: string): number {
	const { INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION } = CODES;
	if (!isTopicName(name)) return INVALID_TOPIC_EXCEPTION.code;
	const isAllowed = mayUseTopic(session, OPERATION.produce, name);
	return (isAllowed ? UNKNOWN_TOPIC_OR_PARTITION : TOPIC_AUTHORIZATION_FAILED).code;
}

function writeAnswer(session: Session, id: number, entryCount: number): Uint8Array {
	const { requests, storage, writer } = session.host;
	const { plan, spread } = storage;
	writer.reset().array(4).integer(OPERATION.produced).integer(id).integer(storage.reached);
	writer.array(entryCount);
	let spreadRow = 0;
	for (let row = 0; row < entryCount * PLAN_STRIDE; row += PLAN_STRIDE) {
		const spreadCount = plan[row + PLAN_SPREAD] as number;
		const code = plan[row + PLAN_CODE] as number;
		if (code !== CODES.NONE.code) {
			requests.failed(OPERATION.produce, code);
			auditRefusal(session, OPERATION.produce, code);
		}
		writer.array(spreadCount > 0 ? 5 : 4).integer(code);
		writer.integer(plan[row + PLAN_RESULT_PARTITION] as number);
		writer.integer(plan[row + PLAN_BASE_OFFSET] as number);
		writer.integer(plan[row + PLAN_APPEND_TIME_MS] as number);
		if (spreadCount === 0) continue;
		writer.array(spreadCount);
		for (let left = spreadCount; left > 0; left--, spreadRow += SPREAD_STRIDE) {
			writer.array(SPREAD_STRIDE - 1);
			for (let column = 1; column < SPREAD_STRIDE; column++) {
				writer.integer(spread[spreadRow + column] as number);
			}
		}
	}
	return writer.finish();
}
