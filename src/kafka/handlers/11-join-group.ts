/**
 * JoinGroup: v0-9.
 *
 * Behavior:
 * - Answered when the generation begins: when all members have joined, or the rebalance timeout of
 *   those that have not is over.
 * - In a group with members of the consumer protocol (KIP-848) answered at once: the generation is
 *   the member's epoch, and nobody leads.
 *
 * Version notes:
 * - v1: rebalance timeout; before, the session timeout is both.  v4: a new member is sent away once
 *   with its id, MEMBER_ID_REQUIRED (KIP-394).  v5: static members (KIP-345).
 * - v7: protocol type; no protocol is null instead of "".  v8: reason (KIP-800).
 * - v9: the leader may be told to leave the assignment as it is (KIP-814).
 */
import type { JoinAnswer } from "../../groups/requests.ts";
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	JOIN_GROUP,
	type JoinGroupRequest,
	type JoinGroupResponse,
} from "../generated/11-join-group.ts";
import { clientHost, groupCode, inTime, memberIdOf } from "../groups.ts";

const REBALANCE_TIMEOUT_VERSION = 1;
const KNOWN_MEMBER_ID_VERSION = 4;
const PROTOCOL_TYPE_VERSION = 7;
const SKIP_ASSIGNMENT_VERSION = 9;

export const joinGroupApi = serveApi(JOIN_GROUP, joinGroup);

async function joinGroup(
	request: JoinGroupRequest,
	exchange: Exchange,
): Promise<JoinGroupResponse> {
	const { apiVersion, clientId, host } = exchange;
	const { sessionTimeoutMs, rebalanceTimeoutMs } = request;
	try {
		checkAllowed(exchange, "group", request.groupId);
		const joining = host.groups.join({
			...request,
			rebalanceTimeoutMs:
				apiVersion >= REBALANCE_TIMEOUT_VERSION ? rebalanceTimeoutMs : sessionTimeoutMs,
			clientId,
			clientHost: clientHost(exchange),
			requiresKnownMemberId: apiVersion >= KNOWN_MEMBER_ID_VERSION,
			supportsSkippingAssignment: apiVersion >= SKIP_ASSIGNMENT_VERSION,
		});
		return respond(await inTime(exchange, joining), apiVersion);
	} catch (error) {
		return {
			errorCode: groupCode(error),
			protocolName: apiVersion >= PROTOCOL_TYPE_VERSION ? null : "",
			leader: "",
			memberId: memberIdOf(error, request.memberId),
			members: [],
		};
	}
}

function respond(joined: JoinAnswer, apiVersion: number): JoinGroupResponse {
	const { skipAssignment, protocolName, generation, ...same } = joined;
	return {
		errorCode: CODES.NONE.code,
		...same,
		generationId: generation,
		protocolName: apiVersion >= PROTOCOL_TYPE_VERSION ? protocolName : (protocolName ?? ""),
		...(apiVersion >= SKIP_ASSIGNMENT_VERSION ? { skipAssignment } : {}),
	};
}
