/**
 * Sets of partitions, as groups of the consumer protocol compute with them all the time: what a
 * member has, should have, and is to give up.
 */

/**
 * Partitions by topic id. Numbers ascend, and no topic is there without any. It is never changed
 * once it is made: members, answers and computations share it.
 */
export type Assignment = ReadonlyMap<string, readonly number[]>;

/** Partitions of one topic, as requests, answers and records have them. */
export interface TopicIdPartitions {
	readonly topicId: string;
	readonly partitions: readonly number[];
}

export const NO_PARTITIONS: Assignment = new Map();

const NONE: readonly number[] = [];

/** What a list says, in whatever order and however often. */
export function assignmentFrom(list: readonly TopicIdPartitions[]): Assignment {
	const partitions = new Map<string, readonly number[]>();
	for (const { topicId, partitions: numbers } of list) {
		const before = partitions.get(topicId) ?? NONE;
		const sorted = [...new Set([...before, ...numbers])].sort((left, right) => left - right);
		if (sorted.length > 0) partitions.set(topicId, sorted);
	}
	return partitions;
}

export function toTopicIdPartitions(assignment: Assignment): TopicIdPartitions[] {
	return Array.from(assignment, ([topicId, partitions]) => ({ topicId, partitions }));
}

export function partitionCount(assignment: Assignment): number {
	let count = 0;
	for (const partitions of assignment.values()) count += partitions.length;
	return count;
}

export function isSame(left: Assignment, right: Assignment): boolean {
	if (left === right) return true;
	if (left.size !== right.size) return false;
	for (const [topicId, partitions] of left) {
		const others = right.get(topicId);
		if (others === partitions) continue;
		if (others?.length !== partitions.length) return false;
		if (partitions.some((partition, index) => others[index] !== partition)) return false;
	}
	return true;
}

/** Those for which `keeps` is true; the same object when that is all of them. */
export function select(
	assignment: Assignment,
	keeps: (topicId: string, partition: number) => boolean,
): Assignment {
	const kept = new Map<string, readonly number[]>();
	let isWhole = true;
	for (const [topicId, partitions] of assignment) {
		const some = partitions.filter((partition) => keeps(topicId, partition));
		if (some.length === partitions.length) kept.set(topicId, partitions);
		else {
			isWhole = false;
			if (some.length > 0) kept.set(topicId, some);
		}
	}
	return isWhole ? assignment : kept;
}

/** Those that both have. */
export function intersection(left: Assignment, right: Assignment): Assignment {
	if (left === right) return left;
	return partByPart(left, right, true);
}

/** Those of `left` that `right` does not have. */
export function difference(left: Assignment, right: Assignment): Assignment {
	if (right.size === 0) return left;
	return partByPart(left, right, false);
}

function partByPart(left: Assignment, right: Assignment, isInRight: boolean): Assignment {
	const result = new Map<string, readonly number[]>();
	for (const [topicId, partitions] of left) {
		const others = right.get(topicId) ?? NONE;
		if (others === partitions || others.length === 0) {
			if ((others === partitions) === isInRight) result.set(topicId, partitions);
			continue;
		}
		let at = 0;
		const some = partitions.filter((partition) => {
			while (at < others.length && (others[at] as number) < partition) at++;
			return (others[at] === partition) === isInRight;
		});
		if (some.length > 0) result.set(topicId, some);
	}
	return result;
}

/** Those that either has. */
export function union(left: Assignment, right: Assignment): Assignment {
	if (right.size === 0) return left;
	if (left.size === 0) return right;
	return assignmentFrom([...toTopicIdPartitions(left), ...toTopicIdPartitions(right)]);
}

/** Whether `whole` has all that `part` has. */
export function holdsAll(whole: Assignment, part: Assignment): boolean {
	return difference(part, whole).size === 0;
}
