/**
 * What goes by itself: offsets that are too old, offsets of deleted topics, groups without
 * anything.
 */
import type { Group, GroupRecord } from "../group.ts";
import { offsetRecord } from "../log/group-records.ts";
import type { GroupStore } from "../log/group-store.ts";
import type { GroupOptions } from "../options.ts";
import type { Deadline } from "../timers.ts";
import type { CommittedOffset } from "./committed-offsets.ts";

/** Offsets of a group that are looked at before it is asked whether the turn was long enough. */
const OFFSETS_A_STEP = 256;
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

	/** Looks at all that is committed; others have the loop in between. */
	async #round(): Promise<void> {
		const turns = this.#store.turns();
		const removals: Removals = new Map();
		const steps = this.#steps(removals);
		while (steps.next().done !== true) {
			if (!turns.isDue) continue;
			// Before others have the loop: what they commit anew has to come behind its removal.
			this.#store.appendRemovals(removals);
			removals.clear();
			await turns.pause();
			if (this.#store.isClosed) return;
		}
		this.#store.appendRemovals(removals);
		this.#nextRound.set(this.#intervalMs);
	}

	/** Takes out what is too old, a step at a time: in between others may change anything. */
	*#steps(removals: Removals): Generator<undefined> {
		for (const group of this.#store.groupsInTurns()) {
			yield* this.#expire(group, removals);
			yield;
		}
	}

	*#expire(group: Group, removals: Removals): Generator<undefined> {
		const nowMs = this.#store.wallMs();
		let lookedCount = 0;
		for (const [topic, partition, offset] of group.offsets.latest()) {
			if (this.#isExpired(group, topic, offset, nowMs)) {
				group.offsets.remove(topic, partition);
				add(removals, group.partition, [offsetRecord(group.groupId, topic, partition, null)]);
			}
			if (++lookedCount % OFFSETS_A_STEP !== 0) continue;
			yield;
			// Deleted, or of another type now: what has its id is looked at in the next round.
			if (!this.#store.has(group)) return;
		}
		if (group.isEmpty && group.offsets.count === 0) {
			add(removals, group.partition, this.#store.remove(group));
		}
	}

	#isExpired(group: Group, topic: string, offset: CommittedOffset, nowMs: number): boolean {
		if (group.isSubscribedTo(topic)) return false;
		const startMs = group.retentionStartMs(offset);
		if (startMs === null) return false;
		const retentionMs = this.#options.offsetsRetentionMinutes * MS_PER_MINUTE;
		const expireMs = offset.expireMs >= 0 ? offset.expireMs : startMs + retentionMs;
		return nowMs >= expireMs;
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
