/**
 * The topics that there are, as groups need them: by name, by id, and by a regular expression for
 * their names. What a pattern matches is kept, and brought up to date with the names that have come
 * and gone since.
 */
import { LIMITS } from "../../limits.ts";
import type { Topic, TopicCatalogue } from "../../topics/catalogue.ts";

export type LookupCatalogue = Pick<TopicCatalogue, "byId" | "get" | "list" | "onChange">;

/**
 * For each name whether the whole of it matches a regular expression in RE2's syntax. Throws
 * INVALID_REGULAR_EXPRESSION.
 */
export type MatchNames = (pattern: string, names: readonly string[]) => boolean[];

interface Matches {
	/** The version of the catalogue that they are up to date with. */
	version: number;
	topics: ReadonlySet<string>;
}

export class TopicLookup {
	readonly #catalogue: LookupCatalogue;
	readonly #matchNames: MatchNames;
	readonly #stopListening: () => void;
	readonly #listeners = new Set<() => void>();
	/** Names of topics that were created or deleted, by version: the first is of `#oldest`. */
	readonly #changed: string[] = [];
	#oldest = 1;
	#version = 0;
	/** By pattern, the least recently used first. */
	readonly #matches = new Map<string, Matches>();

	constructor(catalogue: LookupCatalogue, matchNames: MatchNames) {
		this.#catalogue = catalogue;
		this.#matchNames = matchNames;
		this.#stopListening = catalogue.onChange(({ topic }) => this.#onChange(topic));
	}

	/** Grows with every topic that is created, changed or deleted. */
	get version(): number {
		return this.#version;
	}

	get(name: string): Topic | undefined {
		return this.#catalogue.get(name);
	}

	byId(topicId: string): Topic | undefined {
		return this.#catalogue.byId(topicId);
	}

	/**
	 * Names of the topics that a pattern matches, internal ones too, as in Kafka; the same object
	 * while they are the same. Throws INVALID_REGULAR_EXPRESSION.
	 */
	matching(pattern: string): ReadonlySet<string> {
		let matches = this.#matches.get(pattern);
		this.#matches.delete(pattern);
		if (matches === undefined || matches.version < this.#oldest - 1) {
			const names = this.#catalogue.list().map(({ name }) => name);
			matches = { version: this.#version, topics: new Set(this.#matchingOf(pattern, names)) };
		} else this.#update(pattern, matches);
		this.#matches.set(pattern, matches);
		if (this.#matches.size > LIMITS.groupPatternsMax) {
			for (const least of this.#matches.keys()) {
				this.#matches.delete(least);
				break;
			}
		}
		return matches.topics;
	}

	#update(pattern: string, matches: Matches): void {
		if (matches.version === this.#version) return;
		const since = new Set(this.#changed.slice(matches.version + 1 - this.#oldest));
		matches.version = this.#version;
		const matched = this.#matchingOf(
			pattern,
			[...since].filter((name) => this.#catalogue.get(name) !== undefined),
		);
		const topics = new Set(matches.topics);
		for (const name of since) topics.delete(name);
		for (const name of matched) topics.add(name);
		const isSame =
			topics.size === matches.topics.size && matched.every((name) => matches.topics.has(name));
		if (!isSame) matches.topics = topics;
	}

	#matchingOf(pattern: string, names: readonly string[]): string[] {
		const matched = this.#matchNames(pattern, names);
		return names.filter((_, index) => matched[index] === true);
	}

	/** Calls `listener` after every change; returns a function that ends it. */
	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	close(): void {
		this.#stopListening();
		this.#listeners.clear();
	}

	#onChange({ name }: Topic): void {
		this.#version++;
		this.#changed.push(name);
		if (this.#changed.length > 2 * LIMITS.groupTopicChangesMax) {
			this.#oldest += LIMITS.groupTopicChangesMax;
			this.#changed.splice(0, LIMITS.groupTopicChangesMax);
		}
		for (const listener of this.#listeners) listener();
	}
}
