/** What members of the consumer protocol say in tests, as members of the group "g". */
import type { ConsumerHeartbeatRequest } from "../../src/groups/consumer/consumer-requests.ts";

/** Nothing new. */
export const heartbeatRequest = (
	memberId: string,
	memberEpoch: number,
): ConsumerHeartbeatRequest => ({
	groupId: "g",
	memberId,
	memberEpoch,
	instanceId: null,
	rackId: null,
	clientId: "client",
	clientHost: "/127.0.0.1",
	rebalanceTimeoutMs: -1,
	topicNames: null,
	topicPattern: null,
	serverAssignor: null,
	owned: null,
	requiresMemberId: true,
});

/** It joins, and reads a topic. */
export const joinRequest = (memberId: string, topic: string): ConsumerHeartbeatRequest => ({
	...heartbeatRequest(memberId, 0),
	rebalanceTimeoutMs: 60_000,
	topicNames: [topic],
	owned: [],
});

/** It joins where its epoch is 0, to read "orders", else it says nothing new. */
export const ordersRequest = (memberId: string, memberEpoch: number): ConsumerHeartbeatRequest =>
	memberEpoch === 0 ? joinRequest(memberId, "orders") : heartbeatRequest(memberId, memberEpoch);
