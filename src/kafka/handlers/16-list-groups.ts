/**
 * ListGroups: v0-5.
 *
 * Behavior:
 * - All groups to who may describe the cluster, else those that the client may describe.
 *
 * Version notes:
 * - v4: states to list (KIP-518).  v5: types (KIP-848).
 */
import type { GroupSummary } from "../../groups/requests.ts";
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import type { Exchange } from "../exchange.ts";
import {
	LIST_GROUPS,
	type ListGroupsRequest,
	type ListGroupsResponse,
} from "../generated/16-list-groups.ts";
import { groupCode } from "../groups.ts";
import { type LongResponse, serveLongApi, Turns } from "../turns.ts";

export const listGroupsApi = serveLongApi(LIST_GROUPS, "groups", listGroups);

async function listGroups(
	request: ListGroupsRequest,
	exchange: Exchange,
): Promise<LongResponse<ListGroupsResponse, "groups">> {
	let listed: readonly GroupSummary[] = [];
	let errorCode: number = CODES.NONE.code;
	try {
		listed = await find(request, exchange);
	} catch (error) {
		errorCode = groupCode(error);
	}
	return {
		rest: { errorCode },
		count: listed.length,
		elementAt: (index) => respond(listed[index] as GroupSummary),
	};
}

/** Those that are asked for; not all of them when the client is gone. */
async function find(request: ListGroupsRequest, exchange: Exchange): Promise<GroupSummary[]> {
	const { clock, groups } = exchange.host;
	const [states, types] = [lowerCase(request.statesFilter), lowerCase(request.typesFilter)];
	const isForAll = exchange.allows("cluster", CLUSTER_NAME);
	const turns = new Turns(clock);
	const listed: GroupSummary[] = [];
	for (const group of groups.listGroups()) {
		const isAsked =
			(states.size === 0 || states.has(group.state.toLowerCase())) &&
			(types.size === 0 || types.has(group.type));
		if (isAsked && (isForAll || exchange.allows("group", group.groupId))) listed.push(group);
		if (!turns.isDue) continue;
		await turns.pause();
		if (exchange.isOver) break;
	}
	return listed;
}

/** States and types are asked for in any letter case. */
function lowerCase(names: readonly string[]): ReadonlySet<string> {
	return new Set(names.map((name) => name.toLowerCase()));
}

function respond({ groupId, protocolType, state, type }: GroupSummary) {
	return { groupId, protocolType, groupState: state, groupType: type };
}
