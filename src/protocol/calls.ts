/**
 * The named calls of operation 7: what each takes and answers, with the field names of the wire.
 * 64-bit configuration values are strings, so that every one of them survives.
 */

/** One configuration value of a topic as it applies. */
export interface TopicConfigEntry {
	name: string;
	value: string;
	/** "boolean", "int", "long", "string" and the like, as Kafka calls them. */
	type: string;
	/** Who says so: the topic itself, an option of the broker, or the built-in default. */
	source: "topic" | "broker" | "default";
	/** Only the present value is accepted. */
	read_only: boolean;
	doc: string;
	/** What does not happen yet although the value is kept, or nil. */
	pending: string | null;
}

/**
 * Offsets of one partition; `high_watermark` is where reading ends, `flushed` what survives a power
 * cut.
 */
export interface PartitionOffsets {
	partition: number;
	log_start: number;
	high_watermark: number;
	log_end: number;
	flushed: number;
	leader_epoch: number;
}

export interface TopicSummary {
	name: string;
	topic_id: string;
	partitions: number;
	/** Kept by the broker for itself. */
	internal: boolean;
}

export interface TopicDescription extends TopicSummary {
	max_message_bytes: number;
	durability: "written" | "flushed";
	configs: TopicConfigEntry[];
}

export interface GroupSummary {
	group: string;
	/** "classic" or "consumer". */
	type: string;
	/** "Empty", "Stable", ...: Kafka's names. */
	state: string;
	/** "consumer" for groups that read topics; "" when no member ever joined. */
	protocol_type: string;
}

export interface GroupMember {
	member_id: string;
	instance_id: string | null;
	client_id: string;
	client_host: string;
	/** What it reads; nil where only the members themselves understand it. */
	assignment: { topic: string; partitions: number[] }[] | null;
}

/** How far a group has come in one partition. */
export interface GroupPartition {
	topic: string;
	partition: number;
	/** Who reads it, or nil. */
	member_id: string | null;
	/** The committed offset, the next to be read; nil: none. */
	committed: number | null;
	/** First offset that can be read, and the one behind the last; nil: the partition is gone. */
	log_start: number | null;
	high_watermark: number | null;
	/** Records that are left to read; nil: not known. */
	lag: number | null;
	/** How long the first of them has been waiting, in milliseconds; 0: none is; nil: not known. */
	lag_ms: number | null;
}

export interface GroupDescription extends GroupSummary {
	members: GroupMember[];
	partitions: GroupPartition[];
}

/** Things of partitions, topic by topic. */
export interface OfTopic<Item> {
	topic: string;
	partitions: Item[];
}

/** What is to be committed: the offset of the next record to read. */
export interface CommitOffset {
	partition: number;
	offset: number;
	/** Leader epoch of the record before; nil: not known. */
	leader_epoch?: number | null;
	/** A note that is kept with it. */
	metadata?: string | null;
}

/** What the group has committed; `offset` nil: nothing. */
export interface CommittedOffset {
	partition: number;
	offset: number | null;
	/** -1: not known. */
	leader_epoch: number;
	metadata: string;
}

/** Where a member is to begin; `offset` nil: nothing was committed. */
export type AssignedPartition = Omit<CommittedOffset, "metadata">;

/** Partitions of a topic, told apart from those of another one that has or had its name. */
export interface GroupTopic<Item> extends OfTopic<Item> {
	topic_id: string;
}

/** Notices to a member of a group, by their kind. */
export interface GroupNotices {
	assign: {
		group: string;
		member_id: string;
		epoch: number;
		/** It has all that the group has for it at present. */
		settled: boolean;
		topics: GroupTopic<AssignedPartition>[];
	};
	revoke: { group: string; member_id: string; epoch: number; topics: GroupTopic<number>[] };
	lost: { group: string; member_id: string; code: number; name: string; message: string };
}

/** Where a group's offset is and is put; `from` nil: nothing was committed. */
export interface OffsetMove {
	topic: string;
	partition: number;
	from: number | null;
	to: number;
}

/** One thing that recovery found at the last start. */
export interface RecoveryFinding {
	/** The partition or directory concerned. */
	subject: string;
	/** What was found and done, for people. */
	detail: string;
}

