/**
 * Metadata: v0-13.
 *
 * Behavior:
 * - The one broker is what clients are told of, under the address that they dialled or that
 *   `advertise` names; it leads every partition and is the controller.
 * - A topic that is not there is created where the request and `auto.create.topics.enable` allow
 *   it, and told as unknown all the same, as Kafka does, which creates behind its answer: clients
 *   ask again, and who looks whether a topic is gone is told so. The next request finds it.
 * - Topics that the client may not describe are left out, or refused where they are named; an
 *   unknown one is created for who may create it.
 *
 * Version notes:
 * - v0: no topics means all.  v1: null does, and no topics means none.
 * - v4: whether to create.  v7: leader epochs.  v8: authorized operations (KIP-430), v8-10 also the
 *   cluster's.  v10: topic ids (KIP-516); v12: a topic may be asked for by id alone.
 */
import { CODES } from "../../protocol/codes.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { isInternalTopic } from "../../topics/internal-topics.ts";
import { checkTopicName } from "../../topics/names.ts";
import { mayCreateTopic } from "../access.ts";
import { serveApi } from "../api.ts";
import { OPERATIONS_UNASKED, operationsOn, operationsOnCluster } from "../authorized-operations.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import { METADATA, type MetadataRequest, type MetadataResponse } from "../generated/03-metadata.ts";
import { brokerAddress } from "../node.ts";
import { describePartitions } from "../replicas.ts";
import { checkNamedCount } from "../requests.ts";
import { Turns } from "../turns.ts";
import { NIL_UUID } from "../wire/uuid.ts";

type RequestTopic = NonNullable<MetadataRequest["topics"]>[number];
type ResponseTopic = MetadataResponse["topics"][number];

export const metadataApi = serveApi(METADATA, metadata);

async function metadata(request: MetadataRequest, exchange: Exchange): Promise<MetadataResponse> {
	const { host } = exchange;
	return {
		brokers: [{ nodeId: host.brokerId, ...brokerAddress(exchange) }],
		clusterId: host.storage.clusterId,
		controllerId: host.brokerId,
		topics: await topicsOf(request, exchange),
		...(request.includeClusterAuthorizedOperations
			? { clusterAuthorizedOperations: operationsOnCluster(exchange) }
			: {}),
	};
}

async function topicsOf(request: MetadataRequest, exchange: Exchange): Promise<ResponseTopic[]> {
	const { topics } = request;
	const { catalogue, clock } = exchange.host;
	const isForAll = topics === null || (exchange.apiVersion === 0 && topics.length === 0);
	const answers: ResponseTopic[] = [];
	const turns = new Turns(clock);
	if (isForAll) {
		for (const { topicId } of catalogue.list()) {
			const topic = catalogue.byId(topicId);
			// Deleted in a turn in between, or not for everybody to see.
			if (topic === undefined || !exchange.allows("topic", topic.name)) continue;
			answers.push(describe(topic, request, exchange));
			await turns.pause();
		}
		return answers;
	}
	checkNamedCount(topics.length);
	// One after the other: creations queue in the catalogue anyway.
	for (const topic of distinct(topics)) {
		answers.push(await answerTopic(topic, request, exchange));
		await turns.pause();
	}
	return answers;
}

/** A topic that is asked for twice is answered once. */
function distinct(topics: readonly RequestTopic[]): Iterable<RequestTopic> {
	return new Map(topics.map((topic) => [`${topic.topicId} ${topic.name}`, topic])).values();
}

async function answerTopic(
	{ name, topicId }: RequestTopic,
	request: MetadataRequest,
	exchange: Exchange,
): Promise<ResponseTopic> {
	const { catalogue } = exchange.host;
	if (topicId !== NIL_UUID) {
		const topic = catalogue.byId(topicId);
		if (topic !== undefined && exchange.allows("topic", topic.name)) {
			return describe(topic, request, exchange);
		}
		const { TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_ID } = CODES;
		const errorCode = (topic === undefined ? UNKNOWN_TOPIC_ID : TOPIC_AUTHORIZATION_FAILED).code;
		return { errorCode, name: exchange.apiVersion >= 12 ? null : "", topicId, partitions: [] };
	}
	const wanted = name ?? "";
	const refused = {
		errorCode: CODES.TOPIC_AUTHORIZATION_FAILED.code,
		name: wanted,
		partitions: [],
	};
	if (!exchange.allows("topic", wanted)) return refused;
	const topic = catalogue.get(wanted);
	if (topic !== undefined) return describe(topic, request, exchange);
	let errorCode: number = CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
	const { autoCreateTopicsEnable } = exchange.host.config;
	const isCreation = request.allowAutoTopicCreation && autoCreateTopicsEnable;
	if (isCreation && !mayCreateTopic(exchange, wanted)) return refused;
	try {
		if (request.allowAutoTopicCreation) await catalogue.resolve(wanted);
		else checkTopicName(wanted);
	} catch (error) {
		({ errorCode } = kafkaFailure(error));
	}
	return { errorCode, name: wanted, partitions: [] };
}

function describe(topic: Topic, request: MetadataRequest, exchange: Exchange): ResponseTopic {
	return {
		errorCode: CODES.NONE.code,
		name: topic.name,
		topicId: topic.topicId,
		isInternal: isInternalTopic(topic.name),
		partitions: describePartitions(topic, 0, topic.partitions, exchange.host),
		topicAuthorizedOperations: request.includeTopicAuthorizedOperations
			? operationsOn(exchange, "topic", topic.name)
			: OPERATIONS_UNASKED,
	};
}
