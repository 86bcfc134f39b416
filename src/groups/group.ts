/** What the coordinator knows of a group whatever its type: one class implements this for each. */

import type { DescribedMember } from "./description.ts";
import type { CommittedOffset, CommittedOffsets } from "./offsets/committed-offsets.ts";
import type { CommitRequest, CountedGroup, FetchOffsetsRequest } from "./requests.ts";

export type GroupType = "classic" | "consumer";

export interface Group {
	readonly groupId: string;
	readonly type: GroupType;
	/** Partition of the offsets topic that holds the group's records. */
	readonly partition: number;
	readonly offsets: CommittedOffsets;
	/** No members: the group can be deleted, and offsets be committed by anybody. */
	readonly isEmpty: boolean;
	/** Nothing would be lost without it: no members, no offsets, nothing stored. */
	readonly isVoid: boolean;

	summary(): CountedGroup;
	/** Its members, with what they read where that can be known. */
	describeMembers(): DescribedMember[];

	/**
	 * Lets a commit through, and takes it as a sign of life. Throws UNKNOWN_MEMBER_ID,
	 * FENCED_INSTANCE_ID, ILLEGAL_GENERATION, STALE_MEMBER_EPOCH, REBALANCE_IN_PROGRESS,
	 * UNSUPPORTED_VERSION or COORDINATOR_NOT_AVAILABLE.
	 */
	admitCommit(request: CommitRequest): void;
	/**
	 * Lets a member see the offsets. Throws UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH; groups whose
	 * members do not say who they are let everybody.
	 */
	admitFetch(request: FetchOffsetsRequest): void;
	/** Throws NON_EMPTY_GROUP where a group with members never lets offsets be deleted. */
	admitOffsetDeletion(): void;
	/** Whether a member is subscribed to the topic, as far as the group knows. */
	isSubscribedTo(topic: string): boolean;
	/**
	 * The time from which a committed offset's retention counts, in milliseconds since 1970; null:
	 * it is kept whatever its age.
	 */
	retentionStartMs(offset: CommittedOffset): number | null;

	/**
	 * The records, newest state, that restore the group itself; its offsets are apart. Each is as the
	 * group is when it is taken, so that whoever pauses in between takes nothing that is old.
	 */
	records(): Iterable<GroupRecord>;
	/** The records that remove the group; empty when nothing of it is stored. */
	tombstones(): readonly GroupRecord[];

	/** Starts what runs while a loaded group waits for its members. */
	onLoaded(): void;
	/** Deleted, or given up by this coordinator: whoever still waits is refused. */
	retire(): void;
}

/** One record of the offsets topic; a value of null is a tombstone. */
export interface GroupRecord {
	readonly key: Uint8Array;
	readonly value: Uint8Array | null;
}
