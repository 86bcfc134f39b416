/**
 * OffsetForLeaderEpoch: v2-4.
 *
 * Behavior (KIP-101, KIP-320):
 * - Answers the largest epoch at or below the one asked for, and the offset where it ended; for the
 *   present one that is the high watermark. -1 and -1 where no epoch is so old.
 * - A consumer learns so that the tail which it read was cut off: every unclean start begins an
 *   epoch.
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { serveApi } from "../api.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import { checkLeaderEpoch } from "../fetch-run.ts";
import {
	OFFSET_FOR_LEADER_EPOCH,
	type OffsetForLeaderEpochRequest,
	type OffsetForLeaderEpochResponse,
} from "../generated/23-offset-for-leader-epoch.ts";
import { findAllowedTopic, findTopic } from "../topics.ts";

type RequestPartition = OffsetForLeaderEpochRequest["topics"][number]["partitions"][number];
type ResponsePartition = OffsetForLeaderEpochResponse["topics"][number]["partitions"][number];

export const offsetForLeaderEpochApi = serveApi(OFFSET_FOR_LEADER_EPOCH, offsetForLeaderEpoch);

async function offsetForLeaderEpoch(
	{ topics }: OffsetForLeaderEpochRequest,
	exchange: Exchange,
): Promise<OffsetForLeaderEpochResponse> {
	const isBroker = exchange.allows("cluster", CLUSTER_NAME);
	const answers = topics.map(async ({ topic, partitions }) => {
		const found = isBroker
			? findTopic(exchange.host.catalogue, { name: topic })
			: findAllowedTopic(exchange, { name: topic });
		return {
			topic,
			partitions: await Promise.all(
				partitions.map((partition) => answerPartition(found, partition, exchange)),
			),
		};
	});
	return { topics: await Promise.all(answers) };
}

async function answerPartition(
	found: Topic | number,
	{ partition, currentLeaderEpoch, leaderEpoch }: RequestPartition,
	{ host: { storage } }: Exchange,
): Promise<ResponsePartition> {
	if (typeof found === "number") return { partition, errorCode: found };
	try {
		const current = storage.offsets(found.handle, partition).leaderEpoch;
		const errorCode = checkLeaderEpoch(currentLeaderEpoch, current);
		if (errorCode !== CODES.NONE.code) return { partition, errorCode };
		const end = await storage.endOfLeaderEpoch(found.handle, partition, leaderEpoch);
		return { partition, errorCode, ...end };
	} catch (error) {
		return { partition, errorCode: kafkaFailure(error).errorCode };
	}
}
