/**
 * DescribeTopicPartitions: v0 (KIP-966).
 *
 * Behavior:
 * - Topics in the order of their names, all where none is named, up to a number of partitions; a
 *   cursor says where the next request is to go on. An answer has one partition at least.
 * - Nothing is created. Topics that are not there have an error and count as no partition.
 * - A cursor that names a topic which the request leaves out, or a negative partition, is
 *   INVALID_REQUEST for every topic.
 * - Eligible leaders are never told: the one broker is in sync always.
 */
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { isInternalTopic } from "../../topics/internal-topics.ts";
import { isTopicName } from "../../topics/names.ts";
import { serveApi } from "../api.ts";
import { operationsOn } from "../authorized-operations.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_TOPIC_PARTITIONS,
	type DescribeTopicPartitionsRequest,
	type DescribeTopicPartitionsResponse,
} from "../generated/75-describe-topic-partitions.ts";
import { describePartitions } from "../replicas.ts";
import { checkNamedCount } from "../requests.ts";
import { NIL_UUID } from "../wire/uuid.ts";

type ResponseTopic = DescribeTopicPartitionsResponse["topics"][number];

export const describeTopicPartitionsApi = serveApi(
	DESCRIBE_TOPIC_PARTITIONS,
	describeTopicPartitions,
);

function describeTopicPartitions(
	request: DescribeTopicPartitionsRequest,
	exchange: Exchange,
): DescribeTopicPartitionsResponse {
	const { cursor, responsePartitionLimit } = request;
	checkNamedCount(request.topics.length);
	const named = [...new Set(request.topics.map(({ name }) => name))].sort();
	if (cursor !== null && !isWithin(cursor, named)) {
		return { topics: named.map((name) => refused(name, CODES.INVALID_REQUEST.code)) };
	}
	let left = Math.max(1, Math.min(responsePartitionLimit, LIMITS.kafkaDescribedPartitionsMax));
	const topics: ResponseTopic[] = [];
	for (const name of named.length > 0 ? named : visibleTopics(exchange)) {
		if (cursor !== null && name < cursor.topicName) continue;
		if (left === 0) return { topics, nextCursor: { topicName: name, partitionIndex: 0 } };
		if (!exchange.allows("topic", name)) {
			topics.push(refused(name, CODES.TOPIC_AUTHORIZATION_FAILED.code));
			continue;
		}
		const topic = exchange.host.catalogue.get(name);
		if (topic === undefined) {
			topics.push(missing(name, exchange));
			continue;
		}
		const from = cursor?.topicName === name ? cursor.partitionIndex : 0;
		const to = Math.min(topic.partitions, from + left);
		topics.push(describe(topic, from, to, exchange));
		left -= Math.max(to - from, 0);
		if (to < topic.partitions)
			return { topics, nextCursor: { topicName: name, partitionIndex: to } };
	}
	return { topics };
}

function visibleTopics(exchange: Exchange): string[] {
	return exchange.host.catalogue
		.list()
		.flatMap(({ name }) => (exchange.allows("topic", name) ? [name] : []));
}

/** Whether a cursor points into what the request asks for. */
function isWithin(
	{ topicName, partitionIndex }: NonNullable<DescribeTopicPartitionsRequest["cursor"]>,
	named: readonly string[],
): boolean {
	return partitionIndex >= 0 && (named.length === 0 || named.includes(topicName));
}

function describe(topic: Topic, from: number, to: number, exchange: Exchange): ResponseTopic {
	const partitions = describePartitions(topic, from, to, exchange.host);
	return {
		errorCode: CODES.NONE.code,
		name: topic.name,
		topicId: topic.topicId,
		isInternal: isInternalTopic(topic.name),
		partitions: partitions.map((partition) => ({
			...partition,
			eligibleLeaderReplicas: [],
			lastKnownElr: [],
		})),
		topicAuthorizedOperations: operationsOn(exchange, "topic", topic.name),
	};
}

function missing(name: string, exchange: Exchange): ResponseTopic {
	const { INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION } = CODES;
	const { code } = isTopicName(name) ? UNKNOWN_TOPIC_OR_PARTITION : INVALID_TOPIC_EXCEPTION;
	return {
		...refused(name, code),
		isInternal: isInternalTopic(name),
		topicAuthorizedOperations: operationsOn(exchange, "topic", name),
	};
}

function refused(name: string, errorCode: number): ResponseTopic {
	return { errorCode, name, topicId: NIL_UUID, partitions: [] };
}
