/**
 * Heartbeat: v0-4.
 *
 * Behavior:
 * - REBALANCE_IN_PROGRESS tells a member to join again; it counts as a sign of life all the same.
 *
 * Version notes:
 * - v3: static members (KIP-345).
 */
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	HEARTBEAT,
	type HeartbeatRequest,
	type HeartbeatResponse,
} from "../generated/12-heartbeat.ts";
import { codeOf } from "../groups.ts";

export const heartbeatApi = serveApi(HEARTBEAT, heartbeat);

function heartbeat(
	{ generationId, ...member }: HeartbeatRequest,
	exchange: Exchange,
): HeartbeatResponse {
	return {
		errorCode: codeOf(() => {
			checkAllowed(exchange, "group", member.groupId);
			exchange.host.groups.heartbeat({ ...member, generation: generationId });
		}),
	};
}
