/**
 * What goes in and out over HTTP, as schemas: bodies are checked by them, and the OpenAPI
 * description is made of them. The compiler compares them with the types of the calls.
 */

import * as v from "valibot";
import {
	ACL_OPERATION_NUMBERS,
	ACL_PATTERN_NUMBERS,
	ACL_PERMISSION_NUMBERS,
	ACL_RESOURCE_NUMBERS,
} from "../../calls/acls.ts";
import type {
	AclRule,
	CallAnswer,
	GroupSummary,
	OffsetMove,
	TopicDescription,
	TopicSummary,
} from "../../protocol/calls.ts";

type SchemaOf<Value> = v.GenericSchema<unknown, Value>;

const integer = v.pipe(v.number(), v.integer());
const natural = v.pipe(v.number(), v.integer(), v.minValue(0));
const nullableNatural = v.nullable(natural);

const topicSummary = {
	name: v.string(),
	topic_id: v.string(),
	partitions: natural,
	internal: v.boolean(),
};

export const TOPIC_SUMMARY = v.object(topicSummary) satisfies SchemaOf<TopicSummary>;

export const TOPIC_DESCRIPTION = v.object({
	...topicSummary,
	max_message_bytes: natural,
	durability: v.picklist(["written", "flushed"]),
	configs: v.array(
		v.object({
			name: v.string(),
			value: v.string(),
			type: v.string(),
			source: v.picklist(["topic", "broker", "default"]),
			read_only: v.boolean(),
			doc: v.string(),
			pending: v.nullable(v.string()),
		}),
	),
}) satisfies SchemaOf<TopicDescription>;

export const TOPIC_ANSWER = v.object({ topic: TOPIC_DESCRIPTION });

export const CREATED_TOPIC = v.object({
	created: v.boolean(),
	topic: v.nullable(TOPIC_DESCRIPTION),
}) satisfies SchemaOf<CallAnswer<"topics.create">>;

export const DELETED_TOPIC = v.object({ topic_id: v.string() });

export const TOPIC_LIST = v.object({ topics: v.array(TOPIC_SUMMARY), more: v.boolean() });

export const NEW_TOPIC = v.strictObject({
	name: v.string(),
	partitions: v.optional(integer),
	configs: v.optional(v.record(v.string(), v.string())),
	if_not_exists: v.optional(v.boolean()),
	validate_only: v.optional(v.boolean()),
});

export const TOPIC_CHANGE = v.strictObject({
	configs: v.record(v.string(), v.nullable(v.string())),
	validate_only: v.optional(v.boolean()),
});

export const PARTITION_COUNT = v.strictObject({ partitions: integer });

export const OFFSET = v.object({
	offset: nullableNatural,
	timestamp_ms: v.nullable(integer),
	leader_epoch: integer,
}) satisfies SchemaOf<CallAnswer<"offsets.list">>;

export const OFFSETS = v.object({
	partitions: v.array(
		v.object({
			partition: natural,
			log_start: natural,
			high_watermark: natural,
			log_end: natural,
			flushed: natural,
			leader_epoch: integer,
		}),
	),
}) satisfies SchemaOf<CallAnswer<"offsets.describe">>;

const groupSummary = {
	group: v.string(),
	type: v.string(),
	state: v.string(),
	protocol_type: v.string(),
};

export const GROUP_SUMMARY = v.object(groupSummary) satisfies SchemaOf<GroupSummary>;

export const GROUP_LIST = v.object({ groups: v.array(GROUP_SUMMARY), more: v.boolean() });

export const GROUP_ANSWER = v.object({
	group: v.object({
		...groupSummary,
		members: v.array(
			v.object({
				member_id: v.string(),
				instance_id: v.nullable(v.string()),
				client_id: v.string(),
				client_host: v.string(),
				assignment: v.nullable(
					v.array(v.object({ topic: v.string(), partitions: v.array(natural) })),
				),
			}),
		),
		partitions: v.array(
			v.object({
				topic: v.string(),
				partition: natural,
				member_id: v.nullable(v.string()),
				committed: nullableNatural,
				log_start: nullableNatural,
				high_watermark: nullableNatural,
				lag: nullableNatural,
				lag_ms: v.nullable(v.number()),
			}),
		),
	}),
}) satisfies SchemaOf<CallAnswer<"groups.describe">>;

