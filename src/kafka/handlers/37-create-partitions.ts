/**
 * CreatePartitions: v0-3.
 *
 * Behavior:
 * - `count` is the number of partitions that the topic is to have, which must be more than it has:
 *   INVALID_PARTITIONS. Topics are grown one after the other; each has an error of its own.
 * - An assignment names replicas for each new partition, which can be this broker alone.
 * - A topic that a request has twice is INVALID_REQUEST, answered once.
 * - A topic whose turn comes after `timeoutMs` is not grown: REQUEST_TIMED_OUT.
 * - The broker's internal topics stay as they are: INVALID_TOPIC_EXCEPTION, where Kafka grows its
 *   offsets topic and loses what groups have committed.
 * - Too many partitions are INVALID_PARTITIONS or POLICY_VIOLATION; Kafka has UNKNOWN_SERVER_ERROR.
 */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { named } from "../audited.ts";
import { type Failure, failed, reportedFailure, TIMED_OUT } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	CREATE_PARTITIONS,
	type CreatePartitionsRequest,
	type CreatePartitionsResponse,
} from "../generated/37-create-partitions.ts";
import { checkReplicas } from "../replicas.ts";
import { checkNamedCount, deadlineAfter, repeatedIn } from "../requests.ts";
import { Turns } from "../turns.ts";

type RequestTopic = CreatePartitionsRequest["topics"][number];

const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: null };

export const createPartitionsApi = serveApi(
	CREATE_PARTITIONS,
	createPartitions,
	({ validateOnly }, { results }) => (validateOnly ? [] : named("topic")(results)),
);

async function createPartitions(
	{ topics, timeoutMs, validateOnly }: CreatePartitionsRequest,
	exchange: Exchange,
): Promise<CreatePartitionsResponse> {
	checkNamedCount(topics.length);
	const { clock } = exchange.host;
	const repeated = repeatedIn(topics.map(({ name }) => name));
	const isLate = deadlineAfter(timeoutMs, clock);
	const turns = new Turns(clock);
	const results: CreatePartitionsResponse["results"][number][] = [];
	for (const topic of topics) {
		if (repeated.has(topic.name)) continue;
		const outcome = isLate() ? TIMED_OUT : await grow(topic, validateOnly, exchange);
		results.push({ name: topic.name, ...outcome });
		await turns.pause();
	}
	for (const name of repeated) {
		results.push({ name, ...failed("INVALID_REQUEST", "the request has this topic twice") });
	}
	return { results };
}

async function grow(
	{ name, count, assignments }: RequestTopic,
	validateOnly: boolean,
	exchange: Exchange,
): Promise<Failure> {
	const { brokerId, catalogue } = exchange.host;
	// Both without a message, as in Kafka.
	if (!exchange.allows("topic", name)) {
		return { errorCode: CODES.TOPIC_AUTHORIZATION_FAILED.code, errorMessage: null };
	}
	const topic = catalogue.get(name);
	if (topic === undefined) {
		return { errorCode: CODES.UNKNOWN_TOPIC_OR_PARTITION.code, errorMessage: null };
	}
	try {
		const added = count - topic.partitions;
		if (added <= 0) {
			throw new MillraceError("INVALID_PARTITIONS", `${name} has ${topic.partitions} already`);
		}
		for (const { brokerIds } of assignments ?? []) checkReplicas(brokerIds, brokerId);
		if (assignments !== null && assignments.length !== added) {
			throw new MillraceError(
				"INVALID_REPLICA_ASSIGNMENT",
				`${added} partitions are to be added, and ${assignments.length} are assigned`,
			);
		}
		if (validateOnly) catalogue.checkAlteration(name, { partitions: count });
		else await catalogue.addPartitions(name, count);
		return DONE;
	} catch (error) {
		return reportedFailure(error, exchange);
	}
}
