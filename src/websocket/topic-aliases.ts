import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { LiveTopic, LiveTopics } from "../topics/live-topics.ts";

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
			return this.#topics.existing(nameOrAlias);
		}
		const topic = this.get(nameOrAlias);
		if (topic === undefined) throw new MillraceError("UNKNOWN_ALIAS", `${nameOrAlias}`);
		if (topic.isDeleted) throw new MillraceError("TOPIC_DELETED", topic.current.name);
		return topic;
	}
}