export const OFFSET_RESET = v.strictObject({
	topic: v.optional(v.string()),
	partition: v.optional(natural),
	to: v.union([
		v.picklist(["earliest", "latest"]),
		v.strictObject({ offset: natural }),
		v.strictObject({ timestamp_ms: natural }),
		v.strictObject({ shift: integer }),
	]),
	dry_run: v.optional(v.boolean()),
});

export const OFFSET_MOVES = v.object({
	moves: v.array(
		v.object({
			topic: v.string(),
			partition: natural,
			from: nullableNatural,
			to: natural,
		}) satisfies SchemaOf<OffsetMove>,
	),
});

const namesOf = <Name extends string>(numbers: Readonly<Record<Name, number>>): readonly Name[] =>
	Object.keys(numbers) as Name[];

export const ACL_RESOURCES = namesOf(ACL_RESOURCE_NUMBERS);
export const ACL_PATTERNS = namesOf(ACL_PATTERN_NUMBERS);
export const ACL_OPERATIONS = namesOf(ACL_OPERATION_NUMBERS);
export const ACL_PERMISSIONS = namesOf(ACL_PERMISSION_NUMBERS);

const ACL_RULE = v.object({
	resource: v.picklist(ACL_RESOURCES),
	name: v.string(),
	pattern: v.picklist(ACL_PATTERNS),
	principal: v.string(),
	host: v.string(),
	operation: v.picklist(ACL_OPERATIONS),
	permission: v.picklist(ACL_PERMISSIONS),
}) satisfies SchemaOf<AclRule>;

export const ACL_LIST = v.object({ acls: v.array(ACL_RULE), next: v.nullable(v.string()) });

export const NEW_ACLS = v.strictObject({
	acls: v.array(
		v.strictObject({
			resource: v.picklist(ACL_RESOURCES),
			name: v.string(),
			pattern: v.optional(v.picklist(["literal", "prefixed"])),
			principal: v.string(),
			host: v.optional(v.string()),
			operation: v.picklist(ACL_OPERATIONS),
			permission: v.optional(v.picklist(ACL_PERMISSIONS)),
		}),
	),
});

export const ACLS_DELETED = v.object({ deleted: natural });

const quotaTarget = {
	user: v.exactOptional(v.string()),
	client_id: v.exactOptional(v.string()),
};

export const QUOTA_LIST = v.object({
	quotas: v.array(v.object({ ...quotaTarget, rates: v.record(v.string(), v.number()) })),
	next: v.nullable(v.string()),
});

export const QUOTA_CHANGE = v.strictObject({
	...quotaTarget,
	rates: v.record(v.string(), v.nullable(v.number())),
});

export const THROTTLED_CLIENTS = v.object({
	clients: v.array(
		v.object({
			protocol: v.picklist(["kafka", "websocket", "http"]),
			connection: natural,
			address: v.string(),
			user: v.string(),
			client_id: v.string(),
			quota: v.string(),
			rate: v.number(),
			set_for: v.object(quotaTarget),
			left_ms: v.number(),
		}),
	),
}) satisfies SchemaOf<CallAnswer<"quotas.throttled">>;

export const USER_LIST = v.object({
	users: v.array(
		v.object({
			user: v.string(),
			credentials: v.array(v.object({ mechanism: v.string(), iterations: natural })),
		}),
	),
	more: v.boolean(),
}) satisfies SchemaOf<CallAnswer<"users.list">>;

/** The message of its own does not repeat what came. */
export const NEW_PASSWORD = v.strictObject({ password: v.string("is not a string") });

const configSource = v.picklist(["broker", "cluster", "start", "default"]);

