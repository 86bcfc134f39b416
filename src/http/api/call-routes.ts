/** Every call that HTTP serves: its method and path, and what is told of it. */
import type * as v from "valibot";
import { invalid } from "../../calls/arguments.ts";
import type { SharedCallName } from "../../calls/table.ts";
import {
	ACLS_LISTED_MAX,
	CLIENTS_LISTED_MAX,
	GROUPS_LISTED_MAX,
	TOPICS_LISTED_MAX,
	USERS_LISTED_MAX,
} from "../../protocol/calls.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import type { Route } from "../router.ts";
import type { Parameter, Parameters } from "./parameters.ts";
import * as schemas from "./schemas.ts";

/** What is the same of all routes under /v1, for who describes them. */
export interface Described {
	readonly method: Route["method"];
	/** Segments in braces are arguments. */
	readonly path: string;
	readonly tag:
		| "topics"
		| "records"
		| "groups"
		| "acls"
		| "quotas"
		| "users"
		| "configs"
		| "tickets"
		| "clients"
		| "cluster";
	readonly summary: string;
	readonly description?: string;
	readonly query?: Parameters;
	/** Absent: there is no body. */
	readonly body?: v.GenericSchema;
	readonly answer: v.GenericSchema;
	/** Of the answer, where all is well; default 200. */
	readonly status?: number;
	/** Whether records are stored or read, whose bytes quotas count. */
	readonly traffic?: "produce" | "fetch";
}

export interface CallRoute extends Described {
	/** Makes the call's arguments of those of the request, where they differ. */
	readonly argumentsOf?: (given: DecodedMap) => DecodedMap;
}

/** Arguments in paths, the same wherever they stand. */
export const PATH_PARAMETERS: Parameters = {
	topic: { type: "string", description: "Name of the topic." },
	name: { type: "string", description: "Name of the topic." },
	user: { type: "string", description: "Name of the user." },
	group: { type: "string", description: "Id of the consumer group." },
	partition: { type: "integer", description: "Number of the partition.", least: 0 },
};

const after: Parameter = {
	type: "string",
	description: "Go on behind this: the last name of the page before.",
};
const limit = (most: number): Parameter => ({
	type: "integer",
	description: "Most entries in the answer.",
	least: 1,
	most,
});

const aclFilter: Parameters = {
	resource: {
		type: "string",
		description: "Kind of resource.",
		choices: schemas.ACL_RESOURCES,
	},
	name: { type: "string", description: "Name of the resource." },
	pattern: {
		type: "string",
		description: "How the name is meant; match: all rules that it falls under.",
		choices: schemas.ACL_PATTERNS,
	},
	principal: { type: "string", description: "Such as User:alice." },
	host: { type: "string", description: "Address of the client." },
	operation: { type: "string", description: "Operation.", choices: schemas.ACL_OPERATIONS },
	permission: { type: "string", description: "Permission.", choices: schemas.ACL_PERMISSIONS },
};

/** `at` of offsets.list, from the one of two parameters that is given. */
function offsetArguments({ timestamp_ms, ...given }: DecodedMap): DecodedMap {
	return timestamp_ms === undefined ? given : { ...given, at: { timestamp_ms } };
}

/** Nobody means all rules by leaving everything out. */
function someFilter(given: DecodedMap): DecodedMap {
	return Object.keys(given).length > 0 ? given : invalid("resource", "or another filter is needed");
}

