/**
 * Who of a group reads what: the assignors that run in the broker. Pure functions of the members,
 * what they subscribe to and what they have.
 *
 * Members that have the same `topics` object are known to subscribe to the same topics. Topics with
 * the same subscribers form a pool, and both assignors work on pools, so the ordinary group, in
 * which all subscribe to the same, costs about as much as it has members and partitions.
 */

import { waterLine } from "../log/water-line.ts";
import { type Assignment, isSame, NO_PARTITIONS } from "./assignment.ts";

export interface AssignableMember {
	readonly memberId: string;
	readonly instanceId: string | null;
	/** Partition counts of the topics that it subscribes to, by topic id. */
	readonly topics: ReadonlyMap<string, number>;
	/** What it should have had until now. */
	readonly current: Assignment;
}

/** Answers what each member should have, in the order of the members. */
export type Assignor = (members: readonly AssignableMember[]) => Assignment[];

/** In the order in which they are told to clients. */
export const ASSIGNOR_NAMES = ["uniform", "range"] as const;
export type AssignorName = (typeof ASSIGNOR_NAMES)[number];

/**
 * Steps of balancing one assignment. Groups whose members all subscribe to different topics could
 * take seconds; they get an assignment that is complete, if not the most even one.
 */
const BALANCING_STEPS_MAX = 2_000_000;

const NOBODY = -1;

/** Topics with the same subscribers. */
interface Pool {
	/** Indexes of members, ascending. */
	readonly subscribers: readonly number[];
	readonly topics: PoolTopic[];
}

interface PoolTopic {
	readonly topicId: string;
	/** Index of the member that has each partition. */
	readonly owners: Int32Array;
}

/**
 * As many partitions for everyone as can be, and of those that make no difference as few as
 * possible change hands.
 */
export const uniform: Assignor = (members) => {
	const pools = poolsOf(members);
	const loads = keepCurrent(members, pools);
	// Where there is least choice first.
	pools.sort((left, right) => left.subscribers.length - right.subscribers.length);
	let stepsLeft = BALANCING_STEPS_MAX;
	let hasMoved = true;
	for (let pass = 0; hasMoved && (pass === 0 || stepsLeft > 0); pass++) {
		hasMoved = false;
		for (const pool of pools) {
			if (level(pool, loads)) hasMoved = true;
			stepsLeft -= pool.subscribers.length + partitionsOf(pool);
		}
		// What one pool evens out cannot be evened out further by itself.
		if (pools.length === 1) break;
	}
	return assignmentsOf(members, pools);
};

/**
 * Ranges of each topic's partitions, topic by topic. Topics with as many partitions and the same
 * subscribers are dealt with alike: the same member has the same partitions of all of them, so
 * that they can be joined. What a member has it keeps, as far as its share goes.
 */
export const range: Assignor = (members) => {
	const pools = poolsOf(members);
	keepCurrent(members, pools);
	for (const { subscribers, topics } of pools) {
		const ordered = [...subscribers].sort((left, right) =>
			compare(orderKey(members[left]), orderKey(members[right])),
		);
		const alike = new Map<number, PoolTopic[]>();
		for (const topic of topics) {
			const list = alike.get(topic.owners.length);
			if (list === undefined) alike.set(topic.owners.length, [topic]);
			else list.push(topic);
		}
		for (const together of alike.values()) dealRanges(ordered, together);
	}
	return assignmentsOf(members, pools);
};

export const ASSIGNORS: Readonly<Record<AssignorName, Assignor>> = { uniform, range };

/** Static members keep their place in the order when they come back under another id. */
function orderKey(member: AssignableMember | undefined): string {
	return member?.instanceId ?? member?.memberId ?? "";
}

function compare(left: string, right: string): number {
	if (left === right) return 0;
	return left < right ? -1 : 1;
}

function poolsOf(members: readonly AssignableMember[]): Pool[] {
	// Members by what they subscribe to.
	const classes = new Map<ReadonlyMap<string, number>, number[]>();
	for (const [index, { topics }] of members.entries()) {
		const list = classes.get(topics);
		if (list === undefined) classes.set(topics, [index]);
		else list.push(index);
	}
	// Topics by the classes that subscribe to them.
	const subscribers = new Map<string, { partitions: number; classes: number[] }>();
	let classNumber = 0;
	for (const topics of classes.keys()) {
		for (const [topicId, partitions] of topics) {
			const topic = subscribers.get(topicId);
			if (topic === undefined) subscribers.set(topicId, { partitions, classes: [classNumber] });
			else topic.classes.push(classNumber);
		}
		classNumber++;
	}
	const lists = [...classes.values()];
	const pools = new Map<string, Pool>();
	for (const topicId of [...subscribers.keys()].sort(compare)) {
		const topic = subscribers.get(topicId);
		if (topic === undefined) continue;
		const key = topic.classes.join();
		let pool = pools.get(key);
		if (pool === undefined) {
			const indexes = topic.classes.flatMap((each) => lists[each] ?? []);
			pool = { subscribers: indexes.sort((left, right) => left - right), topics: [] };
			pools.set(key, pool);
		}
		pool.topics.push({ topicId, owners: new Int32Array(topic.partitions).fill(NOBODY) });
	}
	return [...pools.values()];
}

