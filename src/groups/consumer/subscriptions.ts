/**
 * What the members of a consumer group subscribe to. Most members of a group subscribe to the same
 * topics: who says the same shares one object, and what it stands for is looked up once.
 */
import { createHash } from "node:crypto";

import { MillraceError } from "../../errors.ts";
import type { TopicLookup } from "../offsets/topic-lookup.ts";

export interface Subscription {
	/** In alphabetical order, each once. */
	readonly names: readonly string[];
	/** Empty: none. */
	readonly pattern: string;
}

/** Partition counts by topic id. */
export type SubscribedTopics = ReadonlyMap<string, number>;

interface Shared extends Subscription {
	readonly key: string;
	members: number;
	/** What it stands for, and as of which version of the topics; null: not looked up. */
	topics: SubscribedTopics | null;
	version: number;
}

/** Of nobody who has said anything. */
export const NO_SUBSCRIPTION: Subscription = { names: [], pattern: "" };

export class Subscriptions {
	readonly #lookup: TopicLookup;
	readonly #shared = new Map<string, Shared>();
	/** Members by name that they subscribe to, patterns left out. */
	readonly #names = new Map<string, number>();
	/** What each pattern that somebody has stood for when it was last looked at. */
	readonly #patterns = new Map<string, { members: number; topics: ReadonlySet<string> }>();
	#bytes = 0;

	constructor(lookup: TopicLookup) {
		this.#lookup = lookup;
	}

	/** Bytes that all of them hold, about. */
	get bytes(): number {
		return this.#bytes;
	}

	/**
	 * The subscription of a member from now on, in place of the one that it had. Throws
	 * INVALID_REGULAR_EXPRESSION, and changes nothing then.
	 */
	take(names: readonly string[], pattern: string, before: Subscription | null): Subscription {
		const sorted = [...new Set(names)].sort();
		const key = JSON.stringify([pattern, ...sorted]);
		let shared = this.#shared.get(key);
		if (shared !== undefined && shared === before) return shared;
		if (shared === undefined) {
			if (pattern !== "") this.#lookup.matching(pattern);
			shared = { key, names: sorted, pattern, members: 0, topics: null, version: -1 };
		}
		this.#count(shared, 1);
		this.give(before);
		return shared;
	}

	/** A member does not have it any more. */
	give(subscription: Subscription | null): void {
		if (subscription === null) return;
		const shared = this.#sharedOf(subscription);
		if (shared !== null) this.#count(shared, -1);
	}

	#sharedOf(subscription: Subscription): Shared | null {
		const shared = subscription as Shared;
		return this.#shared.get(shared.key) === shared ? shared : null;
	}

	#count(shared: Shared, change: 1 | -1): void {
		shared.members += change;
		if (change === 1 && shared.members === 1) this.#add(shared);
		else if (shared.members === 0) this.#remove(shared);
	}

	#add(shared: Shared): void {
		this.#shared.set(shared.key, shared);
		this.#bytes += 2 * shared.key.length;
		for (const name of shared.names) this.#names.set(name, (this.#names.get(name) ?? 0) + 1);
		if (shared.pattern === "") return;
		const pattern = this.#patterns.get(shared.pattern);
		if (pattern !== undefined) pattern.members++;
		else {
			const topics = this.#lookup.matching(shared.pattern);
			this.#patterns.set(shared.pattern, { members: 1, topics });
		}
	}

	#remove(shared: Shared): void {
		this.#shared.delete(shared.key);
		this.#bytes -= 2 * shared.key.length;
		for (const name of shared.names) {
			const left = (this.#names.get(name) ?? 0) - 1;
			if (left > 0) this.#names.set(name, left);
			else this.#names.delete(name);
		}
		const pattern = this.#patterns.get(shared.pattern);
		if (pattern === undefined) return;
		pattern.members--;
		if (pattern.members === 0) this.#patterns.delete(shared.pattern);
	}

	/** The patterns that somebody has, with what they stand for. */
	*patterns(): Generator<[pattern: string, topics: ReadonlySet<string>]> {
		for (const [pattern, { topics }] of this.#patterns) yield [pattern, topics];
	}

	/** Whether a member subscribes to a topic by name or by pattern. */
	has(topic: string): boolean {
		if (this.#names.has(topic)) return true;
		for (const { topics } of this.#patterns.values()) if (topics.has(topic)) return true;
		return false;
	}

	/**
	 * Looks the patterns up again; answers whether any stands for other topics than before. One that
	 * has become too intricate for all the names that there are now stands for what it did.
	 */
	refresh(): boolean {
		let hasChanged = false;
		for (const [pattern, known] of this.#patterns) {
			const topics = unlessRefused(() => this.#lookup.matching(pattern)) ?? known.topics;
			if (topics === known.topics) continue;
			known.topics = topics;
			hasChanged = true;
			for (const shared of this.#shared.values()) {
				if (shared.pattern === pattern) shared.topics = null;
			}
		}
		return hasChanged;
	}

	/** The topics that there are of a subscription; the same object while they are the same. */
	topicsOf(subscription: Subscription): SubscribedTopics {
		const shared = this.#sharedOf(subscription);
		if (shared === null) return NO_TOPICS;
		if (shared.topics !== null && shared.version === this.#lookup.version) return shared.topics;
		const topics = new Map<string, number>();
		const add = (name: string) => {
			const topic = this.#lookup.get(name);
			if (topic !== undefined) topics.set(topic.topicId, topic.partitions);
		};
		for (const name of shared.names) add(name);
		for (const name of this.#patterns.get(shared.pattern)?.topics ?? []) add(name);
		shared.topics = topics;
		shared.version = this.#lookup.version;
		return topics;
	}

	/**
	 * A number that stands for all topics that the group reads, and how many partitions they have:
	 * when it changes there is something else to assign. 0 when there are none.
	 */
	hash(): number {
		const topics = new Map<string, number>();
		for (const shared of this.#shared.values()) {
			for (const [topicId, count] of this.topicsOf(shared)) topics.set(topicId, count);
		}
		if (topics.size === 0) return 0;
		const hash = createHash("sha256");
		for (const topicId of [...topics.keys()].sort())
			hash.update(`${topicId}:${topics.get(topicId)};`);
		// As many bits as a number holds exactly.
		return hash.digest().readUIntBE(0, 6);
	}
}

const NO_TOPICS: SubscribedTopics = new Map();

/** What `work` does with a pattern; null where the pattern is refused. */
export function unlessRefused<Result>(work: () => Result): Result | null {
	try {
		return work();
	} catch (error) {
		const isPattern = error instanceof MillraceError && error.code === "INVALID_REGULAR_EXPRESSION";
		if (!isPattern) throw error;
		return null;
	}
}
