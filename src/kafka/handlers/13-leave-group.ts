/**
 * LeaveGroup: v0-5.
 *
 * Behavior:
 * - Takes members out of groups of either protocol.
 * - Each member of a batch is answered for itself; an administrator removes static members by their
 *   instance id alone.
 *
 * Version notes:
 * - v0-2: one member, whose error is the answer's.  v3: several (KIP-345).  v5: reason (KIP-800).
 */
import type { LeavingMember } from "../../groups/requests.ts";
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	LEAVE_GROUP,
	type LeaveGroupRequest,
	type LeaveGroupResponse,
} from "../generated/13-leave-group.ts";
import { groupCode } from "../groups.ts";

const BATCH_VERSION = 3;

export const leaveGroupApi = serveApi(LEAVE_GROUP, leaveGroup);

async function leaveGroup(
	request: LeaveGroupRequest,
	exchange: Exchange,
): Promise<LeaveGroupResponse> {
	const { groupId, memberId } = request;
	const isBatch = exchange.apiVersion >= BATCH_VERSION;
	const alone: LeavingMember = { memberId, groupInstanceId: null, reason: null };
	const members = isBatch ? request.members : [alone];
	try {
		checkAllowed(exchange, "group", groupId);
		const left = await exchange.host.groups.leave({ groupId, members });
		if (!isBatch) return { errorCode: left[0]?.code ?? CODES.NONE.code };
		return {
			errorCode: CODES.NONE.code,
			members: left.map(({ code, ...member }) => ({ ...member, errorCode: code })),
		};
	} catch (error) {
		return { errorCode: groupCode(error), members: [] };
	}
}
