/** What a client may do, as bit fields over Kafka's operation numbers (KIP-430). */
import { ACL_OPERATION, CLUSTER_NAME, RESOURCE_TYPE } from "../security/acl.ts";
import type { Exchange } from "./exchange.ts";

/** The client did not ask. */
export const OPERATIONS_UNASKED = -2_147_483_648;

const { read, write, create, alter, describe, clusterAction } = ACL_OPERATION;
const { delete: remove, describeConfigs, alterConfigs, idempotentWrite } = ACL_OPERATION;

/** What there is to do with resources of each kind. */
const OPERATIONS = {
	topic: [read, write, create, remove, alter, describe, describeConfigs, alterConfigs],
	group: [read, remove, describe, describeConfigs, alterConfigs],
	cluster: [create, alter, describe, clusterAction, describeConfigs, alterConfigs, idempotentWrite],
} as const;

/** What the client may do with a resource. */
export function operationsOn(
	{ peer: { access } }: Exchange,
	kind: keyof typeof OPERATIONS,
	name: string,
): number {
	let field = 0;
	for (const operation of OPERATIONS[kind]) {
		if (access.allows(operation, RESOURCE_TYPE[kind], name)) field |= 1 << operation;
	}
	return field;
}

/** What the client may do with the cluster; nothing where it may not describe it. */
export function operationsOnCluster(exchange: Exchange): number {
	if (!exchange.allows("cluster", CLUSTER_NAME)) return 0;
	return operationsOn(exchange, "cluster", CLUSTER_NAME);
}
