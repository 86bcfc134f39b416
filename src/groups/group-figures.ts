/** What metrics tell of groups, whether they have members or not. */
import { LIMITS } from "../limits.ts";
import { nextTurn } from "../next-turn.ts";
import type { Group } from "./group.ts";
import type { LagReader } from "./offsets/lag.ts";

export interface GroupFigures {
	/** How many there are, by `type state`. */
	readonly byState: ReadonlyMap<string, number>;
	/** Members of those that have any. */
	readonly members: readonly { readonly group: string; readonly count: number }[];
	readonly lags: readonly GroupTopicLag[];
	/** Pairs of group and topic beyond the limit: nothing else is told of them. */
	readonly leftOut: number;
}

/** How far a group is behind in the partitions of a topic that it has committed offsets for. */
export interface GroupTopicLag {
	readonly group: string;
	readonly topic: string;
	/** Records that are left to read in all of them. */
	readonly records: number;
	/** Age of the oldest of those in seconds. */
	readonly seconds: number;
}

/** Partitions and groups that are looked at before the loop takes its next turn. */
const LOOKED_AT_A_TURN = 100;

/** Gives the loop its turn once so much was looked at. */
class Pace {
	#looked = 0;

	async step(): Promise<void> {
		if (++this.#looked % LOOKED_AT_A_TURN === 0) await nextTurn();
	}
}

/** Reads one record of each partition that has any left, unless its time is known. */
export async function groupFigures(
	groups: Iterable<Group>,
	lag: LagReader,
	nowMs: number,
): Promise<GroupFigures> {
	const byState = new Map<string, number>();
	const members: { group: string; count: number }[] = [];
	const lags: GroupTopicLag[] = [];
	let leftOut = 0;
	const pace = new Pace();
	for (const group of [...groups]) {
		await pace.step();
		const { groupId, type, state, memberCount } = group.summary();
		const key = `${type} ${state}`;
		byState.set(key, (byState.get(key) ?? 0) + 1);
		const isTold = members.length < LIMITS.metricGroupTopicsMax;
		if (memberCount > 0 && isTold) members.push({ group: groupId, count: memberCount });
		for (const topic of [...group.offsets.topics()]) {
			if (lags.length >= LIMITS.metricGroupTopicsMax) leftOut++;
			else lags.push(await topicLag(group, topic, lag, nowMs, pace));
		}
	}
	return { byState, members, lags, leftOut };
}

async function topicLag(
	group: Group,
	topic: string,
	lag: LagReader,
	nowMs: number,
	pace: Pace,
): Promise<GroupTopicLag> {
	let records = 0;
	let ms = 0;
	for (const [partition, { offset }] of [...group.offsets.of(topic)]) {
		await pace.step();
		const read = await lag.read(topic, partition, offset, nowMs);
		records += read?.records ?? 0;
		ms = Math.max(ms, read?.ms ?? 0);
	}
	return { group: group.groupId, topic, records, seconds: ms / 1e3 };
}
