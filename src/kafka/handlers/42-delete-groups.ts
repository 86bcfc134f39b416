/**
 * DeleteGroups: v0-2.
 *
 * Behavior (KIP-229):
 * - A group without members goes, with its offsets; NON_EMPTY_GROUP and GROUP_ID_NOT_FOUND else.
 */
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { kafkaCode } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DELETE_GROUPS,
	type DeleteGroupsRequest,
	type DeleteGroupsResponse,
} from "../generated/42-delete-groups.ts";

export const deleteGroupsApi = serveApi(DELETE_GROUPS, deleteGroups, (_, { results }) =>
	results.map(({ groupId, errorCode }) => ({ resource: `group ${groupId}`, errorCode })),
);

async function deleteGroups(
	{ groupsNames }: DeleteGroupsRequest,
	exchange: Exchange,
): Promise<DeleteGroupsResponse> {
	const allowed = groupsNames.filter((groupId) => exchange.allows("group", groupId));
	const refused = groupsNames.filter((groupId) => !exchange.allows("group", groupId));
	const deleted = await exchange.host.groups.deleteGroups(allowed);
	return {
		results: [
			...deleted.map(({ groupId, code }) => ({ groupId, errorCode: kafkaCode(code) })),
			...refused.map((groupId) => ({
				groupId,
				errorCode: CODES.GROUP_AUTHORIZATION_FAILED.code,
			})),
		],
	};
}
