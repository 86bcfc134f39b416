/**
 * DeleteTopics: v1-6.
 *
 * Behavior:
 * - Topics are deleted one after the other; each has an error of its own. A topic is gone for
 *   everybody when the answer comes, and its name is free.
 * - What a request has twice is INVALID_REQUEST, answered once, and so is a topic that it has by
 *   name and by id: nothing of it is deleted.
 * - A topic whose turn comes after `timeoutMs` is not deleted: REQUEST_TIMED_OUT.
 * - The broker's internal topics stay: INVALID_TOPIC_EXCEPTION, where Kafka lets anybody delete the
 *   offsets of all groups.
 *
 * Version notes:
 * - v5: error messages (KIP-599).  v6: by name or by id (KIP-516).
 */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import type { TopicCatalogue } from "../../topics/catalogue.ts";
import { serveApi } from "../api.ts";
import { named } from "../audited.ts";
import { failed, reportedFailure, TIMED_OUT } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DELETE_TOPICS,
	type DeleteTopicsRequest,
	type DeleteTopicsResponse,
} from "../generated/20-delete-topics.ts";
import { checkNamedCount, deadlineAfter } from "../requests.ts";
import { findAllowedTopic, findTopic } from "../topics.ts";
import { Turns } from "../turns.ts";
import { NIL_UUID } from "../wire/uuid.ts";

/** From here on topics are named in a structure each, by name or by id. */
const TOPIC_ID_VERSION = 6;

type ResponseTopic = DeleteTopicsResponse["responses"][number];

/** A topic as the request has it: a name, or an id, or by mistake both or neither. */
interface Named {
	readonly name: string | null;
	readonly topicId: string;
}

export const deleteTopicsApi = serveApi(DELETE_TOPICS, deleteTopics, (_, { responses }) =>
	named("topic")(responses),
);

async function deleteTopics(
	request: DeleteTopicsRequest,
	exchange: Exchange,
): Promise<DeleteTopicsResponse> {
	const named: readonly Named[] =
		exchange.apiVersion >= TOPIC_ID_VERSION
			? request.topics
			: request.topicNames.map((name) => ({ name, topicId: NIL_UUID }));
	checkNamedCount(named.length);
	const { catalogue, clock } = exchange.host;
	const isLate = deadlineAfter(request.timeoutMs, clock);
	const turns = new Turns(clock);
	const { unique, responses } = sortOut(named, catalogue);
	for (const topic of unique) {
		responses.push(isLate() ? { ...topic, ...TIMED_OUT } : await deleteOne(topic, exchange));
		await turns.pause();
	}
	return { responses };
}

async function deleteOne(named: Named, exchange: Exchange): Promise<ResponseTopic> {
	const { catalogue } = exchange.host;
	const isForAll = exchange.allows("cluster", CLUSTER_NAME);
	const topic = isForAll ? findTopic(catalogue, named) : findAllowedTopic(exchange, named);
	try {
		if (typeof topic === "number") throw MillraceError.fromNumber(topic);
		await catalogue.delete(topic.name);
	} catch (error) {
		return { ...named, ...reportedFailure(error, exchange) };
	}
	return {
		name: topic.name,
		topicId: topic.topicId,
		errorCode: CODES.NONE.code,
		errorMessage: null,
	};
}

/** The topics that are asked for once, and the answers to all others. */
function sortOut(
	named: readonly Named[],
	catalogue: TopicCatalogue,
): { unique: Named[]; responses: ResponseTopic[] } {
	const responses: ResponseTopic[] = [];
	const refuse = (topic: Named, particular: string) =>
		responses.push({ ...topic, ...failed("INVALID_REQUEST", particular) });
	const byKey = new Map<string, Named>();
	const repeated = new Set<string>();
	for (const topic of named) {
		const hasId = topic.topicId !== NIL_UUID;
		if ((topic.name !== null) === hasId) {
			refuse(
				topic,
				hasId ? "a topic is named by name or by id" : "a topic has neither name nor id",
			);
			continue;
		}
		const key = keyOf(topic);
		if (byKey.has(key)) repeated.add(key);
		byKey.set(key, topic);
	}
	for (const key of repeated) {
		refuse(byKey.get(key) as Named, "the request has this topic twice");
		byKey.delete(key);
	}
	for (const [key, { topicId }] of byKey) {
		const topic = catalogue.byId(topicId);
		if (topic === undefined) continue;
		const { name } = topic;
		if (!byKey.delete(keyOf({ name, topicId: NIL_UUID }))) continue;
		byKey.delete(key);
		refuse({ name, topicId }, "the request has this topic by name and by id");
	}
	return { unique: [...byKey.values()], responses };
}

/** Tells a name from an id that looks the same. */
function keyOf({ name, topicId }: Named): string {
	return name === null ? `id ${topicId}` : `name ${name}`;
}
