/**
 * CreateTopics: v2-7.
 *
 * Behavior:
 * - Topics are created one after the other; each has an error of its own. Names that a request has
 *   twice are INVALID_REQUEST, answered once.
 * - -1 partitions are the broker's `num.partitions`, -1 replicas are 1, which is all there can be.
 *   With an assignment both must be -1.
 * - A topic whose turn comes after `timeoutMs` is not created: REQUEST_TIMED_OUT.
 * - The partitions of one request are bounded as in Kafka: POLICY_VIOLATION for all of it.
 * - The broker's internal topics cannot be created: INVALID_TOPIC_EXCEPTION, where Kafka lets
 *   anybody have them.
 *
 * Version notes:
 * - v4: -1 for partitions and replicas (KIP-464), which earlier versions may say, too.
 * - v5: partitions, replicas and configuration in the answer (KIP-525), as if it were described.
 * - v7: topic id (KIP-516).
 */

import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import type { TopicCreation } from "../../topics/catalogue.ts";
import { checkOverrides, describeConfiguration } from "../../topics/configuration.ts";
import { checkTopicName, METADATA_TOPIC } from "../../topics/names.ts";
import type { TopicRecord } from "../../topics/topic-records.ts";
import { mayCreateTopic, mayDescribeConfigs } from "../access.ts";
import { type AuditedChange, auditChanges } from "../audited.ts";
import { type Failure, failed, reportedFailure, TIMED_OUT } from "../codes.ts";
import { CONFIG_SOURCE_OF } from "../config-entries.ts";
import type { Exchange } from "../exchange.ts";
import {
	CREATE_TOPICS,
	type CreateTopicsRequest,
	type CreateTopicsResponse,
} from "../generated/19-create-topics.ts";
import { checkAssignments } from "../replicas.ts";
import { checkNamedCount, deadlineAfter, repeatedIn } from "../requests.ts";
import { serveLongApi, Turns } from "../turns.ts";
import { NIL_UUID } from "../wire/uuid.ts";

type RequestTopic = CreateTopicsRequest["topics"][number];
type ResponseTopic = CreateTopicsResponse["topics"][number];

/** What became of one topic: the topic as it is or would be, or what it was refused with. */
type Outcome = { readonly name: string } & ({ readonly topic: TopicRecord } | Failure);

const BY_DEFAULT = -1;
const REPLICAS = 1;

export const createTopicsApi = serveLongApi(CREATE_TOPICS, "topics", createTopics, {
	isAudited: true,
});

async function createTopics(request: CreateTopicsRequest, exchange: Exchange) {
	const { topics, timeoutMs } = request;
	checkNamedCount(topics.length);
	const repeated = repeatedIn(topics.map(({ name }) => name));
	const wanted = topics.filter(({ name }) => !repeated.has(name));
	const refusal = refusalOfAll(wanted, exchange);
	const isLate = deadlineAfter(timeoutMs, exchange.host.clock);
	const turns = new Turns(exchange.host.clock);
	const outcomes: Outcome[] = [];
	for (const topic of wanted) {
		outcomes.push(await create(topic, refusal ?? (isLate() ? TIMED_OUT : null), request, exchange));
		await turns.pause();
	}
	for (const name of repeated) {
		outcomes.push({ name, ...failed("INVALID_REQUEST", "the request has this topic twice") });
	}
	if (!request.validateOnly) auditChanges(CREATE_TOPICS, outcomes.map(changeOf), exchange);
	return {
		rest: {},
		count: outcomes.length,
		elementAt: (index: number) => respond(outcomes[index] as Outcome, exchange),
	};
}

function changeOf(outcome: Outcome): AuditedChange {
	const errorCode = "errorCode" in outcome ? outcome.errorCode : CODES.NONE.code;
	return { resource: `topic ${outcome.name}`, errorCode };
}

