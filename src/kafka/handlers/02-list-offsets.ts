/**
 * ListOffsets: v1-11.
 *
 * Behavior:
 * - "Latest" is the high watermark; there are no transactions, so isolation changes nothing.
 * - A time before every record answers the first record, one behind every record -1.
 * - A partition that a topic names twice is answered once, with INVALID_REQUEST.
 * - A time of the future API (below the ones known) is UNSUPPORTED_VERSION for that partition, and
 *   so is a special time that came with a later version than the request's.
 *
 * Version notes:
 * - v2: isolation level.  v4: leader epochs (KIP-320).  v7: max timestamp, -3 (KIP-734).
 * - v8: earliest local, -4 (KIP-405): everything is local.  v9: latest tiered, -5 (KIP-1005):
 *   nothing is.
 * - v10: timeout.  v11: earliest pending upload, -6 (KIP-1023): nothing is uploaded.
 */
import { CODES } from "../../protocol/codes.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { serveApi } from "../api.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import { checkLeaderEpoch } from "../fetch-run.ts";
import {
	LIST_OFFSETS,
	type ListOffsetsRequest,
	type ListOffsetsResponse,
} from "../generated/02-list-offsets.ts";
import { repeatedIn } from "../requests.ts";
import { findAllowedTopic } from "../topics.ts";

const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;
const EARLIEST_LOCAL = -4;
const LATEST_TIERED = -5;
const EARLIEST_PENDING_UPLOAD = -6;

const INVALID_REQUEST = CODES.INVALID_REQUEST.code;

/** From here on answers carry leader epochs. */
const LEADER_EPOCH_VERSION = 4;

/** The versions that special times came with; times that are not here are unknown. */
const SINCE_VERSION: ReadonlyMap<number, number> = new Map([
	[LATEST, 1],
	[EARLIEST, 1],
	[MAX_TIMESTAMP, 7],
	[EARLIEST_LOCAL, 8],
	[LATEST_TIERED, 9],
	[EARLIEST_PENDING_UPLOAD, 11],
]);

type RequestPartition = ListOffsetsRequest["topics"][number]["partitions"][number];
type ResponsePartition = ListOffsetsResponse["topics"][number]["partitions"][number];

export const listOffsetsApi = serveApi(LIST_OFFSETS, listOffsets);

async function listOffsets(
	{ topics }: ListOffsetsRequest,
	exchange: Exchange,
): Promise<ListOffsetsResponse> {
	const answers = topics.map(async ({ name, partitions }) => {
		const found = findAllowedTopic(exchange, { name });
		const repeated = repeatedIn(partitions.map(({ partitionIndex }) => partitionIndex));
		const once = partitions.filter(({ partitionIndex }) => !repeated.has(partitionIndex));
		return {
			name,
			partitions: await Promise.all([
				...once.map((partition) => answerPartition(found, partition, exchange)),
				...[...repeated].map((partitionIndex) => ({ partitionIndex, errorCode: INVALID_REQUEST })),
			]),
		};
	});
	return { topics: await Promise.all(answers) };
}

async function answerPartition(
	found: Topic | number,
	request: RequestPartition,
	exchange: Exchange,
): Promise<ResponsePartition> {
	const { partitionIndex } = request;
	if (typeof found === "number") return { partitionIndex, errorCode: found };
	try {
		const { leaderEpoch, ...answer } = await lookUp(found, request, exchange);
		if (exchange.apiVersion < LEADER_EPOCH_VERSION) return { partitionIndex, ...answer };
		return { partitionIndex, leaderEpoch, ...answer };
	} catch (error) {
		return { partitionIndex, errorCode: kafkaFailure(error).errorCode };
	}
}

/** Rejects with UNKNOWN_TOPIC_OR_PARTITION and with what reading fails with. */
async function lookUp(
	{ handle }: Topic,
	{ partitionIndex, currentLeaderEpoch, timestamp }: RequestPartition,
	{ apiVersion, host: { storage } }: Exchange,
): Promise<Omit<ResponsePartition, "partitionIndex">> {
	const { logStart, highWatermark, leaderEpoch } = storage.offsets(handle, partitionIndex);
	const errorCode = checkLeaderEpoch(currentLeaderEpoch, leaderEpoch);
	if (errorCode !== CODES.NONE.code) return { errorCode };
	if (timestamp < 0 && apiVersion < (SINCE_VERSION.get(timestamp) ?? Number.POSITIVE_INFINITY)) {
		return { errorCode: CODES.UNSUPPORTED_VERSION.code };
	}
	switch (timestamp) {
		case LATEST:
			return { errorCode, offset: highWatermark, leaderEpoch };
		case EARLIEST:
		case EARLIEST_LOCAL:
			return { errorCode, offset: logStart, leaderEpoch };
		case LATEST_TIERED:
		case EARLIEST_PENDING_UPLOAD:
			return { errorCode };
	}
	const found =
		timestamp === MAX_TIMESTAMP
			? await storage.offsetOfMaxTimestamp(handle, partitionIndex)
			: await storage.offsetForTimestamp(handle, partitionIndex, timestamp);
	if (found === null) return { errorCode };
	return {
		errorCode,
		offset: found.offset,
		timestamp: found.timestampMs,
		leaderEpoch: found.leaderEpoch,
	};
}
