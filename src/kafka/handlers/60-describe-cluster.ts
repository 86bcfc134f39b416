/**
 * DescribeCluster: v0-2.
 *
 * Behavior:
 * - The one broker, under the address that the client dialled or that `advertise` names; it is the
 *   controller.
 * - There are no endpoints of controllers: who asks for them is at the wrong one,
 *   MISMATCHED_ENDPOINT_TYPE.
 *
 * Version notes:
 * - v1: endpoint types (KIP-919).  v2: fenced brokers (KIP-1073), which there never are.
 */
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { operationsOnCluster } from "../authorized-operations.ts";
import { failed } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_CLUSTER,
	type DescribeClusterRequest,
	type DescribeClusterResponse,
} from "../generated/60-describe-cluster.ts";
import { brokerAddress } from "../node.ts";

const ENDPOINT_BROKER = 1;
const ENDPOINT_CONTROLLER = 2;

export const describeClusterApi = serveApi(DESCRIBE_CLUSTER, describeCluster);

function describeCluster(
	{ endpointType, includeClusterAuthorizedOperations }: DescribeClusterRequest,
	exchange: Exchange,
): DescribeClusterResponse {
	const { brokerId, storage } = exchange.host;
	if (endpointType !== ENDPOINT_BROKER) {
		const failure =
			endpointType === ENDPOINT_CONTROLLER
				? failed("MISMATCHED_ENDPOINT_TYPE", "this is a broker, not a controller")
				: failed("UNSUPPORTED_ENDPOINT_TYPE", `${endpointType}`);
		return { ...failure, clusterId: "", brokers: [] };
	}
	return {
		errorCode: CODES.NONE.code,
		clusterId: storage.clusterId,
		controllerId: brokerId,
		brokers: [{ brokerId, ...brokerAddress(exchange), isFenced: false }],
		...(includeClusterAuthorizedOperations
			? { clusterAuthorizedOperations: operationsOnCluster(exchange) }
			: {}),
	};
}
