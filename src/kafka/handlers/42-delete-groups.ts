/**
 * DeleteGroups: v0-2.
 *
 * Behavior (KIP-229):
 * - A group without members goes, with its offsets; NON_EMPTY_GROUP and GROUP_ID_NOT_FOUND else.
 */
import { serveApi } from "../api.ts";
import { kafkaCode } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DELETE_GROUPS,
	type DeleteGroupsRequest,
	type DeleteGroupsResponse,
} from "../generated/42-delete-groups.ts";

export const deleteGroupsApi = serveApi(DELETE_GROUPS, deleteGroups);

async function deleteGroups(
	{ groupsNames }: DeleteGroupsRequest,
	{ host }: Exchange,
): Promise<DeleteGroupsResponse> {
	const deleted = await host.groups.deleteGroups(groupsNames);
	return {
		results: deleted.map(({ groupId, code }) => ({ groupId, errorCode: kafkaCode(code) })),
	};
}