/** Gives members what they have and may keep having; answers how much that is for each. */
function keepCurrent(members: readonly AssignableMember[], pools: readonly Pool[]): Int32Array {
	const owners = new Map<string, Int32Array>();
	for (const { topics } of pools) {
		for (const topic of topics) owners.set(topic.topicId, topic.owners);
	}
	const loads = new Int32Array(members.length);
	for (const [index, { topics, current }] of members.entries()) {
		for (const [topicId, partitions] of current) {
			const of = topics.has(topicId) ? owners.get(topicId) : undefined;
			if (of === undefined) continue;
			for (const partition of partitions) {
				if (partition >= of.length || of[partition] !== NOBODY) continue;
				of[partition] = index;
				loads[index] = (loads[index] as number) + 1;
			}
		}
	}
	return loads;
}

function partitionsOf({ topics }: Pool): number {
	return topics.reduce((sum, { owners }) => sum + owners.length, 0);
}

/**
 * Divides a pool's partitions anew so that its subscribers' loads are as level as the pool can make
 * them; answers whether anything changed hands.
 */
function level({ subscribers, topics }: Pool, loads: Int32Array): boolean {
	const held = new Map<number, number>();
	let total = 0;
	for (const { owners } of topics) {
		total += owners.length;
		for (const owner of owners) {
			if (owner !== NOBODY) held.set(owner, (held.get(owner) ?? 0) + 1);
		}
	}
	const shares = waterLine(
		subscribers.map((index) => {
			const own = held.get(index) ?? 0;
			return { fixed: (loads[index] as number) - own, held: own };
		}),
		total,
	);
	const surplus = new Int32Array(loads.length);
	/** Members with less than their share, and how much less. */
	const short: { readonly index: number; missing: number }[] = [];
	for (const [at, index] of subscribers.entries()) {
		const more = (shares[at] as number) - (held.get(index) ?? 0);
		if (more > 0) short.push({ index, missing: more });
		else surplus[index] = -more;
		loads[index] = (loads[index] as number) + more;
	}
	if (short.length === 0) return false;
	handOver(topics, surplus, short);
	return true;
}

/** Takes what is too much, highest partitions first, and deals it out in turns. */
function handOver(
	topics: readonly PoolTopic[],
	surplus: Int32Array,
	short: { readonly index: number; missing: number }[],
): void {
	const free: { readonly owners: Int32Array; readonly partition: number }[] = [];
	for (let at = topics.length - 1; at >= 0; at--) {
		const { owners } = topics[at] as PoolTopic;
		for (let partition = owners.length - 1; partition >= 0; partition--) {
			const owner = owners[partition] as number;
			if (owner !== NOBODY && surplus[owner] === 0) continue;
			if (owner !== NOBODY) surplus[owner] = (surplus[owner] as number) - 1;
			free.push({ owners, partition });
		}
	}
	let turn = 0;
	for (let at = free.length - 1; at >= 0; at--) {
		const { owners, partition } = free[at] as (typeof free)[number];
		const next = short[turn] as (typeof short)[number];
		owners[partition] = next.index;
		next.missing--;
		if (next.missing === 0) short.splice(turn, 1);
		else turn++;
		if (turn >= short.length) turn = 0;
	}
}

/** Deals out topics of equally many partitions, the same to the same member. */
function dealRanges(ordered: readonly number[], topics: readonly PoolTopic[]): void {
	const count = topics[0]?.owners.length ?? 0;
	// The first topic in which somebody has a partition decides about it in all.
	const owners = new Int32Array(count).fill(NOBODY);
	for (let partition = 0; partition < count; partition++) {
		for (const topic of topics) {
			if (owners[partition] !== NOBODY) break;
			owners[partition] = topic.owners[partition] as number;
		}
	}
	const held = new Map<number, number>();
	for (const owner of owners) {
		if (owner !== NOBODY) held.set(owner, (held.get(owner) ?? 0) + 1);
	}
	const shares = waterLine(
		ordered.map((index) => ({ fixed: 0, held: held.get(index) ?? 0 })),
		count,
	);
	const left = new Map(ordered.map((index, at) => [index, shares[at] as number]));
	for (let partition = 0; partition < count; partition++) {
		const owner = owners[partition] as number;
		const share = left.get(owner) ?? 0;
		if (share > 0) left.set(owner, share - 1);
		else owners[partition] = NOBODY;
	}
	let at = 0;
	for (let partition = 0; partition < count; partition++) {
		if (owners[partition] !== NOBODY) continue;
		while ((left.get(ordered[at] as number) ?? 0) === 0) at++;
		const index = ordered[at] as number;
		left.set(index, (left.get(index) ?? 0) - 1);
		owners[partition] = index;
	}
	for (const topic of topics) topic.owners.set(owners);
}

/** What the pools say, member by member. Who has what it had gets the same object back. */
function assignmentsOf(members: readonly AssignableMember[], pools: readonly Pool[]): Assignment[] {
	const assignments = members.map(() => new Map<string, number[]>());
	for (const { topics } of pools) {
		for (const { topicId, owners } of topics) {
			for (let partition = 0; partition < owners.length; partition++) {
				const assignment = assignments[owners[partition] as number];
				const partitions = assignment?.get(topicId);
				if (partitions === undefined) assignment?.set(topicId, [partition]);
				else partitions.push(partition);
			}
		}
	}
	return assignments.map((assignment, index) => {
		const current = members[index]?.current ?? NO_PARTITIONS;
		return isSame(assignment, current) ? current : assignment;
	});
}
