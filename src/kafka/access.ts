/**
 * What a client needs for each API: which operation on the resources that a request names. The one
 * place that says it; handlers ask `exchange.allows`, and an API that is not here gets nothing.
 */
import { MillraceError } from "../errors.ts";
import { ACL_OPERATION, CLUSTER_NAME, RESOURCE_TYPE } from "../security/acl.ts";
import type { Access } from "../security/authorizer.ts";
import type { Exchange } from "./exchange.ts";

/** Kinds of resources that requests name. */
export type ResourceKind = "topic" | "group" | "cluster" | "transactionalId";

/** The operation that an API does on resources of each kind. */
export type Needs = { readonly [Kind in ResourceKind]?: number };

const { read, write, create, alter, describe, clusterAction } = ACL_OPERATION;
const { delete: remove, describeConfigs, alterConfigs, idempotentWrite } = ACL_OPERATION;

/** By API key. Beside some stand further operations: see the functions below. */
export const ACCESS: ReadonlyMap<number, Needs> = new Map<number, Needs>([
	// Produce
	[0, { topic: write, transactionalId: write }],
	// Fetch
	[1, { topic: read }],
	// ListOffsets
	[2, { topic: describe }],
	// Metadata; the cluster's operations are told to who may describe it
	[3, { topic: describe, cluster: describe }],
	// OffsetCommit
	[8, { group: read, topic: read }],
	// OffsetFetch
	[9, { group: describe, topic: describe }],
	// FindCoordinator
	[10, { group: describe, transactionalId: describe }],
	// JoinGroup, Heartbeat, LeaveGroup, SyncGroup
	[11, { group: read }],
	[12, { group: read }],
	[13, { group: read }],
	[14, { group: read }],
	// DescribeGroups
	[15, { group: describe }],
	// ListGroups: all of them, or those that may be described
	[16, { cluster: describe, group: describe }],
	// SaslHandshake, ApiVersions, SaslAuthenticate: what comes before anybody is known
	[17, {}],
	[18, {}],
	[36, {}],
	// CreateTopics: any topic, or this one
	[19, { cluster: create, topic: create }],
	// DeleteTopics: any topic, or this one
	[20, { cluster: remove, topic: remove }],
	// DeleteRecords
	[21, { topic: remove }],
	// InitProducerId; without IdempotentWrite, to who may write to any topic
	[22, { transactionalId: write, cluster: idempotentWrite }],
	// OffsetForLeaderEpoch: brokers, or consumers of the topic
	[23, { cluster: clusterAction, topic: describe }],
	// DescribeAcls, CreateAcls, DeleteAcls
	[29, { cluster: describe }],
	[30, { cluster: alter }],
	[31, { cluster: alter }],
	// DescribeConfigs
	[32, { topic: describeConfigs, group: describeConfigs, cluster: describeConfigs }],
	// AlterConfigs, IncrementalAlterConfigs
	[33, { topic: alterConfigs, group: alterConfigs, cluster: alterConfigs }],
	[44, { topic: alterConfigs, group: alterConfigs, cluster: alterConfigs }],
	// DescribeLogDirs
	[35, { cluster: describe }],
	// CreatePartitions
	[37, { topic: alter }],
	// DeleteGroups
	[42, { group: remove }],
	// ElectLeaders
	[43, { cluster: alter }],
	// AlterPartitionReassignments, ListPartitionReassignments
	[45, { cluster: alter }],
	[46, { cluster: describe }],
	// OffsetDelete
	[47, { group: remove, topic: read }],
	// DescribeClientQuotas, AlterClientQuotas
	[48, { cluster: describeConfigs }],
	[49, { cluster: alterConfigs }],
	// DescribeUserScramCredentials, AlterUserScramCredentials
	[50, { cluster: describe }],
	[51, { cluster: alter }],
	// DescribeQuorum
	[55, { cluster: describe }],
	// DescribeCluster: the operations are told to who may describe it, the rest to everybody
	[60, { cluster: describe }],
	// DescribeProducers
	[61, { topic: read }],
	// ConsumerGroupHeartbeat
	[68, { group: read, topic: describe }],
	// ConsumerGroupDescribe
	[69, { group: describe, topic: describe }],
	// ListConfigResources
	[74, { cluster: describeConfigs }],
	// DescribeTopicPartitions
	[75, { topic: describe }],
]);

const REFUSALS = {
	topic: "TOPIC_AUTHORIZATION_FAILED",
	group: "GROUP_AUTHORIZATION_FAILED",
	cluster: "CLUSTER_AUTHORIZATION_FAILED",
	transactionalId: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
} as const;

/** Whether a client may do with a resource what an API does. */
export function isAllowed(
	access: Access,
	apiKey: number,
	kind: ResourceKind,
	name: string,
): boolean {
	const operation = ACCESS.get(apiKey)?.[kind];
	return operation !== undefined && access.allows(operation, RESOURCE_TYPE[kind], name);
}

/** Throws TOPIC_AUTHORIZATION_FAILED and the like unless the request may use the resource. */
export function checkAllowed(exchange: Exchange, kind: ResourceKind, name: string): void {
	if (!exchange.allows(kind, name)) throw new MillraceError(REFUSALS[kind], name.slice(0, 249));
}

/** Throws CLUSTER_AUTHORIZATION_FAILED unless the request may do to the cluster what it is for. */
export function checkAllowedOnCluster(exchange: Exchange): void {
	checkAllowed(exchange, "cluster", CLUSTER_NAME);
}

/** Whether the client may create a topic of this name. */
export function mayCreateTopic({ peer: { access } }: Exchange, name: string): boolean {
	return (
		access.allows(create, RESOURCE_TYPE.cluster, CLUSTER_NAME) ||
		access.allows(create, RESOURCE_TYPE.topic, name)
	);
}

/** Whether the client may have a producer id. */
export function mayNumberRecords(exchange: Exchange): boolean {
	return (
		exchange.allows("cluster", CLUSTER_NAME) ||
		exchange.peer.access.allowsAny(write, RESOURCE_TYPE.topic)
	);
}

/** Whether the client may see the configuration of a topic. */
export function mayDescribeConfigs({ peer: { access } }: Exchange, topic: string): boolean {
	return access.allows(describeConfigs, RESOURCE_TYPE.topic, topic);
}
