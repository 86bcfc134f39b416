/**
 * Replicas as clients assign them and are told of them: this broker holds every partition, once,
 * and nobody else can.
 */
import { MillraceError } from "../errors.ts";
import { CODES } from "../protocol/codes.ts";
import type { Topic } from "../topics/catalogue.ts";
import type { KafkaHost } from "./host.ts";

/** What clients are told of the partitions of a topic from `from` on and below `to`. */
export function describePartitions(
	topic: Topic,
	from: number,
	to: number,
	{ brokerId, storage }: KafkaHost,
) {
	// It is the store's: all partitions have the same.
	const { leaderEpoch } = storage.offsets(topic.handle, 0);
	const replicas = [brokerId];
	return Array.from({ length: Math.max(to - from, 0) }, (_, index) => ({
		errorCode: CODES.NONE.code,
		partitionIndex: from + index,
		leaderId: brokerId,
		leaderEpoch,
		replicaNodes: replicas,
		isrNodes: replicas,
		offlineReplicas: [],
	}));
}

/** Throws INVALID_REPLICA_ASSIGNMENT unless the one broker is named, and nothing else. */
export function checkReplicas(replicas: readonly number[], brokerId: number): void {
	if (replicas.length === 0) throw invalid("a partition has no replica");
	const stranger = replicas.find((replica) => replica !== brokerId);
	if (stranger !== undefined) throw invalid(`there is no broker ${stranger}`);
	if (replicas.length > 1) throw invalid(`broker ${brokerId} is named twice`);
}

/**
 * The number of partitions that are assigned. Throws INVALID_REPLICA_ASSIGNMENT unless they are
 * numbered from 0 without gaps, each once.
 */
export function checkAssignments(
	assignments: readonly {
		readonly partitionIndex: number;
		readonly brokerIds: readonly number[];
	}[],
	brokerId: number,
): number {
	const indexes = new Set<number>();
	for (const { partitionIndex, brokerIds } of assignments) {
		if (indexes.has(partitionIndex)) throw invalid(`partition ${partitionIndex} is assigned twice`);
		indexes.add(partitionIndex);
		checkReplicas(brokerIds, brokerId);
	}
	for (let index = 0; index < assignments.length; index++) {
		if (!indexes.has(index)) throw invalid(`partition ${index} is left out`);
	}
	return assignments.length;
}

function invalid(particular: string): MillraceError {
	return new MillraceError("INVALID_REPLICA_ASSIGNMENT", particular);
}
