/** topics.create, .list, .describe, .alter, .add_partitions, .delete */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { type CallAnswer, TOPICS_LISTED_MAX, type TopicSummary } from "../../protocol/calls.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { type Arguments, invalid } from "../arguments.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";
import { descriptionOf, summaryOf } from "./topic-description.ts";

export async function createTopic(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const { catalogue } = session.host;
	const name = parameters.string("name");
	const partitions = parameters.optionalInteger("partitions", 1, LIMITS.topicPartitionsMax);
	const ifNotExists = parameters.boolean("if_not_exists", false);
	const config = configs(parameters).map(([key, value]): [string, string] => {
		return [key, value ?? invalid(`configs ${key}`, "is not a string")];
	});
	const creation = {
		name,
		config,
		ifNotExists,
		...(partitions === undefined ? {} : { partitions }),
	};
	if (parameters.boolean("validate_only", false)) {
		catalogue.checkCreation(creation);
		return { created: false, topic: null };
	}
	const { created, topic } = await catalogue.create(creation);
	return { created, ...described(session, topic) };
}

export function listTopics(session: Session, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after") ?? "";
	const limit = parameters.optionalInteger("limit", 1, TOPICS_LISTED_MAX) ?? TOPICS_LISTED_MAX;
	const withInternal = parameters.boolean("internal", false);
	const topics: TopicSummary[] = [];
	for (const topic of session.host.catalogue.list()) {
		if (topic.name <= after) continue;
		const summary = summaryOf(topic);
		if (summary.internal && !withInternal) continue;
		if (topics.length === limit) return listed(topics, true);
		topics.push(summary);
	}
	return listed(topics, false);
}

function listed(topics: TopicSummary[], more: boolean): AnswerMap {
	return { topics: topics.map((summary) => ({ ...summary })), more };
}

export function describeTopic(session: Session, parameters: Arguments): AnswerMap {
	return described(session, existing(session, parameters.string("name")));
}

export async function alterTopic(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const name = parameters.string("name");
	const config = configs(parameters);
	const { catalogue } = session.host;
	if (parameters.boolean("validate_only", false)) {
		catalogue.checkAlteration(name, { config });
		return described(session, existing(session, name));
	}
	return described(session, await catalogue.alter(name, { config }));
}

export async function addPartitions(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const name = parameters.string("name");
	const partitions = parameters.integer("partitions", 1, LIMITS.topicPartitionsMax);
	return described(session, await session.host.catalogue.addPartitions(name, partitions));
}

export async function deleteTopic(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const { name, topicId } = existing(session, parameters.string("name"));
	await session.host.catalogue.delete(name);
	return { topic_id: topicId } satisfies CallAnswer<"topics.delete">;
}

function described(session: Session, topic: Topic): { topic: AnswerMap } {
	const description = descriptionOf(session.host.catalogue, topic);
	return { topic: { ...description, configs: description.configs.map((entry) => ({ ...entry })) } };
}

function existing(session: Session, name: string): Topic {
	const topic = session.host.catalogue.get(name);
	if (topic !== undefined) return topic;
	throw new MillraceError(
		"UNKNOWN_TOPIC_OR_PARTITION",
		name.slice(0, LIMITS.topicNameCharactersMax),
	);
}

function configs(parameters: Arguments): [name: string, value: string | null][] {
	return Object.entries(parameters.optionalMap("configs") ?? {}).map(([name, value]) => {
		if (typeof value === "string" || value === null) return [name, value];
		return invalid(`configs ${name}`, "is not a string");
	});
}