/** Why nothing of the request is done; null: it is looked at topic by topic. */
function refusalOfAll(topics: readonly RequestTopic[], { host }: Exchange): Failure | null {
	let partitions = 0;
	for (const { assignments, numPartitions } of topics) {
		const asked = numPartitions === BY_DEFAULT ? host.config.numPartitions : numPartitions;
		partitions += Math.max(assignments.length > 0 ? assignments.length : asked, 0);
	}
	if (partitions <= LIMITS.kafkaCreatedPartitionsMax) return null;
	return failed(
		"POLICY_VIOLATION",
		`a request creates at most ${LIMITS.kafkaCreatedPartitionsMax} partitions, not ${partitions}`,
	);
}

async function create(
	topic: RequestTopic,
	refusal: Failure | null,
	{ validateOnly }: CreateTopicsRequest,
	exchange: Exchange,
): Promise<Outcome> {
	const { name } = topic;
	const { catalogue } = exchange.host;
	if (!mayCreateTopic(exchange, name)) return { name, ...failed("TOPIC_AUTHORIZATION_FAILED") };
	if (refusal !== null) return { name, ...refusal };
	try {
		const creation = creationOf(topic, exchange);
		if (validateOnly) return { name, topic: catalogue.checkCreation(creation) };
		return { name, topic: (await catalogue.create(creation)).topic };
	} catch (error) {
		return { name, ...reportedFailure(error, exchange) };
	}
}

/** What to ask of the catalogue. Throws what is wrong with it, in Kafka's order. */
function creationOf(
	{ name, configs, assignments, numPartitions, replicationFactor }: RequestTopic,
	{ host }: Exchange,
): TopicCreation {
	if (name === METADATA_TOPIC) throw new MillraceError("INVALID_REQUEST", `${name} is reserved`);
	checkTopicName(name);
	// Before anything else: who makes sure of a topic asks the same on clusters of any size.
	if (host.catalogue.get(name) !== undefined) throw new MillraceError("TOPIC_ALREADY_EXISTS", name);
	const config = configs.map(({ name: setting, value }): [string, string] => {
		if (value === null) throw new MillraceError("INVALID_CONFIG", `${setting} is null`);
		return [setting, value];
	});
	checkOverrides(config);
	if (assignments.length > 0) {
		if (replicationFactor !== BY_DEFAULT || numPartitions !== BY_DEFAULT) {
			throw new MillraceError(
				"INVALID_REQUEST",
				"beside an assignment, partitions and replication factor are to be -1",
			);
		}
		return { name, config, partitions: checkAssignments(assignments, host.brokerId) };
	}
	if (replicationFactor !== BY_DEFAULT && replicationFactor !== REPLICAS) {
		throw new MillraceError("INVALID_REPLICATION_FACTOR", `not ${replicationFactor}`);
	}
	return numPartitions === BY_DEFAULT
		? { name, config }
		: { name, config, partitions: numPartitions };
}

function respond(outcome: Outcome, exchange: Exchange): ResponseTopic {
	if ("errorCode" in outcome) return { ...outcome, topicId: NIL_UUID, configs: [] };
	const { name, topic } = outcome;
	const { defaults } = exchange.host.catalogue;
	if (!mayDescribeConfigs(exchange, name)) {
		return {
			name,
			topicId: topic.topicId,
			errorCode: CODES.NONE.code,
			errorMessage: null,
			topicConfigErrorCode: CODES.TOPIC_AUTHORIZATION_FAILED.code,
			configs: [],
		};
	}
	return {
		name,
		topicId: topic.topicId,
		errorCode: CODES.NONE.code,
		errorMessage: null,
		numPartitions: topic.partitions,
		replicationFactor: REPLICAS,
		configs: describeConfiguration(topic.overrides, defaults).map(
			({ name: setting, value, readOnly, source }) => ({
				name: setting,
				value,
				readOnly,
				configSource: CONFIG_SOURCE_OF[source],
				isSensitive: false,
			}),
		),
	};
}
