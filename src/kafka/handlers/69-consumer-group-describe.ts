/**
 * ConsumerGroupDescribe: v0-1 (KIP-848). Groups of the consumer protocol; classic ones have an API
 * of their own.
 *
 * Behavior:
 * - A group that does not exist, or is of another type, is GROUP_ID_NOT_FOUND.
 * - A group that a request has twice is described once: it may have thousands of members.
 *
 * Version notes:
 * - v1: whether a member speaks the classic protocol (KIP-1099).
 */
import type {
	ConsumerMemberDescription,
	NamedPartitions,
} from "../../groups/consumer/consumer-requests.ts";
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { OPERATIONS_UNASKED, operationsOn } from "../authorized-operations.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	CONSUMER_GROUP_DESCRIBE,
	type ConsumerGroupDescribeRequest,
	type ConsumerGroupDescribeResponse,
} from "../generated/69-consumer-group-describe.ts";
import { groupCode } from "../groups.ts";
import { checkGroupCount } from "../requests.ts";
import { type LongResponse, serveLongApi } from "../turns.ts";

const MEMBER_TYPE_CLASSIC = 0;
const MEMBER_TYPE_CONSUMER = 1;

type DescribedGroup = ConsumerGroupDescribeResponse["groups"][number];

export const consumerGroupDescribeApi = serveLongApi(
	CONSUMER_GROUP_DESCRIBE,
	"groups",
	consumerGroupDescribe,
);

function consumerGroupDescribe(
	request: ConsumerGroupDescribeRequest,
	exchange: Exchange,
): LongResponse<ConsumerGroupDescribeResponse, "groups"> {
	checkGroupCount(request.groupIds.length);
	const groupIds = [...new Set(request.groupIds)];
	const describeAt = (index: number) => {
		const groupId = groupIds[index] as string;
		const operations = request.includeAuthorizedOperations
			? operationsOn(exchange, "group", groupId)
			: OPERATIONS_UNASKED;
		return describe(groupId, operations, exchange);
	};
	return { rest: {}, count: groupIds.length, elementAt: describeAt };
}

function describe(
	groupId: string,
	authorizedOperations: number,
	exchange: Exchange,
): DescribedGroup {
	try {
		checkAllowed(exchange, "group", groupId);
		const group = exchange.host.groups.describeConsumerGroup(groupId);
		for (const { assigned, target } of group.members) {
			for (const { topic } of [...assigned, ...target]) checkAllowed(exchange, "topic", topic);
		}
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
		const isTold =
			errorCode === CODES.GROUP_ID_NOT_FOUND.code ||
			errorCode === CODES.TOPIC_AUTHORIZATION_FAILED.code;
		return {
			errorCode,
			errorMessage: isTold ? kafkaFailure(error).errorMessage : null,
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