/** Takes, answers: by the call's name. */
export interface Calls {
	"topics.create": {
		takes: {
			name: string;
			/** Default: the broker's num.partitions. */
			partitions?: number;
			configs?: { [name: string]: string };
			/** true: a topic of that name that exists already is an answer, not an error. */
			if_not_exists?: boolean;
			/** true: check everything and create nothing. */
			validate_only?: boolean;
		};
		/** topic nil: with validate_only. */
		answers: { created: boolean; topic: TopicDescription | null };
	};
	"topics.list": {
		takes: {
			/** Go on behind this name. */
			after?: string;
			/** Most topics in one answer, 1 to 1,000; default 1,000. */
			limit?: number;
			/** true: also those that the broker keeps for itself. */
			internal?: boolean;
		};
		/** In the order of their names' code units. */
		answers: { topics: TopicSummary[]; more: boolean };
	};
	"topics.describe": { takes: { name: string }; answers: { topic: TopicDescription } };
	"topics.alter": {
		takes: {
			name: string;
			/** nil: back to what the broker or the default says. Names not mentioned stay. */
			configs: { [name: string]: string | null };
			/** true: check everything, change nothing, and answer with the topic as it is. */
			validate_only?: boolean;
		};
		answers: { topic: TopicDescription };
	};
	"topics.add_partitions": {
		/** `partitions` is how many there are to be afterwards; never fewer. */
		takes: { name: string; partitions: number };
		answers: { topic: TopicDescription };
	};
	/** Answered when the deletion is durable and the name is free again. */
	"topics.delete": { takes: { name: string }; answers: { topic_id: string } };
	"offsets.list": {
		takes: {
			topic: string | number;
			partition: number;
			at: "earliest" | "latest" | { timestamp_ms: number };
		};
		/** offset nil: no visible record is that young. */
		answers: { offset: number | null; timestamp_ms: number | null; leader_epoch: number };
	};
	"offsets.describe": {
		takes: { topic: string | number };
		answers: { partitions: PartitionOffsets[] };
	};
	"groups.list": {
		takes: {
			/** Go on behind this name. */
			after?: string;
			/** Most groups in one answer, 1 to 1,000; default 1,000. */
			limit?: number;
		};
		/** In the order of their names' code units. */
		answers: { groups: GroupSummary[]; more: boolean };
	};
	"groups.describe": { takes: { group: string }; answers: { group: GroupDescription } };
	"groups.reset_offsets": {
		takes: {
			group: string;
			/** nil: every partition that the group has committed. */
			topic?: string;
			/** With `topic`; nil: all of it. */
			partition?: number;
			to: "earliest" | "latest" | { offset: number } | { timestamp_ms: number } | { shift: number };
			/** true: say what would be done and do nothing. */
			dry_run?: boolean;
		};
		answers: { moves: OffsetMove[] };
	};
	"groups.join": {
		takes: {
			group: string;
			/** One of `topics` and `pattern`, or both. */
			topics?: string[];
			/** In RE2's syntax; whole names match. */
			pattern?: string;
			/** The member that an earlier connection was. */
			member_id?: string;
			/** Makes it a static member. */
			instance_id?: string;
			rack_id?: string;
			assignor?: string;
			/** Default: `progress_timeout_ms`. */
			rebalance_timeout_ms?: number;
			/** Default 300,000. */
			progress_timeout_ms?: number;
		};
		/** `resumed`: it is the member that `member_id` named, which was there already. */
		answers: { member_id: string; resumed: boolean };
	};
	/** What was revoked has been given up. */
	"groups.acknowledge": {
		takes: {
			group: string;
			member_id: string;
			topics: { topic_id: string; partitions: number[] }[];
		};
		answers: Record<string, never>;
	};
	/** The application gets on. */
	"groups.progress": {
		takes: { group: string; member_id: string };
		answers: Record<string, never>;
	};
	/** Answered when it is durable; each partition has a code of its own. */
	"groups.commit": {
		/** Without `member_id`: for a group without members. */
		takes: { group: string; member_id?: string; topics: OfTopic<CommitOffset>[] };
		answers: { topics: OfTopic<{ partition: number; code: number }>[] };
	};
	"groups.committed": {
		takes: { group: string; topics: OfTopic<number>[] };
		answers: { topics: OfTopic<CommittedOffset>[] };
	};
	"groups.leave": {
		/** `for_good`: the place of a static member, too. */
		takes: { group: string; member_id: string; for_good?: boolean };
		answers: Record<string, never>;
	};
	/** Answered when it is durable. */
	"groups.delete": { takes: { group: string }; answers: Record<string, never> };
	"cluster.describe": {
		takes: Record<string, never>;
		answers: {
			cluster_id: string;
			brokers: { id: number; version: string; websocket: string | null; kafka: string | null }[];
			controller_id: number;
		};
	};
	/**
	 * Checks a partition from about an offset on, a bounded step of it. What is damaged is served
	 * around from then on.
	 */
	"verify.partition": {
		takes: {
			topic: string | number;
			partition: number;
			/** Default: the log start; then where the step before ended. */
			from_offset?: number;
		};
		answers: {
			/** nil: everything was checked. */
			next_offset: number | null;
			/** Records and bytes of the batches that are whole. */
			records: number;
			bytes: number;
			/** What is wrong and where, for people. */
			findings: string[];
		};
	};
	"verify.status": {
		takes: Record<string, never>;
		answers: { clean: boolean; findings: RecoveryFinding[] };
	};
}

export type CallName = keyof Calls;
export type CallArguments<Name extends CallName> = Calls[Name]["takes"];
export type CallAnswer<Name extends CallName> = Calls[Name]["answers"];

/** Most groups in one answer of groups.list. */
export const GROUPS_LISTED_MAX = 1_000;

/** Most topics in one answer of topics.list. */
export const TOPICS_LISTED_MAX = 1_000;
