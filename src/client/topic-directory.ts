import { MillraceError } from "../protocol/error.ts";
import { type DurabilityName, OPERATION } from "../protocol/operations.ts";
import type { DecodedMap } from "../protocol/reader.ts";
import { integerOf, stringOf } from "./connection/hello.ts";
import type { Link, LinkUser } from "./connection/link.ts";

/** What the client knows of a topic. */
export interface TopicInfo {
	readonly name: string;
	/** Another one after the topic was deleted and created again. */
	readonly topicId: string;
	readonly partitions: number;
	/** The largest record batch that the topic takes, in bytes. */
	readonly maxMessageBytes: number;
	/** What an ack without a durability of its own waits for. */
	readonly durability: DurabilityName;
}

type Listener = (topic: TopicInfo) => void;

/**
 * The topics in use: opened once a connection, so that the broker tells of new partitions, and
 * looked up again after a reconnection.
 */
export class TopicDirectory implements LinkUser {
	readonly #link: Link;
	readonly #topics = new Map<string, TopicInfo>();
	readonly #opening = new Map<string, { asked: Promise<TopicInfo>; mayCreate: boolean }>();
	readonly #listeners = new Set<Listener>();

	constructor(link: Link) {
		this.#link = link;
		link.add(this);
	}

	/** What is known of a topic without asking. */
	get(name: string): TopicInfo | undefined {
		return this.#topics.get(name);
	}

	/** Asks for a topic unless it is known; creates it if the broker creates topics by itself. */
	open(name: string): Promise<TopicInfo> {
		const known = this.#topics.get(name);
		return known === undefined ? this.refresh(name) : Promise.resolve(known);
	}

	/**
	 * Asks for a topic; one question at a time for each. `mayCreate`: as `open` does it. Not for who
	 * comes back to a topic: it is not to be there again because a client was away for a moment.
	 */
	refresh(name: string, mayCreate = true): Promise<TopicInfo> {
		const opening = this.#opening.get(name);
		if (opening !== undefined) {
			if (opening.mayCreate || !mayCreate) return opening.asked;
			return opening.asked.catch(() => this.refresh(name));
		}
		const asked = this.#ask(name, mayCreate).finally(() => this.#opening.delete(name));
		this.#opening.set(name, { asked, mayCreate });
		return asked;
	}

	/** Calls `listener` whenever something about a topic was learnt; returns how to stop it. */
	listen(listener: Listener): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	attached(): void {
		for (const name of this.#topics.keys()) {
			// A topic that is gone is noticed, with its error, by whoever uses it next.
			this.refresh(name, false).catch(() => this.#topics.delete(name));
		}
	}

	notice(kind: string, details: DecodedMap): void {
		if (kind !== "partitions_changed") return;
		const { topic, topic_id: topicId, partitions } = details;
		const known = typeof topic === "string" ? this.#topics.get(topic) : undefined;
		if (known?.topicId === topicId && known !== undefined && typeof partitions === "number") {
			this.#learn({ ...known, partitions });
		}
	}

	async #ask(name: string, mayCreate: boolean): Promise<TopicInfo> {
		for (;;) {
			const connection = await this.#link.ready();
			try {
				const answer = await connection.request(OPERATION.open, name, { create: mayCreate });
				return this.#learn(topicOf(name, answer));
			} catch (error) {
				if (!(error instanceof MillraceError)) throw error;
				// Aliases ran out: the topic works without one, only news of partitions come late.
				if (error.code === "LIMIT_EXCEEDED") return this.#describe(name);
				if (error.code !== "CONNECTION_LOST") throw aboutTopic(name, error);
			}
		}
	}

	async #describe(name: string): Promise<TopicInfo> {
		const answer = await this.#link.request(OPERATION.call, ["topics.describe", { name }]);
		return this.#learn(topicOf(name, answer.topic as DecodedMap));
	}

	#learn(topic: TopicInfo): TopicInfo {
		this.#topics.set(topic.name, topic);
		for (const listener of [...this.#listeners]) listener(topic);
		return topic;
	}
}

function topicOf(name: string, map: DecodedMap): TopicInfo {
	return {
		name,
		topicId: stringOf(map.topic_id, "topic_id"),
		partitions: integerOf(map.partitions, "partitions"),
		maxMessageBytes: integerOf(map.max_message_bytes, "max_message_bytes"),
		durability: map.durability === "flushed" ? "flushed" : "written",
	};
}

function aboutTopic(topic: string, cause: MillraceError): MillraceError {
	return new MillraceError(cause.code, "", { topic, cause });
}
