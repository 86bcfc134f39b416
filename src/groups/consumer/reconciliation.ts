/**
 * How a member of a consumer group gets from what it has to what it should have. It gives up first,
 * says so, and only then moves to the epoch of its target and takes on what nobody else has any
 * more: so no partition ever has two owners.
 *
 *     stable -- to give up --> unrevoked -- has given up --> stable, or
 *       |                          ^                        unreleased -- others gave up --> stable
 *       +-- nothing to give up ----|---------------------------^  |
 *                                  +------ a new target ----------+
 *
 * As Kafka 4.3 (KIP-848).
 */
import {
	type Assignment,
	difference,
	intersection,
	isSame,
	NO_PARTITIONS,
	select,
	union,
} from "./assignment.ts";
import { type Grant, grantsAfter } from "./grants.ts";

export type MemberState =
	/** It has what it should have, as of its epoch. */
	| "stable"
	/** It was told to give partitions up, and has not said that it did. */
	| "unrevoked"
	/** Some of what it should have is still held by others. */
	| "unreleased";

/** Where a member stands. A new one replaces it at every step. */
export interface Standing {
	readonly state: MemberState;
	/** 0: it has not been given any; EPOCH_LEAVE_STATIC: it is away and will come back. */
	readonly epoch: number;
	/** The one before: an answer with the present one may have been lost. */
	readonly previousEpoch: number;
	/** What it may read. */
	readonly assigned: Assignment;
	/** What it is to give up; nobody else gets that yet. */
	readonly revoking: Assignment;
	/** Since when it has all of this. */
	readonly grants: readonly Grant[];
}

export const NEW_STANDING: Standing = {
	state: "stable",
	epoch: 0,
	previousEpoch: 0,
	assigned: NO_PARTITIONS,
	revoking: NO_PARTITIONS,
	grants: [],
};

/** What decides about a member's next step. */
export interface Surroundings {
	readonly targetEpoch: number;
	/** What it should have. */
	readonly target: Assignment;
	/** What it says that it has; null: it does not say. */
	readonly owned: Assignment | null;
	/** It subscribes to something else than before: what it does not want any more goes at once. */
	readonly hasNewSubscription: boolean;
	isSubscribed(topicId: string): boolean;
	/** Whether nobody has a partition. */
	isFree(topicId: string, partition: number): boolean;
}

/** The member's next step; the same object when there is none. */
export function nextStanding(standing: Standing, around: Surroundings): Standing {
	switch (standing.state) {
		case "stable":
			if (standing.epoch !== around.targetEpoch) return stepToTarget(standing, around);
			return around.hasNewSubscription ? dropUnsubscribed(standing, around) : standing;
		case "unrevoked":
			if (mayOwn(around, standing.revoking)) {
				return around.hasNewSubscription ? dropUnsubscribed(standing, around) : standing;
			}
			return stepToTarget(standing, around);
		case "unreleased":
			return stepToTarget(standing, around);
	}
}

/** Whether the member may still have any of the partitions. */
function mayOwn({ owned }: Surroundings, partitions: Assignment): boolean {
	return owned === null || intersection(owned, partitions).size > 0;
}

function stepToTarget(standing: Standing, around: Surroundings): Standing {
	const target = select(around.target, (topicId) => around.isSubscribed(topicId));
	const kept = intersection(standing.assigned, target);
	const revoking = difference(standing.assigned, kept);
	if (revoking.size > 0 && mayOwn(around, revoking)) {
		return changed(standing, "unrevoked", standing.epoch, kept, revoking);
	}
	const wanted = difference(target, kept);
	const free = select(wanted, (topicId, partition) => {
		// What it gave up itself is free as well: it has the partition until this step is taken.
		const isOwn = standing.revoking.get(topicId)?.includes(partition) === true;
		return isOwn || around.isFree(topicId, partition);
	});
	const state = free === wanted ? "stable" : "unreleased";
	return changed(standing, state, around.targetEpoch, union(kept, free), NO_PARTITIONS);
}

/** Takes away what the member is not subscribed to any more, without waiting for a new target. */
function dropUnsubscribed(standing: Standing, around: Surroundings): Standing {
	const assigned = select(standing.assigned, (topicId) => around.isSubscribed(topicId));
	if (assigned === standing.assigned) return standing;
	const revoking = union(standing.revoking, difference(standing.assigned, assigned));
	if (mayOwn(around, revoking)) {
		return changed(standing, "unrevoked", standing.epoch, assigned, revoking);
	}
	return changed(standing, standing.state, standing.epoch, assigned, standing.revoking);
}

function changed(
	before: Standing,
	state: MemberState,
	epoch: number,
	assigned: Assignment,
	revoking: Assignment,
): Standing {
	const isUnchanged =
		before.state === state &&
		before.epoch === epoch &&
		isSame(before.assigned, assigned) &&
		isSame(before.revoking, revoking);
	if (isUnchanged) return before;
	const grants = grantsAfter(before, { epoch, assigned, revoking });
	return { state, epoch, previousEpoch: before.epoch, assigned, revoking, grants };
}
