/** topics.create, .list, .describe, .alter, .add_partitions, .delete */

import { LIMITS } from "../limits.ts";
import { type CallAnswer, TOPICS_LISTED_MAX, type TopicSummary } from "../protocol/calls.ts";
import { ACL_OPERATION } from "../security/acl.ts";
import type { Topic } from "../topics/catalogue.ts";
import { topicNamed } from "../topics/live-topics.ts";
import { checkCreation, mayUse, refuse } from "./access.ts";
import { type Arguments, invalid } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";
import { descriptionOf, summaryOf } from "./topic-description.ts";

const { describe, describeConfigs } = ACL_OPERATION;

export async function createTopic(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const { catalogue } = caller.host;
	const name = parameters.string("name");
	checkCreation(caller, name);
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
		if (catalogue.get(name) !== undefined) checkVisible(caller, name);
		return { created: false, topic: null };
	}
	const { created, topic } = await catalogue.create(creation);
	if (!created) checkVisible(caller, name);
	return { created, ...described(caller, topic) };
}

/** Throws TOPIC_AUTHORIZATION_FAILED: to make sure of a topic is no way to look at it. */
function checkVisible(caller: Caller, name: string): void {
	if (!mayUse(caller, "topic", describe, name)) refuse("topic", name);
}

export function listTopics(caller: Caller, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after") ?? "";
	const limit = parameters.optionalInteger("limit", 1, TOPICS_LISTED_MAX) ?? TOPICS_LISTED_MAX;
	const withInternal = parameters.boolean("internal", false);
	const topics: TopicSummary[] = [];
	for (const topic of caller.host.catalogue.list()) {
		if (topic.name <= after || !mayUse(caller, "topic", describe, topic.name)) continue;
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

export function describeTopic(caller: Caller, parameters: Arguments): AnswerMap {
	return described(caller, topicNamed(caller.host.catalogue, parameters.string("name")));
}

export async function alterTopic(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const name = parameters.string("name");
	const config = configs(parameters);
	const { catalogue } = caller.host;
	if (parameters.boolean("validate_only", false)) {
		catalogue.checkAlteration(name, { config });
		return described(caller, topicNamed(caller.host.catalogue, name));
	}
	return described(caller, await catalogue.alter(name, { config }));
}

export async function addPartitions(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const name = parameters.string("name");
	const partitions = parameters.integer("partitions", 1, LIMITS.topicPartitionsMax);
	return described(caller, await caller.host.catalogue.addPartitions(name, partitions));
}

export async function deleteTopic(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const { name, topicId } = topicNamed(caller.host.catalogue, parameters.string("name"));
	await caller.host.catalogue.delete(name);
	return { topic_id: topicId } satisfies CallAnswer<"topics.delete">;
}

function described(caller: Caller, topic: Topic): { topic: AnswerMap } {
	const description = descriptionOf(caller.host.catalogue, topic);
	const isShown = mayUse(caller, "topic", describeConfigs, topic.name);
	const configs = isShown ? description.configs.map((entry) => ({ ...entry })) : [];
	return { topic: { ...description, configs } };
}

function configs(parameters: Arguments): [name: string, value: string | null][] {
	return Object.entries(parameters.optionalMap("configs") ?? {}).map(([name, value]) => {
		if (typeof value === "string" || value === null) return [name, value];
		return invalid(`configs ${name}`, "is not a string");
	});
}
