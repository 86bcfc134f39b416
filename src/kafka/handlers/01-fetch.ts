/**
 * Fetch: v4-18.
 *
 * Behavior:
 * - Answers are views of mapped memory up to the high watermark, whole batches only: the first may
 *   begin before the offset asked for, and the first of an answer may be larger than asked
 *   (KIP-74).
 * - Waits until there are min_bytes (never more than max_bytes), a partition cannot be read, or
 *   max_wait is over. A wait ends with an append by any thread over either protocol, and with the
 *   deletion of a topic. What is not there from the beginning does not end it, unless that is all.
 * - A client that is over its quota gets the records all the same, and waits afterwards; Kafka has
 *   it ask again for them, which never ends where one batch is more than the quota allows at once.
 * - There are no transactions: the last stable offset is the high watermark, and read_committed
 *   gets an empty list of aborted ones.
 *
 * Version notes:
 * - v4: isolation level.  v5: log start offset.  v7: sessions (KIP-227).  v9: leader epoch
 *   (KIP-320).
 * - v11: rack and preferred read replica (KIP-392), always -1.  v12: flexible; last fetched epoch,
 *   which only followers send.  v13: topic ids (KIP-516).  v15, v17, v18: fields of followers.
 * - v16: node endpoints (KIP-951), which one broker never has to tell.
 */
import { asMillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { kafkaCode } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import { type FetchPartition, type FetchRead, FetchRun } from "../fetch-run.ts";
import type { FetchContext, FetchTarget } from "../fetch-sessions.ts";
import { FETCH, type FetchRequest, type FetchResponse } from "../generated/01-fetch.ts";
import { Turns } from "../turns.ts";

/** From here on topics are named by id. */
const TOPIC_ID_VERSION = 13;
const READ_COMMITTED = 1;

export const fetchApi = serveApi(FETCH, fetch);

async function fetch(request: FetchRequest, exchange: Exchange): Promise<FetchResponse> {
	const usesTopicIds = exchange.apiVersion >= TOPIC_ID_VERSION;
	const { progress } = exchange.origin;
	progress.asked();
	let context: FetchContext;
	try {
		context = exchange.host.fetchSessions.open({
			sessionId: request.sessionId,
			sessionEpoch: request.sessionEpoch,
			usesTopicIds,
			targets: targetsOf(request, usesTopicIds),
			forgotten: forgottenOf(request, usesTopicIds),
		});
	} catch (error) {
		return { errorCode: asMillraceError(error).number, responses: [] };
	}
	const turns = new Turns(exchange.host.clock);
	const partitions: FetchPartition[] = [];
	for (const target of context.targets) {
		partitions.push(findPartition(target, usesTopicIds, exchange));
		if (turns.isDue) await turns.pause();
	}
	const { quota } = exchange;
	const quotaBytesMax = quota === null ? LIMITS.kafkaFetchBytesMax : quota.amountMax("fetch");
	const reads = await new FetchRun(exchange, partitions, {
		bytesMin: request.minBytes,
		bytesMax: Math.min(request.maxBytes, LIMITS.kafkaFetchBytesMax, quotaBytesMax),
		waitMsMax: request.maxWaitMs,
	}).run();
	const { catalogue, traffic, clock } = exchange.host;
	if (quota !== null) quota.charge("fetch", bytesOf(reads));
	let lagRecords = 0;
	for (const [index, { bytes, recordCount, highWatermark }] of reads.entries()) {
		const topic = partitions[index]?.topic;
		const offset = partitions[index]?.target.offset ?? highWatermark;
		lagRecords += Math.max(0, highWatermark - offset - recordCount);
		// A topic that was deleted since it was read is not counted any more.
		if (bytes === 0 || topic === undefined || catalogue.byId(topic.topicId) === undefined) continue;
		traffic.sent(topic.handle, recordCount, bytes);
	}
	progress.answered(clock.monotonicMs(), lagRecords);
	return {
		sessionId: context.sessionId,
		responses: await respond(context, reads, request, turns, usesTopicIds),
	};
}

function bytesOf(reads: readonly FetchRead[]): number {
	return reads.reduce((sum, { bytes }) => sum + bytes, 0);
}

function targetsOf({ topics }: FetchRequest, usesTopicIds: boolean): FetchTarget[] {
	return topics.flatMap((topic) =>
		topic.partitions.map((partition) => ({
			topic: usesTopicIds ? topic.topicId : topic.topic,
			partition: partition.partition,
			offset: partition.fetchOffset,
			bytesMax: partition.partitionMaxBytes,
			leaderEpoch: partition.currentLeaderEpoch,
		})),
	);
}

function forgottenOf({ forgottenTopicsData }: FetchRequest, usesTopicIds: boolean) {
	return forgottenTopicsData.flatMap((topic) =>
		topic.partitions.map((partition) => ({
			topic: usesTopicIds ? topic.topicId : topic.topic,
			partition,
		})),
	);
}

function findPartition(
	target: FetchTarget,
	usesTopicIds: boolean,
	exchange: Exchange,
): FetchPartition {
	const { catalogue } = exchange.host;
	const topic = usesTopicIds ? catalogue.byId(target.topic) : catalogue.get(target.topic);
	if (topic === undefined && usesTopicIds) {
		return { target, topic, code: CODES.UNKNOWN_TOPIC_ID.code };
	}
	if (!exchange.allows("topic", topic?.name ?? target.topic)) {
		return { target, topic: undefined, code: CODES.TOPIC_AUTHORIZATION_FAILED.code };
	}
	const { code } = topic === undefined ? CODES.UNKNOWN_TOPIC_OR_PARTITION : CODES.NONE;
	return { target, topic, code };
}

/** What the client is told, with the partitions of a topic together where they stand together. */
async function respond(
	context: FetchContext,
	reads: readonly FetchRead[],
	{ isolationLevel }: FetchRequest,
	turns: Turns,
	usesTopicIds: boolean,
): Promise<FetchResponse["responses"]> {
	const abortedTransactions = isolationLevel === READ_COMMITTED ? [] : null;
	const responses: {
		topic: string;
		topicId?: string;
		partitions: FetchResponse["responses"][number]["partitions"][number][];
	}[] = [];
	let named: string | undefined;
	for (const [index, target] of context.targets.entries()) {
		const read = reads[index] as FetchRead;
		if (turns.isDue) await turns.pause();
		if (!context.tells(index, read)) continue;
		if (named !== target.topic) {
			named = target.topic;
			const topic = usesTopicIds ? { topic: "", topicId: target.topic } : { topic: target.topic };
			responses.push({ ...topic, partitions: [] });
		}
		responses.at(-1)?.partitions.push({
			partitionIndex: target.partition,
			errorCode: kafkaCode(read.code),
			highWatermark: read.highWatermark,
			lastStableOffset: read.highWatermark,
			logStartOffset: read.logStart,
			abortedTransactions,
			records: read.records,
		});
	}
	return responses;
}
