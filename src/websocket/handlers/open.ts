/**
 * 2 open: `[2, id, name, {create?}]` -> `[128, id, {alias, topic_id, partitions, max_message_bytes,
 * durability}]`. Creates the topic where the broker creates automatically and the client does not
 * forbid it.
 */

import { checkCreation, checkTopic } from "../../calls/access.ts";
import { Arguments } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { durabilityOf } from "../../calls/topic-description.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { LiveTopic } from "../../topics/live-topics.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

export function open(session: Session, fields: Fields): AnswerMap | Promise<AnswerMap> {
	const name = fields.string();
	const options = new Arguments(fields.map());
	fields.end();
	checkTopic(session, OPERATION.open, name);
	const mayCreate = options.boolean("create", true);
	const topic = session.host.topics.find(name);
	if (topic !== undefined) return opened(session, topic);
	if (!mayCreate) return opened(session, session.aliases.existing(name));
	checkCreation(session, name);
	return session.host.catalogue
		.resolve(name)
		.then((created) => opened(session, session.host.topics.of(created)));
}

function opened(session: Session, topic: LiveTopic): AnswerMap {
	const { topicId, partitions, logConfig } = topic.current;
	return {
		alias: session.aliases.open(topic),
		topic_id: topicId,
		partitions,
		max_message_bytes: logConfig.maxMessageBytes,
		durability: durabilityOf(topic.current),
	};
}
