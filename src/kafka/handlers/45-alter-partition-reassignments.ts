/**
 * AlterPartitionReassignments: v0-1 (KIP-455).
 *
 * Behavior:
 * - The one broker is the only place for a partition: to move it there is done already, and any
 *   other is INVALID_REPLICA_ASSIGNMENT.
 * - Nothing is ever being moved, so there is nothing to cancel: NO_REASSIGNMENT_IN_PROGRESS.
 *
 * Version notes:
 * - v1: whether the number of replicas may change (KIP-860), which it cannot.
 */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { serveApi } from "../api.ts";
import { type Failure, failed, reportedFailure, TIMED_OUT } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	ALTER_PARTITION_REASSIGNMENTS,
	type AlterPartitionReassignmentsRequest,
	type AlterPartitionReassignmentsResponse,
} from "../generated/45-alter-partition-reassignments.ts";
import { checkReplicas } from "../replicas.ts";

type RequestPartition = AlterPartitionReassignmentsRequest["topics"][number]["partitions"][number];

const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: null };

export const alterPartitionReassignmentsApi = serveApi(
	ALTER_PARTITION_REASSIGNMENTS,
	alterPartitionReassignments,
);

function alterPartitionReassignments(
	{ allowReplicationFactorChange, timeoutMs, topics }: AlterPartitionReassignmentsRequest,
	exchange: Exchange,
): AlterPartitionReassignmentsResponse {
	const isAllowed = exchange.allows("cluster", CLUSTER_NAME);
	const refusal = isAllowed ? TIMED_OUT : failed("CLUSTER_AUTHORIZATION_FAILED");
	const isRefused = !isAllowed || timeoutMs <= 0;
	return {
		allowReplicationFactorChange,
		...(isRefused ? refusal : DONE),
		responses: topics.map(({ name, partitions }) => ({
			name,
			partitions: partitions.map((partition) => ({
				partitionIndex: partition.partitionIndex,
				...(isRefused ? refusal : reassign(name, partition, exchange)),
			})),
		})),
	};
}

function reassign(
	name: string,
	{ partitionIndex, replicas }: RequestPartition,
	exchange: Exchange,
): Failure {
	const { brokerId, catalogue } = exchange.host;
	const { partitions = 0 } = catalogue.get(name) ?? {};
	try {
		if (partitionIndex < 0 || partitionIndex >= partitions) {
			throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION");
		}
		// Without a message, as in Kafka.
		if (replicas === null) {
			return { errorCode: CODES.NO_REASSIGNMENT_IN_PROGRESS.code, errorMessage: null };
		}
		checkReplicas(replicas, brokerId);
		return DONE;
	} catch (error) {
		return reportedFailure(error, exchange);
	}
}
