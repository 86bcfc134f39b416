import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { Topic, TopicCatalogue } from "./catalogue.ts";

/** What those who work for clients use of the catalogue. */
export type SessionCatalogue = Pick<
	TopicCatalogue,
	| "addPartitions"
	| "alter"
	| "byId"
	| "checkAlteration"
	| "checkCreation"
	| "create"
	| "delete"
	| "describe"
	| "get"
	| "list"
	| "onChange"
	| "resolve"
>;

/**
 * One topic, by its id, for as long as anybody holds this object: what an alias or a subscription
 * stands for. The catalogue replaces its topics at every change; this follows.
 */
export class LiveTopic {
	current: Topic;
	isDeleted = false;

	constructor(topic: Topic) {
		this.current = topic;
	}
}

/** The topic of a name. Throws UNKNOWN_TOPIC_OR_PARTITION. */
export function topicNamed(catalogue: Pick<SessionCatalogue, "get">, name: string): Topic {
	const topic = catalogue.get(name);
	if (topic !== undefined) return topic;
	const shown = name.slice(0, LIMITS.topicNameCharactersMax);
	throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", shown);
}

/** The live topics of an event loop. */
export class LiveTopics {
	readonly #catalogue: SessionCatalogue;
	readonly #byId = new Map<string, LiveTopic>();
	readonly #stop: () => void;

	/**
	 * `onChange` is told of changes to topics that somebody uses here, once the live topic shows
	 * them.
	 */
	constructor(catalogue: SessionCatalogue, onChange: (topic: LiveTopic, before: Topic) => void) {
		this.#catalogue = catalogue;
		this.#stop = catalogue.onChange((change) => {
			const live = this.#byId.get(change.topic.topicId);
			if (live === undefined) return;
			const before = live.current;
			live.current = change.topic;
			if (change.kind === "deleted") {
				live.isDeleted = true;
				this.#byId.delete(change.topic.topicId);
			}
			onChange(live, before);
		});
	}

	/** The topic that has this name now. */
	find(name: string): LiveTopic | undefined {
		const topic = this.#catalogue.get(name);
		return topic === undefined ? undefined : this.of(topic);
	}

	/** Likewise. Throws UNKNOWN_TOPIC_OR_PARTITION. */
	existing(name: string): LiveTopic {
		return this.of(topicNamed(this.#catalogue, name));
	}

	/** `topic` must be the catalogue's present one. */
	of(topic: Topic): LiveTopic {
		const known = this.#byId.get(topic.topicId);
		if (known !== undefined) return known;
		const live = new LiveTopic(topic);
		this.#byId.set(topic.topicId, live);
		return live;
	}

	close(): void {
		this.#stop();
	}
}

/** `partition` if the topic has it, else UNKNOWN_TOPIC_OR_PARTITION. */
export function checkPartition(topic: LiveTopic, partition: number): number {
	const { name, partitions } = topic.current;
	if (partition >= 0 && partition < partitions) return partition;
	const details = { topic: name, partition };
	throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", `${name}/${partition}`, details);
}
