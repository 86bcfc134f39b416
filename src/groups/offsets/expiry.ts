/**
 * What goes by itself: offsets that are too old, offsets of deleted topics, groups without
 * anything.
 */
import { nextTurn } from "../../next-turn.ts";
import type { Group, GroupRecord } from "../group.ts";
import { offsetRecord } from "../log/group-records.ts";
import type { GroupStore } from "../log/group-store.ts";
import type { GroupOptions } from "../options.ts";
import type { Deadline } from "../timers.ts";

/** Groups that are looked at before the loop takes its next turn. */
const GROUPS_A_TURN = 200;
const MS_PER_MINUTE = 60_000;

/** By partition of the offsets topic. */
type Removals = Map<number, GroupRecord[]>;

export class Expiry {
	readonly #store: GroupStore;
	readonly #intervalMs: number;
	readonly #options: GroupOptions;
	readonly #nextRound: Deadline;

	/** Begins its rounds, one every `offsets.retention.check.interval.ms`. */
	constructor(store: GroupStore, options: GroupOptions) {
		this.#store = store;
		this.#intervalMs = options.offsetsRetentionCheckIntervalMs;
		this.#options = options;
		this.#nextRound = store.timers.deadline(() => void this.#round());
		this.#nextRound.set(this.#intervalMs);
	}

	/** Looks at all groups, a few a turn of the loop. */
	async #round(): Promise<void> {
		const groups = [...this.#store.groups()];
		for (let start = 0; start < groups.length; start += GROUPS_A_TURN) {
			if (this.#store.isClosed) return;
			const removals: Removals = new Map();
			for (const group of groups.slice(start, start + GROUPS_A_TURN)) {
				// It may have been deleted since.
				if (this.#store.has(group)) this.#expire(group, removals);
			}
			this.#store.appendRemovals(removals);
			await nextTurn();
		}
		this.#nextRound.set(this.#intervalMs);
	}

	#expire(group: Group, removals: Removals): void {
		const expired: GroupRecord[] = [];
		const nowMs = this.#store.wallMs();
		for (const [topic, partition, offset] of [...group.offsets.latest()]) {
			if (group.isSubscribedTo(topic)) continue;
			const startMs = group.retentionStartMs(offset);
			if (startMs === null) continue;
			const expireMs =
				offset.expireMs >= 0
					? offset.expireMs
					: startMs + this.#options.offsetsRetentionMinutes * MS_PER_MINUTE;
			if (nowMs < expireMs) continue;
			group.offsets.remove(topic, partition);
			expired.push(offsetRecord(group.groupId, topic, partition, null));
		}
		if (group.isEmpty && group.offsets.count === 0) expired.push(...this.#store.remove(group));
		add(removals, group.partition, expired);
	}

	/** A topic was deleted: nobody can read on from its offsets. */
	dropTopic(topic: string): void {
		const removals: Removals = new Map();
		for (const group of this.#store.groups()) {
			const dropped = group.offsets.partitions(topic).map((partition) => {
				group.offsets.remove(topic, partition);
				return offsetRecord(group.groupId, topic, partition, null);
			});
			add(removals, group.partition, dropped);
		}
		this.#store.appendRemovals(removals);
	}
}

function add(removals: Removals, partition: number, records: readonly GroupRecord[]): void {
	if (records.length === 0) return;
	const list = removals.get(partition);
	if (list === undefined) removals.set(partition, [...records]);
	else for (const record of records) list.push(record);
}
