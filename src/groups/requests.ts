/** What the coordinator is asked and what it answers, whatever the protocol of the asker. */

/** The member id of a member that does not have one yet. */
export const MEMBER_ID_UNKNOWN = "";

/** The generation, or member epoch, of a commit that comes from no member of the group. */
export const GENERATION_NONE = -1;

/** Error codes in answers are numbers of `src/protocol/codes.ts`; 0 is none. */
export type CodeNumber = number;

/** What one member can do: a protocol's name and what the member says about itself in it. */
export interface MemberProtocol {
	readonly name: string;
	/** Opaque but for the protocol type `consumer`. Copied: it may be a view of a frame. */
	readonly metadata: Uint8Array;
}

export interface JoinRequest {
	readonly groupId: string;
	/** MEMBER_ID_UNKNOWN for a new member. */
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly clientId: string;
	readonly clientHost: string;
	readonly protocolType: string;
	/** In the order of the member's preference. */
	readonly protocols: readonly MemberProtocol[];
	readonly sessionTimeoutMs: number;
	readonly rebalanceTimeoutMs: number;
	/** Refuse a new member with MEMBER_ID_REQUIRED and the id to come back with (KIP-394). */
	readonly requiresKnownMemberId: boolean;
	/** The member understands `skipAssignment` (KIP-814). */
	readonly supportsSkippingAssignment: boolean;
	/** Why, for the log. */
	readonly reason: string | null;
}

export interface JoinAnswer {
	readonly memberId: string;
	readonly generation: number;
	readonly protocolType: string | null;
	readonly protocolName: string | null;
	/** The leader's member id. */
	readonly leader: string;
	/** To the leader only: the assignment that there is stays as it is, do not compute one. */
	readonly skipAssignment: boolean;
	/** To the leader only: everybody, with their metadata in the protocol that was chosen. */
	readonly members: readonly JoinedMember[];
}

export interface JoinedMember {
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly metadata: Uint8Array;
}

/** Who asks, as requests of members say it. */
export interface MemberIdentity {
	readonly groupId: string;
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly generation: number;
}

export interface SyncRequest extends MemberIdentity {
	/** Null: not said. */
	readonly protocolType: string | null;
	readonly protocolName: string | null;
	/** From the leader; empty from everybody else. Copied. */
	readonly assignments: readonly {
		readonly memberId: string;
		readonly assignment: Uint8Array;
	}[];
}

export interface SyncAnswer {
	readonly protocolType: string | null;
	readonly protocolName: string | null;
	readonly assignment: Uint8Array;
}

export type HeartbeatRequest = MemberIdentity;

export interface LeaveRequest {
	readonly groupId: string;
	readonly members: readonly LeavingMember[];
}

export interface LeavingMember {
	/** MEMBER_ID_UNKNOWN: whoever has the instance id (an administrator removes a member so). */
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly reason: string | null;
}

/** What became of each member of a LeaveRequest, in its order. */
export interface LeftMember {
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly code: CodeNumber;
}

export interface CommitRequest {
	readonly groupId: string;
	/** MEMBER_ID_UNKNOWN with GENERATION_NONE: a consumer that assigns its partitions itself. */
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	/** Generation, or member epoch. */
	readonly generation: number;
	/** How long to keep the offsets, in milliseconds; null: as the broker's options say. */
	readonly retentionMs: number | null;
	/** A missing group answers GROUP_ID_NOT_FOUND, not ILLEGAL_GENERATION as before KIP-848. */
	readonly knowsGroupIdNotFound: boolean;
	readonly topics: readonly TopicPartitions<OffsetToCommit>[];
}

export interface OffsetToCommit {
	readonly partition: number;
	readonly offset: number;
	/** Leader epoch of the record before; -1: not known. */
	readonly leaderEpoch: number;
	readonly metadata: string | null;
}

/** Things of partitions, topic by topic, in the order of the request where there is one. */
export interface TopicPartitions<Item> {
	readonly topic: string;
	readonly partitions: readonly Item[];
}

/** What became of one partition of a request. */
export interface PartitionCode {
	readonly partition: number;
	readonly code: CodeNumber;
}

export interface FetchOffsetsRequest {
	readonly groupId: string;
	/** Who asks; absent: no member, or one that does not say. */
	readonly member?: { readonly memberId: string; readonly epoch: number } | undefined;
	/** Null: all that the group has committed. */
	readonly topics: readonly TopicPartitions<number>[] | null;
}

/** A committed offset as it is answered; `offset` -1: none. */
export interface FetchedOffset extends PartitionCode {
	readonly offset: number;
	readonly leaderEpoch: number;
	readonly metadata: string;
}

export interface DeleteOffsetsRequest {
	readonly groupId: string;
	readonly topics: readonly TopicPartitions<number>[];
}

export interface GroupSummary {
	readonly groupId: string;
	readonly type: string;
	readonly state: string;
	/** Empty when no member ever joined. */
	readonly protocolType: string;
}

/** With what costs little to tell, too. */
export interface CountedGroup extends GroupSummary {
	readonly memberCount: number;
}

/** A classic group as Kafka's DescribeGroups shows it. */
export interface ClassicGroupDescription extends GroupSummary {
	/** The protocol in force; empty while there is none. */
	readonly protocolName: string;
	readonly generation: number;
	readonly leader: string | null;
	readonly members: readonly ClassicMemberDescription[];
}

export interface ClassicMemberDescription {
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly clientId: string;
	readonly clientHost: string;
	/** In the protocol in force; empty while there is none. */
	readonly metadata: Uint8Array;
	readonly assignment: Uint8Array;
}
