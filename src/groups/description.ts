/** A group as people want to see it: who reads what, how far it has come, what is left. */
import { nextTurn } from "../next-turn.ts";
import { assignedPartitions, CONSUMER_PROTOCOL_TYPE } from "./consumer/consumer-protocol.ts";
import type { Group } from "./group.ts";
import type { LagReader, PartitionLag } from "./offsets/lag.ts";
import type { ClassicGroupDescription, GroupSummary, TopicPartitions } from "./requests.ts";

export interface GroupDescription extends GroupSummary {
	readonly members: readonly DescribedMember[];
	/** Every partition with a committed offset or a member that reads it, by topic and number. */
	readonly partitions: readonly DescribedPartition[];
}

export interface DescribedMember {
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly clientId: string;
	readonly clientHost: string;
	/** Null where only the members themselves understand it. */
	readonly assignment: readonly TopicPartitions<number>[] | null;
}

export interface DescribedPartition {
	readonly topic: string;
	readonly partition: number;
	/** Who reads it; null: nobody. */
	readonly memberId: string | null;
	/** Null: none was committed. */
	readonly committed: DescribedOffset | null;
	/** Null: there is no such partition any more. */
	readonly lag: PartitionLag | null;
}

export interface DescribedOffset {
	readonly offset: number;
	readonly leaderEpoch: number;
	readonly metadata: string;
	/** Milliseconds since 1970. */
	readonly commitMs: number;
}

/** Partitions that are looked at before the loop takes its next turn. */
const PARTITIONS_A_TURN = 100;

/** The members of a classic group with what they read, where that can be known. */
export function describeMembers({
	protocolType,
	members,
}: ClassicGroupDescription): DescribedMember[] {
	return members.map(({ memberId, groupInstanceId, clientId, clientHost, assignment }) => ({
		memberId,
		groupInstanceId,
		clientId,
		clientHost,
		assignment: protocolType === CONSUMER_PROTOCOL_TYPE ? assignedPartitions(assignment) : null,
	}));
}

/**
 * The partitions of a group with offsets and lag. Reads one record of each that has any left, one
 * after the other, and gives the loop its turns.
 */
export async function describePartitions(
	group: Group,
	members: readonly DescribedMember[],
	lag: LagReader,
	nowMs: number,
): Promise<DescribedPartition[]> {
	const readers = new Map<string, Map<number, string | null>>();
	const add = (topic: string, partition: number, memberId: string | null) => {
		let partitions = readers.get(topic);
		if (partitions === undefined) {
			partitions = new Map();
			readers.set(topic, partitions);
		}
		if (memberId !== null || !partitions.has(partition)) partitions.set(partition, memberId);
	};
	for (const topic of group.offsets.topics()) {
		for (const [partition] of group.offsets.of(topic)) add(topic, partition, null);
	}
	for (const { memberId, assignment } of members) {
		for (const { topic, partitions } of assignment ?? []) {
			for (const partition of partitions) add(topic, partition, memberId);
		}
	}
	const described: DescribedPartition[] = [];
	for (const topic of [...readers.keys()].sort()) {
		const byPartition = [...(readers.get(topic) ?? [])].sort(([left], [right]) => left - right);
		for (const [partition, memberId] of byPartition) {
			const offset = group.offsets.get(topic, partition);
			const read = await lag.read(topic, partition, offset?.offset ?? null, nowMs);
			const committed = offset === null ? null : describedOffset(offset);
			described.push({ topic, partition, memberId, committed, lag: read });
			if (described.length % PARTITIONS_A_TURN === 0) await nextTurn();
		}
	}
	return described;
}

function describedOffset(offset: DescribedOffset): DescribedOffset {
	const { leaderEpoch, metadata, commitMs } = offset;
	return { offset: offset.offset, leaderEpoch, metadata, commitMs };
}
