/**
 * The vocabulary of the WebSocket protocol, as numbers and names: what stands first in a frame and
 * in its enumerated fields. `docs/websocket-protocol.md` tells what each frame means.
 */

/** The WebSocket sub-protocol that a client asks for. */
export const SUBPROTOCOL = "millrace.v1";

/** First element of every frame. Below 128: client to broker; from 128 on: broker to client. */
export const OPERATION = {
	hello: 1,
	open: 2,
	produce: 3,
	subscribe: 4,
	credit: 5,
	unsubscribe: 6,
	call: 7,
	auth: 8,
	ping: 9,
	answer: 128,
	produced: 129,
	error: 130,
	records: 131,
	batches: 132,
	caughtUp: 133,
	gap: 134,
	ended: 135,
	notice: 136,
} as const;

/**
 * How durable a produce frame's records must be before it is answered; nil in the frame = as the
 * topic promises.
 */
export const ACK = { none: 0, written: 1, flushed: 2, replicated: 3 } as const;

/** How the body of a produce entry is to be taken. */
export const BODY_FORMAT = { bytes: 0, msgpack: 1, batch: 2 } as const;

/**
 * How the broker is to compress the records of a produce entry, by Kafka's numbers: added to the
 * format, `BODY_COMPRESSION_FACTOR` times.
 */
export const BODY_COMPRESSION = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export const BODY_COMPRESSION_FACTOR = 4;

/**
 * A produce entry's partition when the broker is to choose: by key, or one partition a frame
 * without keys.
 */
export const PARTITION_BY_KEY = -1;

/** A produce entry's base sequence when it is not idempotent. */
export const SEQUENCE_NONE = -1;

/** The largest sequence number; the next one is 0. */
export const SEQUENCE_MAX = 2_147_483_647;

export type SubscriptionFormat = "records" | "batch";
export type OutOfRangePolicy = "error" | "earliest" | "latest";
export type Isolation = "read_uncommitted" | "read_committed";
export type DurabilityName = "written" | "flushed";

/** First field of a notice. */
export type NoticeKind =
	| "throttled"
	| "partitions_changed"
	| "auth_expiring"
	| "going_away"
	| "assign"
	| "revoke"
	| "lost";

/** What this version can do beyond the first; a client asks for nothing that was not announced. */
export const FEATURES = [
	"produce.batch",
	"produce.compress",
	"subscribe.batch",
	"verify.status",
	"verify.partition",
	"groups",
	"tickets",
] as const;
