/**
 * What a client needs for each operation and each call, over WebSocket and HTTP: which operation of
 * Kafka's access rules on which of the resources that it names. The one place that says it.
 */
import { MillraceError } from "../errors.ts";
import type { CallName } from "../protocol/calls.ts";
import { OPERATION } from "../protocol/operations.ts";
import { ACL_OPERATION, CLUSTER_NAME, RESOURCE_TYPE } from "../security/acl.ts";
import type { Arguments } from "./arguments.ts";
import type { Caller } from "./caller.ts";

/** Kinds of resources that clients name. */
export type ResourceKind = "topic" | "group" | "cluster";

/** An operation on what an argument names; the cluster has no argument. */
export interface Need {
	readonly kind: ResourceKind;
	readonly operation: number;
	/** A name, an alias, or an array of names or of maps with a `topic`. */
	readonly argument?: string;
}

const { read, write, create, alter, describe, delete: remove } = ACL_OPERATION;
const { describeConfigs, alterConfigs } = ACL_OPERATION;

const topic = (operation: number, argument = "topic"): Need => ({
	kind: "topic",
	operation,
	argument,
});
const group = (operation: number): Need => ({ kind: "group", operation, argument: "group" });
const describeCluster: Need = { kind: "cluster", operation: describe };
const describeClusterConfigs: Need = { kind: "cluster", operation: describeConfigs };
const alterClusterConfigs: Need = { kind: "cluster", operation: alterConfigs };
const alterCluster: Need = { kind: "cluster", operation: alter };

/** The operation on a topic that a frame's operation needs; null: it is about no topic. */
export const OPERATION_ACCESS: ReadonlyMap<number, number | null> = new Map<number, number | null>([
	[OPERATION.hello, null],
	[OPERATION.open, describe],
	[OPERATION.produce, write],
	[OPERATION.subscribe, read],
	[OPERATION.credit, null],
	[OPERATION.unsubscribe, null],
	// Each call has its own needs, below.
	[OPERATION.call, null],
	[OPERATION.auth, null],
	[OPERATION.ping, null],
]);

/** What calls need, all of it. Lists leave out what may not be described instead. */
export const CALL_ACCESS: Readonly<Record<CallName, readonly Need[]>> = {
	// To create the topic, or any: see `checkCreation`.
	"topics.create": [],
	"topics.list": [],
	"topics.describe": [topic(describe, "name")],
	"topics.alter": [topic(alterConfigs, "name")],
	"topics.add_partitions": [topic(alter, "name")],
	"topics.delete": [topic(remove, "name")],
	"offsets.list": [topic(describe)],
	"offsets.describe": [topic(describe)],
	"groups.list": [],
	"groups.describe": [group(describe)],
	"groups.reset_offsets": [group(read), topic(read)],
	"groups.delete": [group(remove)],
	"groups.join": [group(read), topic(describe, "topics")],
	"groups.acknowledge": [group(read)],
	"groups.progress": [group(read)],
	"groups.commit": [group(read), topic(read, "topics")],
	"groups.committed": [group(describe), topic(describe, "topics")],
	"groups.leave": [group(read)],
	"acls.list": [describeCluster],
	"acls.create": [alterCluster],
	"acls.delete": [alterCluster],
	"quotas.list": [describeClusterConfigs],
	"quotas.set": [alterClusterConfigs],
	"quotas.throttled": [describeCluster],
	"users.list": [describeCluster],
	"users.set": [alterCluster],
	"users.delete": [alterCluster],
	"configs.describe": [describeClusterConfigs],
	"configs.alter": [alterClusterConfigs],
	"tickets.create": [],
	"clients.list": [describeCluster],
	"cluster.describe": [],
	"verify.partition": [topic(read)],
	"verify.status": [describeCluster],
};

const REFUSALS = {
	topic: "TOPIC_AUTHORIZATION_FAILED",
	group: "GROUP_AUTHORIZATION_FAILED",
	cluster: "CLUSTER_AUTHORIZATION_FAILED",
} as const;

const NAME_SHOWN_CHARACTERS = 249;

/** Whether a client may do an operation on a resource. */
export function mayUse(
	caller: Caller,
	kind: ResourceKind,
	operation: number,
	name: string,
): boolean {
	return caller.peer.access.allows(operation, RESOURCE_TYPE[kind], name);
}

/** Whether a client may do with a topic what an operation (OPERATION) does. */
export function mayUseTopic(caller: Caller, frameOperation: number, name: string): boolean {
	const operation = OPERATION_ACCESS.get(frameOperation) ?? null;
	return operation !== null && mayUse(caller, "topic", operation, name);
}

/** Throws TOPIC_AUTHORIZATION_FAILED unless the client may do that. */
export function checkTopic(
	caller: Caller,
	frameOperation: number,
	nameOrAlias: string | number,
): void {
	const name = nameOf(caller, nameOrAlias);
	if (name !== undefined && !mayUseTopic(caller, frameOperation, name)) refuse("topic", name);
}

/** Throws TOPIC_AUTHORIZATION_FAILED and the like unless the client may make the call. */
export function checkCall(caller: Caller, call: CallName, parameters: Arguments): void {
	for (const { kind, operation, argument } of CALL_ACCESS[call]) {
		const names = argument === undefined ? [CLUSTER_NAME] : namesIn(caller, parameters, argument);
		for (const name of names) {
			if (!mayUse(caller, kind, operation, name)) refuse(kind, name);
		}
	}
}

/** Throws TOPIC_AUTHORIZATION_FAILED unless the client may create a topic of this name. */
export function checkCreation(caller: Caller, name: string): void {
	const isAllowed =
		mayUse(caller, "cluster", create, CLUSTER_NAME) || mayUse(caller, "topic", create, name);
	if (!isAllowed) refuse("topic", name);
}

/** Throws the refusal of a resource. */
export function refuse(kind: ResourceKind, name: string): never {
	throw new MillraceError(REFUSALS[kind], name.slice(0, NAME_SHOWN_CHARACTERS));
}

/** What an argument names; what is of the wrong form is the call's to refuse. */
function namesIn(caller: Caller, parameters: Arguments, argument: string): string[] {
	const value = parameters.value(argument);
	const named = Array.isArray(value) ? value : [value];
	return named.flatMap((each) => {
		const isMap = typeof each === "object" && each !== null && "topic" in each;
		const inner = isMap ? each.topic : each;
		if (typeof inner !== "string" && typeof inner !== "number") return [];
		return nameOf(caller, inner) ?? [];
	});
}

/** The name of a topic; undefined for an alias that was never opened. */
function nameOf(caller: Caller, nameOrAlias: string | number): string | undefined {
	if (typeof nameOrAlias === "string") return nameOrAlias;
	return caller.aliases.get(nameOrAlias)?.current.name;
}
