/**
 * The maps inside frames, and limits that `hello` announces. Field names are those on the wire.
 * Calls have theirs in calls.ts.
 */
import type {
	DurabilityName,
	Isolation,
	OutOfRangePolicy,
	SubscriptionFormat,
} from "./operations.ts";

/** How a client proves who it is; a broker without authentication takes any and none. */
export interface Credentials {
	scheme: string;
	[field: string]: unknown;
}

/** What numbers a producer's batches, so that repeating them is harmless. */
export interface ProducerIdentity {
	id: number;
	epoch: number;
}

export interface HelloOptions {
	/** Name and version of the client, for the broker's log. */
	client: string;
	auth?: Credentials;
	/**
	 * The identity from an earlier connection, to carry on with; left out, a new one is handed out.
	 */
	producer?: ProducerIdentity;
}

/** What one connection may use; sizes in bytes. */
export interface ConnectionLimits {
	frame_bytes_max: number;
	record_bytes_max: number;
	in_flight_bytes_max: number;
	in_flight_requests_max: number;
	credit_bytes_max: number;
	credit_records_max: number;
	subscriptions_max: number;
	aliases_max: number;
	produce_entries_max: number;
	/** Memberships of consumer groups; absent: there are none (`groups` is no feature). */
	group_members_max?: number;
}

export interface HelloAnswer {
	broker: string;
	cluster_id: string;
	features: string[];
	producer: ProducerIdentity;
	/** When the credentials run out, in milliseconds since 1970; absent: never. */
	auth_expires_ms?: number;
	limits: ConnectionLimits;
}

export interface OpenOptions {
	/** false: never create the topic, whatever the broker does by itself. */
	create?: boolean;
}

export interface OpenAnswer {
	alias: number;
	topic_id: string;
	partitions: number;
	/** Largest record batch that the topic takes, in bytes. */
	max_message_bytes: number;
	/** What an ack of nil waits for on this topic. */
	durability: DurabilityName;
}

/** Where to begin: an offset, an end of the log, or the first record at or after a time. */
export type StartPosition = number | "earliest" | "latest" | { timestamp_ms: number };

export interface SubscribeOptions {
	/** Default "records". */
	format?: SubscriptionFormat;
	/** Default "error". */
	on_out_of_range?: OutOfRangePolicy;
	/** Default "read_uncommitted". */
	isolation?: Isolation;
	/** Records and bytes to begin with; default none. */
	credit?: [records: number, bytes: number];
}

export interface SubscribeAnswer {
	/** Where delivery begins. */
	offset: number;
	log_start: number;
	high_watermark: number;
}

export interface AuthAnswer {
	auth_expires_ms?: number;
}

export interface PingAnswer {
	/** The broker's clock in milliseconds since 1970. */
	time_ms: number;
}

/** Last element of an error frame. */
export interface ErrorDetailsMap {
	/** The code's name in the table. */
	name: string;
	retriable: boolean;
	retry_after_ms?: number;
	topic?: string;
	partition?: number;
}

/** Last element of an `ended` frame. */
export interface EndedDetailsMap extends ErrorDetailsMap {
	message: string;
	/** Where the log begins and what is visible, with OFFSET_OUT_OF_RANGE. */
	log_start?: number;
	high_watermark?: number;
}
