/**
 * ListPartitionReassignments: v0 (KIP-455).
 *
 * Behavior:
 * - Nothing is ever being moved: the list is empty, whatever is asked for.
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { serveApi } from "../api.ts";
import { type Failure, failed } from "../codes.ts";
import { LIST_PARTITION_REASSIGNMENTS } from "../generated/46-list-partition-reassignments.ts";

const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: null };

export const listPartitionReassignmentsApi = serveApi(
	LIST_PARTITION_REASSIGNMENTS,
	(_request, exchange) => ({
		...(exchange.allows("cluster", CLUSTER_NAME) ? DONE : failed("CLUSTER_AUTHORIZATION_FAILED")),
		topics: [],
	}),
);