export const CALL_ROUTES: Readonly<Record<SharedCallName, CallRoute>> = {
	"topics.list": {
		method: "GET",
		path: "/v1/topics",
		tag: "topics",
		summary: "List topics, in the order of their names",
		query: {
			after,
			limit: limit(TOPICS_LISTED_MAX),
			internal: { type: "boolean", description: "Also those that the broker keeps for itself." },
		},
		answer: schemas.TOPIC_LIST,
	},
	"topics.create": {
		method: "POST",
		path: "/v1/topics",
		tag: "topics",
		summary: "Create a topic",
		description: "Answered when it is durable. `topic` is null with `validate_only`.",
		body: schemas.NEW_TOPIC,
		answer: schemas.CREATED_TOPIC,
	},
	"topics.describe": {
		method: "GET",
		path: "/v1/topics/{name}",
		tag: "topics",
		summary: "Describe a topic and its configuration",
		answer: schemas.TOPIC_ANSWER,
	},
	"topics.alter": {
		method: "PATCH",
		path: "/v1/topics/{name}",
		tag: "topics",
		summary: "Change a topic's configuration",
		description: "Values that are not named stay; null: back to the default.",
		body: schemas.TOPIC_CHANGE,
		answer: schemas.TOPIC_ANSWER,
	},
	"topics.add_partitions": {
		method: "PUT",
		path: "/v1/topics/{name}/partitions",
		tag: "topics",
		summary: "Give a topic more partitions",
		description: "`partitions` is how many there are to be; never fewer.",
		body: schemas.PARTITION_COUNT,
		answer: schemas.TOPIC_ANSWER,
	},
	"topics.delete": {
		method: "DELETE",
		path: "/v1/topics/{name}",
		tag: "topics",
		summary: "Delete a topic and its records",
		description: "Answered when it is durable and the name is free.",
		answer: schemas.DELETED_TOPIC,
	},
	"offsets.describe": {
		method: "GET",
		path: "/v1/topics/{topic}/offsets",
		tag: "topics",
		summary: "Tell where each partition begins and ends",
		answer: schemas.OFFSETS,
	},
	"offsets.list": {
		method: "GET",
		path: "/v1/topics/{topic}/partitions/{partition}/offset",
		tag: "topics",
		summary: "Find an offset: an end of the log, or the first record at or after a time",
		description: "One of `at` and `timestamp_ms`. `offset` is null: no record is that young.",
		query: {
			at: { type: "string", description: "End of the log.", choices: ["earliest", "latest"] },
			timestamp_ms: {
				type: "integer",
				description: "Milliseconds since 1970.",
				least: 0,
			},
		},
		answer: schemas.OFFSET,
		argumentsOf: offsetArguments,
	},
	"groups.list": {
		method: "GET",
		path: "/v1/groups",
		tag: "groups",
		summary: "List consumer groups, in the order of their names",
		query: { after, limit: limit(GROUPS_LISTED_MAX) },
		answer: schemas.GROUP_LIST,
	},
	"groups.describe": {
		method: "GET",
		path: "/v1/groups/{group}",
		tag: "groups",
		summary: "Describe a group: members, committed offsets, lag",
		answer: schemas.GROUP_ANSWER,
	},
	"groups.reset_offsets": {
		method: "POST",
		path: "/v1/groups/{group}/offsets",
		tag: "groups",
		summary: "Set the committed offsets of a group without members",
		description:
			"Without `topic`: of every partition that the group has committed. Durable when answered.",
		body: schemas.OFFSET_RESET,
		answer: schemas.OFFSET_MOVES,
	},
	"groups.delete": {
		method: "DELETE",
		path: "/v1/groups/{group}",
		tag: "groups",
		summary: "Delete a group without members",
		answer: schemas.NOTHING,
	},
	"acls.list": {
		method: "GET",
		path: "/v1/acls",
		tag: "acls",
		summary: `List access rules, ${ACLS_LISTED_MAX} at most`,
		description: "What is left out matches everything. Go on with `after`: `next` of the answer.",
		query: { ...aclFilter, after },
		answer: schemas.ACL_LIST,
	},
	"acls.create": {
		method: "POST",
		path: "/v1/acls",
		tag: "acls",
		summary: "Add access rules",
		description: "Answered when they are durable and in force.",
		body: schemas.NEW_ACLS,
		answer: schemas.NOTHING,
	},
	"acls.delete": {
		method: "DELETE",
		path: "/v1/acls",
		tag: "acls",
		summary: "Delete the access rules that a filter matches",
		description: "What is left out matches everything; all of it cannot be left out.",
		query: aclFilter,
		answer: schemas.ACLS_DELETED,
		argumentsOf: someFilter,
	},
	"quotas.list": {
		method: "GET",
		path: "/v1/quotas",
		tag: "quotas",
		summary: "List quotas",
		description:
			'Of a user or client id, or all; "" is everybody for whom there is none by name. ' +
			"Go on with `after`: `next` of the answer.",
		query: {
			user: { type: "string", description: "Name of the user." },
			client_id: { type: "string", description: "Id of the client." },
			after: { type: "string", description: "Go on behind this." },
		},
		answer: schemas.QUOTA_LIST,
	},
	"quotas.set": {
		method: "PUT",
		path: "/v1/quotas",
		tag: "quotas",
		summary: "Set or remove rates of a user, a client id, or both",
		description: "null removes a rate. Answered when that is durable and in force.",
		body: schemas.QUOTA_CHANGE,
		answer: schemas.NOTHING,
	},
	"quotas.throttled": {
		method: "GET",
		path: "/v1/quotas/throttled",
		tag: "quotas",
		summary: "List connections, and users over HTTP, that wait because of a quota",
		answer: schemas.THROTTLED_CLIENTS,
	},
	"users.list": {
		method: "GET",
		path: "/v1/users",
		tag: "users",
		summary: "List users, in the order of their names",
		description: "With how often the password of each is hashed; what is kept of it is not told.",
		query: { after, limit: limit(USERS_LISTED_MAX) },
		answer: schemas.USER_LIST,
	},
	"users.set": {
		method: "PUT",
		path: "/v1/users/{user}",
		tag: "users",
		summary: "Make a user, or give one another password",
		description: "For all mechanisms. Answered when that is durable and in force.",
		body: schemas.NEW_PASSWORD,
		answer: schemas.NOTHING,
	},
	"users.delete": {
		method: "DELETE",
		path: "/v1/users/{user}",
		tag: "users",
		summary: "Delete a user",
		description: "Answered when that is durable and in force.",
		answer: schemas.NOTHING,
	},
	"configs.describe": {
		method: "GET",
		path: "/v1/configs",
		tag: "configs",
		summary: "Describe the broker's settings: what each is, who says so, how it changes",
		answer: schemas.CONFIG_LIST,
	},
	"configs.alter": {
		method: "PATCH",
		path: "/v1/configs",
		tag: "configs",
		summary: "Change the broker's settings while it runs",
		description:
			"Settings that are not named stay; null: back to what flags, environment, file or default " +
			"say. All changes are made or none. Answered, with what there is then, when they are " +
			"durable and in force.",
		body: schemas.CONFIG_CHANGE,
		answer: schemas.CONFIG_LIST,
	},
	"tickets.create": {
		method: "POST",
		path: "/v1/tickets",
		tag: "tickets",
		summary: "Get a ticket for a page",
		description: "It lets one WebSocket client in as who asks for it, once, within 30 seconds.",
		answer: schemas.TICKET,
		status: 201,
	},
	"clients.list": {
		method: "GET",
		path: "/v1/clients",
		tag: "clients",
		summary: "List the clients that are connected",
		description: "Over Kafka's protocol and WebSocket; with why each is slow, if it is.",
		query: {
			after: { type: "integer", description: "Go on behind this: the last id before.", least: 0 },
			limit: limit(CLIENTS_LISTED_MAX),
			slow: { type: "boolean", description: "Those alone that are slow." },
		},
		answer: schemas.CLIENT_LIST,
	},
	"cluster.describe": {
		method: "GET",
		path: "/v1/cluster",
		tag: "cluster",
		summary: "Describe the cluster and its brokers",
		answer: schemas.CLUSTER,
	},
	"verify.status": {
		method: "GET",
		path: "/v1/verify",
		tag: "cluster",
		summary: "Tell what recovery found at the last start",
		answer: schemas.VERIFY_STATUS,
	},
	"verify.partition": {
		method: "POST",
		path: "/v1/topics/{topic}/partitions/{partition}/verify",
		tag: "topics",
		summary: "Check a bounded step of a partition for damage",
		description: "Go on with `from_offset`: `next_offset` of the answer, until that is null.",
		body: schemas.VERIFY_START,
		answer: schemas.VERIFIED_STEP,
	},
};
