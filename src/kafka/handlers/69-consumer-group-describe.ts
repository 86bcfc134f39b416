/**
 * ConsumerGroupDescribe: v0-1 (KIP-848). Groups of the consumer protocol; classic ones have an API
 * of their own.
 *
 * Behavior:
 * - A group that does not exist, or is of another type, is GROUP_ID_NOT_FOUND.
 *
 * Version notes:
 * - v1: whether a member speaks the classic protocol (KIP-1099).
 */
import type {
	ConsumerMemberDescription,
	NamedPartitions,
} from "../../groups/consumer/consumer-requests.ts";
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { GROUP_OPERATIONS, OPERATIONS_UNASKED } from "../authorized-operations.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	CONSUMER_GROUP_DESCRIBE,
	type ConsumerGroupDescribeRequest,
	type ConsumerGroupDescribeResponse,
} from "../generated/69-consumer-group-describe.ts";
import { groupCode } from "../groups.ts";

const MEMBER_TYPE_CLASSIC = 0;
const MEMBER_TYPE_CONSUMER = 1;

type DescribedGroup = ConsumerGroupDescribeResponse["groups"][number];

export const consumerGroupDescribeApi = serveApi(CONSUMER_GROUP_DESCRIBE, consumerGroupDescribe);

function consumerGroupDescribe(
	{ groupIds, includeAuthorizedOperations }: ConsumerGroupDescribeRequest,
	exchange: Exchange,
): ConsumerGroupDescribeResponse {
	const operations = includeAuthorizedOperations ? GROUP_OPERATIONS : OPERATIONS_UNASKED;
	return { groups: groupIds.map((groupId) => describe(groupId, operations, exchange)) };
}

function describe(
	groupId: string,
	authorizedOperations: number,
	{ host }: Exchange,
): DescribedGroup {
	try {
		const group = host.groups.describeConsumerGroup(groupId);
		return {
			errorCode: CODES.NONE.code,
			groupId,
			groupState: group.state,
			groupEpoch: group.epoch,
			assignmentEpoch: group.assignmentEpoch,
			assignorName: group.assignorName,
			members: group.members.map(describeMember),
			authorizedOperations,
		};
	} catch (error) {
		const errorCode = groupCode(error);
		const isMissing = errorCode === CODES.GROUP_ID_NOT_FOUND.code;
		return {
			errorCode,
			errorMessage: isMissing ? kafkaFailure(error).errorMessage : null,
			groupId,
			groupState: "",
			groupEpoch: 0,
			assignmentEpoch: 0,
			assignorName: "",
			members: [],
			authorizedOperations: OPERATIONS_UNASKED,
		};
	}
}

function describeMember(member: ConsumerMemberDescription): DescribedGroup["members"][number] {
	const { topicNames, topicPattern, assigned, target, isClassic, ...same } = member;
	return {
		...same,
		subscribedTopicNames: topicNames,
		subscribedTopicRegex: topicPattern,
		assignment: { topicPartitions: assigned.map(describePartitions) },
		targetAssignment: { topicPartitions: target.map(describePartitions) },
		memberType: isClassic ? MEMBER_TYPE_CLASSIC : MEMBER_TYPE_CONSUMER,
	};
}

function describePartitions({ topicId, topic, partitions }: NamedPartitions) {
	return { topicId, topicName: topic, partitions };
}
