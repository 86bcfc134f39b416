/**
 * Since which of its epochs a member has each of its partitions. While it has one nobody else can
 * have committed offsets of it, so a commit with any epoch since then is good, though the member's
 * epoch was raised meanwhile and it has not heard of that (KIP-1251).
 */
import {
	type Assignment,
	assignmentFrom,
	difference,
	intersection,
	type TopicIdPartitions,
	toTopicIdPartitions,
	union,
} from "./assignment.ts";

/** Partitions that a member has since the same epoch. A member's grants have none in common. */
export interface Grant {
	readonly epoch: number;
	readonly partitions: Assignment;
}

/** Partitions of one topic with the epoch of each, in the same order, as records have them. */
export interface DatedPartitions extends TopicIdPartitions {
	readonly assignmentEpochs: readonly number[];
}

/** What a member has. */
interface Holding {
	readonly assigned: Assignment;
	readonly revoking: Assignment;
}

/** The grants of a member that has something else from an epoch on. */
export function grantsAfter(
	before: Holding & { readonly grants: readonly Grant[] },
	{ epoch, assigned, revoking }: Holding & { readonly epoch: number },
): Grant[] {
	// What it gave up and got again is new: what it commits is to be of this time.
	const held = union(intersection(before.assigned, assigned), revoking);
	const grants: Grant[] = [];
	let fresh = difference(assigned, before.assigned);
	for (const grant of before.grants) {
		const partitions = intersection(grant.partitions, held);
		if (grant.epoch === epoch) fresh = union(partitions, fresh);
		else if (partitions.size > 0) grants.push({ ...grant, partitions });
	}
	if (fresh.size > 0) grants.push({ epoch, partitions: fresh });
	return grants;
}

/** The epoch since which the member has a partition; null: it does not have it. */
export function grantedSince(
	grants: readonly Grant[],
	topicId: string,
	partition: number,
): number | null {
	const grant = grants.find(({ partitions }) => partitions.get(topicId)?.includes(partition));
	return grant?.epoch ?? null;
}

/** An assignment with the epochs of its partitions, all of which are granted. */
export function withEpochs(assignment: Assignment, grants: readonly Grant[]): DatedPartitions[] {
	const since = new Map<string, Map<number, number>>();
	for (const { epoch, partitions } of grants) {
		for (const [topicId, numbers] of partitions) {
			const topic = since.get(topicId) ?? new Map<number, number>();
			since.set(topicId, topic);
			for (const partition of numbers) topic.set(partition, epoch);
		}
	}
	return toTopicIdPartitions(assignment).map(({ topicId, partitions }) => ({
		topicId,
		partitions,
		assignmentEpochs: partitions.map((partition) => since.get(topicId)?.get(partition) as number),
	}));
}

/**
 * The grants that a record tells of. Where it has no epochs, as from brokers that did not know
 * them, it is the one given.
 */
export function grantsFrom(
	list: readonly (TopicIdPartitions & { readonly assignmentEpochs: readonly number[] | null })[],
	epochOtherwise: number,
): Grant[] {
	const byEpoch = new Map<number, TopicIdPartitions[]>();
	for (const { topicId, partitions, assignmentEpochs } of list) {
		const isDated = assignmentEpochs?.length === partitions.length;
		for (const [index, partition] of partitions.entries()) {
			const epoch = (isDated ? assignmentEpochs[index] : epochOtherwise) as number;
			const granted = byEpoch.get(epoch) ?? [];
			byEpoch.set(epoch, granted);
			granted.push({ topicId, partitions: [partition] });
		}
	}
	return Array.from(byEpoch, ([epoch, granted]) => ({
		epoch,
		partitions: assignmentFrom(granted),
	}));
}
