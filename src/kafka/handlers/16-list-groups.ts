/**
 * ListGroups: v0-5.
 *
 * Behavior:
 * - All groups to who may describe the cluster, else those that the client may describe.
 *
 * Version notes:
 * - v4: states to list (KIP-518).  v5: types (KIP-848).
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	LIST_GROUPS,
	type ListGroupsRequest,
	type ListGroupsResponse,
} from "../generated/16-list-groups.ts";
import { groupCode } from "../groups.ts";

export const listGroupsApi = serveApi(LIST_GROUPS, listGroups);

function listGroups(
	{ statesFilter, typesFilter }: ListGroupsRequest,
	exchange: Exchange,
): ListGroupsResponse {
	try {
		const listed = exchange.host.groups.listGroups({ states: statesFilter, types: typesFilter });
		const isForAll = exchange.allows("cluster", CLUSTER_NAME);
		const groups = listed.filter(({ groupId }) => isForAll || exchange.allows("group", groupId));
		return {
			errorCode: CODES.NONE.code,
			groups: groups.map(({ groupId, protocolType, state, type }) => ({
				groupId,
				protocolType,
				groupState: state,
				groupType: type,
			})),
		};
	} catch (error) {
		return { errorCode: groupCode(error), groups: [] };
	}
}
