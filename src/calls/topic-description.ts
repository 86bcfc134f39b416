import type { TopicDescription, TopicSummary } from "../protocol/calls.ts";
import type { DurabilityName } from "../protocol/operations.ts";
import type { Topic } from "../topics/catalogue.ts";
import { isInternalTopic } from "../topics/internal-topics.ts";
import type { SessionCatalogue } from "../topics/live-topics.ts";

/** What an ack of nil waits for: with a flush for every message, the flush; else the page cache. */
export function durabilityOf({ logConfig }: Topic): DurabilityName {
	return logConfig.flushMessages === 1 ? "flushed" : "written";
}

export function summaryOf({ name, topicId, partitions }: Topic): TopicSummary {
	return { name, topic_id: topicId, partitions, internal: isInternalTopic(name) };
}

/** Throws UNKNOWN_TOPIC_OR_PARTITION. */
export function descriptionOf(catalogue: SessionCatalogue, topic: Topic): TopicDescription {
	const { configuration } = catalogue.describe(topic.name);
	return {
		...summaryOf(topic),
		max_message_bytes: topic.logConfig.maxMessageBytes,
		durability: durabilityOf(topic),
		configs: configuration.map(({ name, value, type, source, readOnly, doc, pending }) => ({
			name,
			value,
			type,
			source,
			read_only: readOnly,
			doc,
			pending,
		})),
	};
}
