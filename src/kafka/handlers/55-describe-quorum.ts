/**
 * DescribeQuorum: v0-2 (KIP-595).
 *
 * Behavior:
 * - The metadata have no log here and no quorum: the broker keeps them alone. They are told of as
 *   Kafka's metadata log would be with one voter: it is the leader, and every change made counts as
 *   one offset.
 * - Anything but partition 0 of `__cluster_metadata` is UNKNOWN_TOPIC_OR_PARTITION, and with it the
 *   whole request.
 *
 * Version notes:
 * - v1: times of fetches (KIP-836).  v2: directories and endpoints of controllers (KIP-853), which
 *   there are none of.
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { METADATA_TOPIC } from "../../topics/names.ts";
import { serveApi } from "../api.ts";
import { failed } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_QUORUM,
	type DescribeQuorumRequest,
	type DescribeQuorumResponse,
} from "../generated/55-describe-quorum.ts";
import { NIL_UUID } from "../wire/uuid.ts";

type ResponsePartition = DescribeQuorumResponse["topics"][number]["partitions"][number];

/** Where there is no error the message is empty, as in Kafka. */
const DONE = { errorCode: CODES.NONE.code, errorMessage: "" };

/** From here on answers name the nodes that vote. */
const NODES_VERSION = 2;

/** Nobody else has ever led. */
const LEADER_EPOCH = 1;

export const describeQuorumApi = serveApi(DESCRIBE_QUORUM, describeQuorum);

function describeQuorum(
	{ topics }: DescribeQuorumRequest,
	exchange: Exchange,
): DescribeQuorumResponse {
	if (!exchange.allows("cluster", CLUSTER_NAME)) {
		return { ...failed("CLUSTER_AUTHORIZATION_FAILED"), topics: [], nodes: [] };
	}
	if (topics.length === 0) return { ...DONE, topics: [], nodes: [] };
	const isAboutMetadata =
		topics.length === 1 &&
		topics.every(
			({ topicName, partitions }) =>
				topicName === METADATA_TOPIC &&
				partitions.length === 1 &&
				partitions.every(({ partitionIndex }) => partitionIndex === 0),
		);
	return {
		...DONE,
		topics: topics.map(({ topicName, partitions }) => ({
			topicName,
			partitions: partitions.map(({ partitionIndex }) =>
				isAboutMetadata ? metadataPartition(exchange) : unknownPartition(partitionIndex),
			),
		})),
		nodes:
			isAboutMetadata && exchange.apiVersion >= NODES_VERSION
				? [{ nodeId: exchange.host.brokerId, listeners: [] }]
				: [],
	};
}

function metadataPartition({ host }: Exchange): ResponsePartition {
	const { brokerId, clock, metadata } = host;
	const logEndOffset = metadata.epoch;
	const nowMs = clock.wallMs();
	return {
		...DONE,
		partitionIndex: 0,
		leaderId: brokerId,
		leaderEpoch: LEADER_EPOCH,
		highWatermark: logEndOffset,
		currentVoters: [
			{
				replicaId: brokerId,
				replicaDirectoryId: NIL_UUID,
				logEndOffset,
				lastFetchTimestamp: nowMs,
				lastCaughtUpTimestamp: nowMs,
			},
		],
		observers: [],
	};
}

function unknownPartition(partitionIndex: number): ResponsePartition {
	return {
		...failed("UNKNOWN_TOPIC_OR_PARTITION"),
		partitionIndex,
		leaderId: 0,
		leaderEpoch: 0,
		highWatermark: 0,
		currentVoters: [],
		observers: [],
	};
}
