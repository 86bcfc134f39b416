/**
 * ConsumerGroupHeartbeat: v0-1 (KIP-848).
 *
 * Behavior:
 * - Joins with member epoch 0, leaves with -1, and with -2 a static member that will come back.
 * - Answered when all that it led to is durable. The assignment is null while it is as it was, but
 *   for members that join or say everything about themselves.
 *
 * Version notes:
 * - v0: the broker gives a member that has none its id.  v1: members choose theirs (KIP-1082);
 *   regular expressions.
 */
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	CONSUMER_GROUP_HEARTBEAT,
	type ConsumerGroupHeartbeatRequest,
	type ConsumerGroupHeartbeatResponse,
} from "../generated/68-consumer-group-heartbeat.ts";
import { clientHost, groupCode } from "../groups.ts";

const MEMBER_ID_VERSION = 1;

export const consumerGroupHeartbeatApi = serveApi(CONSUMER_GROUP_HEARTBEAT, consumerGroupHeartbeat);

async function consumerGroupHeartbeat(
	request: ConsumerGroupHeartbeatRequest,
	exchange: Exchange,
): Promise<ConsumerGroupHeartbeatResponse> {
	const { apiVersion, clientId, host } = exchange;
	const { subscribedTopicNames, subscribedTopicRegex, topicPartitions, ...member } = request;
	try {
		checkAllowed(exchange, "group", member.groupId);
		for (const name of subscribedTopicNames ?? []) checkAllowed(exchange, "topic", name);
		const { assignment, ...answer } = await host.groups.consumerHeartbeat({
			...member,
			topicNames: subscribedTopicNames,
			topicPattern: subscribedTopicRegex,
			owned: topicPartitions,
			clientId,
			clientHost: clientHost(exchange),
			requiresMemberId: apiVersion >= MEMBER_ID_VERSION,
		});
		return {
			errorCode: CODES.NONE.code,
			...answer,
			assignment: assignment && { topicPartitions: assignment },
		};
	} catch (error) {
		return {
			errorCode: groupCode(error),
			errorMessage: kafkaFailure(error).errorMessage,
			memberEpoch: 0,
			heartbeatIntervalMs: 0,
		};
	}
}