export const CONFIG_LIST = v.object({
	configs: v.array(
		v.object({
			name: v.string(),
			value: v.nullable(v.string()),
			type: v.string(),
			source: configSource,
			read_only: v.boolean(),
			needs_restart: v.boolean(),
			doc: v.string(),
			values: v.array(v.object({ name: v.string(), value: v.string(), source: configSource })),
		}),
	),
}) satisfies SchemaOf<CallAnswer<"configs.describe">>;

export const CONFIG_CHANGE = v.strictObject({
	configs: v.record(v.string(), v.nullable(v.string())),
	level: v.optional(v.picklist(["broker", "cluster"])),
	validate_only: v.optional(v.boolean()),
});

export const CLIENT_LIST = v.object({
	clients: v.array(
		v.object({
			id: natural,
			protocol: v.picklist(["kafka", "websocket"]),
			principal: v.string(),
			client: v.string(),
			address: v.string(),
			connected_ms: natural,
			pending_bytes: natural,
			lag_records: natural,
			slow: v.nullable(
				v.object({
					reason: v.picklist(["not_reading", "not_asking", "falling_behind"]),
					since_ms: natural,
				}),
			),
		}),
	),
	more: v.boolean(),
}) satisfies SchemaOf<CallAnswer<"clients.list">>;

export const CLUSTER = v.object({
	cluster_id: v.string(),
	brokers: v.array(
		v.object({
			id: integer,
			version: v.string(),
			websocket: v.nullable(v.string()),
			kafka: v.nullable(v.string()),
		}),
	),
	controller_id: integer,
}) satisfies SchemaOf<CallAnswer<"cluster.describe">>;

export const VERIFIED_STEP = v.object({
	next_offset: nullableNatural,
	records: natural,
	bytes: natural,
	findings: v.array(v.string()),
}) satisfies SchemaOf<CallAnswer<"verify.partition">>;

export const VERIFY_START = v.strictObject({ from_offset: v.optional(natural) });

export const VERIFY_STATUS = v.object({
	clean: v.boolean(),
	findings: v.array(v.object({ subject: v.string(), detail: v.string() })),
}) satisfies SchemaOf<CallAnswer<"verify.status">>;

export const TICKET = v.object({
	ticket: v.string(),
	expires_ms: natural,
}) satisfies SchemaOf<CallAnswer<"tickets.create">>;

export const NOTHING = v.object({});

const headers = v.array(v.tuple([v.string(), v.nullable(v.string())]));

/** A record as JSON tells it; in MessagePack, key, value and headers are binaries. */
export const RECORDS = v.object({
	topic: v.string(),
	partition: natural,
	records: v.array(
		v.object({
			offset: natural,
			timestamp_ms: integer,
			key: v.nullable(v.string()),
			value: v.nullable(v.string()),
			headers: v.optional(headers),
		}),
	),
	/** What was left out because it is damaged. */
	gaps: v.array(v.object({ from: natural, to: natural, code: integer, name: v.string() })),
	next_offset: natural,
	log_start: natural,
	high_watermark: natural,
});

export const NEW_RECORDS = v.strictObject({
	records: v.array(
		v.strictObject({
			value: v.optional(v.nullable(v.string())),
			key: v.optional(v.nullable(v.string())),
			partition: v.optional(natural),
			timestamp_ms: v.optional(natural),
			headers: v.optional(headers),
		}),
	),
});

const storedPart = v.object({
	partition: natural,
	base_offset: integer,
	count: natural,
});

export const STORED = v.object({
	topic: v.string(),
	durability: v.picklist(["written", "flushed"]),
	append_time_ms: integer,
	stored: v.array(storedPart),
});

export const PROBLEM = v.object({
	type: v.string(),
	title: v.string(),
	status: v.number(),
	detail: v.string(),
	code: v.optional(integer),
	name: v.optional(v.string()),
	retriable: v.optional(v.boolean()),
	topic: v.optional(v.string()),
	partition: v.optional(integer),
	log_start: v.optional(natural),
	high_watermark: v.optional(natural),
	stored: v.optional(v.array(storedPart)),
	refused: v.optional(
		v.array(
			v.object({
				partition: v.nullable(natural),
				count: natural,
				code: integer,
				name: v.string(),
				message: v.string(),
			}),
		),
	),
});
