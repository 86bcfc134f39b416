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

export type AclResourceName =
	| "topic"
	| "group"
	| "cluster"
	| "transactional_id"
	| "delegation_token"
	| "user";

/** `match` stands in filters alone: all patterns that a name falls under. */
export type AclPatternName = "literal" | "prefixed" | "match";

export type AclOperationName =
	| "all"
	| "read"
	| "write"
	| "create"
	| "delete"
	| "alter"
	| "describe"
	| "cluster_action"
	| "describe_configs"
	| "alter_configs"
	| "idempotent_write"
	| "create_tokens"
	| "describe_tokens"
	| "two_phase_commit";

/** An access rule: who may or may not do what with which resource, from where. */
export interface AclRule {
	resource: AclResourceName;
	/** `*`: all. */
	name: string;
	pattern: AclPatternName;
	/** Such as `User:alice`; `User:*`: all. */
	principal: string;
	/** `*`: all. */
	host: string;
	operation: AclOperationName;
	permission: "allow" | "deny";
}

/** What is left out matches everything. */
export type AclFilter = Partial<AclRule>;

/** Whom a quota is for; "": everybody for whom there is none by name. Absent: whoever it is. */
export interface QuotaTarget {
	user?: string;
	client_id?: string;
}

/** Most a second, by the name of the quota, such as `producer_byte_rate`. */
export interface QuotaEntry extends QuotaTarget {
	rates: { [quota: string]: number };
}

/** A connection, or over HTTP a user at an address, that has to wait because of a quota. */
export interface ThrottledClient {
	protocol: "kafka" | "websocket" | "http";
	/** Tells it from the other connections of the broker. */
	connection: number;
	address: string;
	user: string;
	client_id: string;
	/** What it is over, and the rate that this allows. */
	quota: string;
	rate: number;
	/** Whom the quota is set for. */
	set_for: QuotaTarget;
	/** How long it has to wait yet, in milliseconds. */
	left_ms: number;
}

/** A notice that the client is over a quota: it is to wait before it does more of that. */
export interface ThrottledNotice {
	throttle_ms: number;
	quota: string;
}

/**
 * Why a client is slow: it takes nothing of what it was sent; records wait that it grants no credit
 * for, or fetches not; it reads, and what it has not read grows all the same.
 */
export type SlowReason = "not_reading" | "not_asking" | "falling_behind";

/** A connection of a client, over either protocol. Times are in milliseconds since 1970. */
export interface ClientDescription {
	/** Of the connection; rises from one to the next. */
	id: number;
	protocol: "kafka" | "websocket";
	principal: string;
	/** What it calls itself; "": it has not said. */
	client: string;
	address: string;
	connected_ms: number;
	/** Bytes that it was sent and has not taken. */
	pending_bytes: number;
	/** Records that it reads and has not been sent, as they were last counted. */
	lag_records: number;
	/** nil: it is not slow. */
	slow: { reason: SlowReason; since_ms: number } | null;
}

/** Somebody who may log in, and what is kept of their password, which nobody is told. */
export interface UserDescription {
	user: string;
	/** By mechanism (`SCRAM-SHA-256`, `SCRAM-SHA-512`), how often the password is hashed. */
	credentials: { mechanism: string; iterations: number }[];
}

/**
 * Who says what a setting of the broker is: somebody while it ran, for this broker or for all of
 * the cluster; flags, environment and file at its start; or the built-in default.
 */
export type BrokerConfigSource = "broker" | "cluster" | "start" | "default";

/** One setting of the broker: an option, or a default of topics. */
export interface BrokerConfigEntry {
	name: string;
	/** What is in force; nil: nothing is set, and another setting counts. */
	value: string | null;
	/** "BOOLEAN", "INT", "LONG", "STRING" and the like, as Kafka calls them. */
	type: string;
	source: BrokerConfigSource;
	/** configs.alter cannot set it. */
	read_only: boolean;
	/** It is what it was at the start; what the file says now counts from the next one on. */
	needs_restart: boolean;
	doc: string;
	/** Every value that there is for it, of weaker settings too, the one in force first. */
	values: { name: string; value: string; source: BrokerConfigSource }[];
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
	"acls.list": {
		takes: AclFilter & {
			/** Go on behind this: `next` of the answer before. */
			after?: string;
		};
		answers: { acls: AclRule[]; next: string | null };
	};
	/** Answered when they are durable and in force; those that are there already stay. */
	"acls.create": { takes: { acls: AclRule[] }; answers: Record<string, never> };
	/** Answered when they are gone for good. */
	"acls.delete": { takes: AclFilter; answers: { deleted: number } };
	/** Those of a user or client id, or all. */
	"quotas.list": {
		takes: QuotaTarget & {
			/** Go on behind this: `next` of the answer before. */
			after?: string;
		};
		answers: { quotas: QuotaEntry[]; next: string | null };
	};
	/** Sets rates, nil removes them; answered when that is durable and in force. */
	"quotas.set": {
		takes: QuotaTarget & { rates: { [quota: string]: number | null } };
		answers: Record<string, never>;
	};
	/** Who waits now, at most 1,000. */
	"quotas.throttled": { takes: Record<string, never>; answers: { clients: ThrottledClient[] } };
	"users.list": {
		takes: {
			/** Go on behind this name. */
			after?: string;
			/** Most users in one answer, 1 to 1,000; default 1,000. */
			limit?: number;
		};
		/** In the order of their names' code units. */
		answers: { users: UserDescription[]; more: boolean };
	};
	/** Makes a user, or gives one another password; durable and in force when answered. */
	"users.set": {
		/** A name of 1 to 1,024 bytes, a password of 1 to 65,536. */
		takes: { user: string; password: string };
		answers: Record<string, never>;
	};
	/** Durable and in force when answered. */
	"users.delete": { takes: { user: string }; answers: Record<string, never> };
	/** In the order of their names. */
	"configs.describe": {
		takes: Record<string, never>;
		answers: { configs: BrokerConfigEntry[] };
	};
	/** Makes all changes or none; durable and in force when answered, with what there is then. */
	"configs.alter": {
		takes: {
			/** nil: back to what else is said of it. Names not mentioned stay. */
			configs: { [name: string]: string | null };
			/** For this broker, which wins and is the default, or for all of the cluster. */
			level?: "broker" | "cluster";
			/** true: check everything and change nothing. */
			validate_only?: boolean;
		};
		answers: { configs: BrokerConfigEntry[] };
	};
	/** A ticket lets one client in as the caller, once, until `expires_ms`. */
	"tickets.create": {
		takes: Record<string, never>;
		answers: { ticket: string; expires_ms: number };
	};
	"clients.list": {
		takes: {
			/** Go on behind this id. */
			after?: number;
			/** Most clients in one answer, 1 to 1,000; default 1,000. */
			limit?: number;
			/** true: those alone that are slow. */
			slow?: boolean;
		};
		/** In the order of their ids. */
		answers: { clients: ClientDescription[]; more: boolean };
	};
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

/** Most rules in one answer of acls.list, and in one acls.create. */
export const ACLS_LISTED_MAX = 1_000;

/** Most quotas in one answer of quotas.list. */
export const QUOTAS_LISTED_MAX = 1_000;

/** Most clients in one answer of clients.list. */
export const CLIENTS_LISTED_MAX = 1_000;

/** Most groups in one answer of groups.list. */
export const GROUPS_LISTED_MAX = 1_000;

/** Most topics in one answer of topics.list. */
export const TOPICS_LISTED_MAX = 1_000;

/** Most users in one answer of users.list. */
export const USERS_LISTED_MAX = 1_000;
