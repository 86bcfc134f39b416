import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { LiveTopic, LiveTopics } from "./live-topics.ts";

/** The numbers that a connection has given to topics, from 0 on. */
export class TopicAliases {
	readonly #topics: LiveTopics;
	readonly #byAlias: LiveTopic[] = [];
	readonly #aliases = new Map<LiveTopic, number>();

	constructor(topics: LiveTopics) {
		this.#topics = topics;
	}

	/** The topic's number, the same each time. Throws LIMIT_EXCEEDED. */
	open(topic: LiveTopic): number {
		const known = this.#aliases.get(topic);
		if (known !== undefined) return known;
		const alias = this.#byAlias.length;
		if (alias >= LIMITS.aliasesMax) throw new MillraceError("LIMIT_EXCEEDED", "aliases_max");
		this.#byAlias.push(topic);
		this.#aliases.set(topic, alias);
		return alias;
	}

	has(topic: LiveTopic): boolean {
		return this.#aliases.has(topic);
	}

	/** The topic behind an alias, deleted or not; undefined: never opened. */
	get(alias: number): LiveTopic | undefined {
		return this.#byAlias[alias];
	}

	/** A topic that is there. Throws UNKNOWN_ALIAS, TOPIC_DELETED or UNKNOWN_TOPIC_OR_PARTITION. */
	existing(nameOrAlias: string | number): LiveTopic {
		if (typeof nameOrAlias === "string") {
			const topic = this.#topics.find(nameOrAlias);
			if (topic === undefined) {
				throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", nameOrAlias.slice(0, 249));
			}
			return topic;
		}
		const topic = this.get(nameOrAlias);
		if (topic === undefined) throw new MillraceError("UNKNOWN_ALIAS", `${nameOrAlias}`);
		if (topic.isDeleted) throw new MillraceError("TOPIC_DELETED", topic.current.name);
		return topic;
	}
}

/** `partition` if the topic has it, else UNKNOWN_TOPIC_OR_PARTITION. */
export function checkPartition(topic: LiveTopic, partition: number): number {
	const { name, partitions } = topic.current;
	if (partition >= 0 && partition < partitions) return partition;
	const details = { topic: name, partition };
	throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", `${name}/${partition}`, details);
}
