/**
 * SyncGroup: v0-5.
 *
 * Behavior:
 * - The leader brings everybody's assignment; everybody is answered with theirs once it is stored.
 * - In a group with members of the consumer protocol (KIP-848) the broker assigns.
 *
 * Version notes:
 * - v3: static members (KIP-345).  v5: protocol type and name (KIP-559), which have to be said and
 *   to agree with the group's.
 */
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	SYNC_GROUP,
	type SyncGroupRequest,
	type SyncGroupResponse,
} from "../generated/14-sync-group.ts";
import { groupCode, inTime } from "../groups.ts";

/** From here on the protocol that the member was told is mandatory. */
const PROTOCOL_VERSION = 5;

const NO_BYTES = new Uint8Array(0);

export const syncGroupApi = serveApi(SYNC_GROUP, syncGroup);

async function syncGroup(
	{ generationId, ...request }: SyncGroupRequest,
	exchange: Exchange,
): Promise<SyncGroupResponse> {
	const { host, apiVersion } = exchange;
	const { protocolType, protocolName } = request;
	if (apiVersion >= PROTOCOL_VERSION && (protocolType === null || protocolName === null)) {
		return { errorCode: CODES.INCONSISTENT_GROUP_PROTOCOL.code, assignment: NO_BYTES };
	}
	try {
		checkAllowed(exchange, "group", request.groupId);
		const syncing = host.groups.sync({ ...request, generation: generationId });
		return { errorCode: CODES.NONE.code, ...(await inTime(exchange, syncing)) };
	} catch (error) {
		return { errorCode: groupCode(error), assignment: NO_BYTES };
	}
}
