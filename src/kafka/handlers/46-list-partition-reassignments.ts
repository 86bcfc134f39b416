/**
 * ListPartitionReassignments: v0 (KIP-455).
 *
 * Behavior:
 * - Nothing is ever being moved: the list is empty, whatever is asked for.
 */
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { LIST_PARTITION_REASSIGNMENTS } from "../generated/46-list-partition-reassignments.ts";

export const listPartitionReassignmentsApi = serveApi(LIST_PARTITION_REASSIGNMENTS, () => ({
	errorCode: CODES.NONE.code,
	errorMessage: null,
	topics: [],
}));
