/**
 * The catalogue of topics: a view in memory over the metadata store, and the only place that
 * creates, changes and deletes topics.
 *
 * Order of a creation: directories, fsync (by the storage core), commit to the metadata store,
 * answer. A crash in between leaves a directory that no entry knows, which the core sets aside at
 * the next start. Order of a deletion: commit a tombstone, answer, remove the files; a crash in
 * between resumes it.
 *
 * Mutations take turns; reads are plain map look-ups and see only what is durable.
 */
import { randomUUID } from "node:crypto";

import { MillraceError } from "../errors.ts";
import { InOrder } from "../in-order.ts";
import { LIMITS } from "../limits.ts";
import type { MetadataWriter, OpenedMetadata } from "../metadata/metadata-writer.ts";
import { nextTurn } from "../next-turn.ts";
import type { TopicHandle, TopicLogConfig } from "../storage/storage.ts";
import {
	type ConfigurationDescription,
	changeOverrides,
	checkOverrides,
	checkTogether,
	describeConfiguration,
	type TopicOverrides,
	topicLogConfig,
} from "./configuration.ts";
import { isInternalTopic, isWrittenLast } from "./internal-topics.ts";
import { checkTopicName, collisionKey } from "./names.ts";
import { BUILT_IN_DEFAULTS, type TopicDefaults } from "./topic-defaults.ts";
import {
	decodeRecords,
	deletedTopicKey,
	encodeDeletedTopic,
	encodeTopic,
	isPartitionCount,
	type TopicIdentity,
	type TopicRecord,
	topicKey,
} from "./topic-records.ts";

/** What the catalogue needs of the storage core. */
export interface TopicStorage {
	openTopics(
		specs: {
			name: string;
			topicId: string;
			partitions: number;
			config: TopicLogConfig;
			existing: boolean;
		}[],
	): Promise<TopicHandle[]>;
	addPartitions(topic: TopicHandle, partitions: number): Promise<void>;
	configureTopic(topic: TopicHandle, config: TopicLogConfig): void;
	deleteTopic(topic: TopicHandle): Promise<void>;
	/** Removes the files of a topic that is not open, if there are any. */
	removeTopicFiles(topicId: string): Promise<void>;
	/** Moves directories of topics that are not open out of the way. */
	setAsideUnclaimed(): Promise<void>;
}

/** A topic as it is now. A new object replaces it at every change. */
export interface Topic extends TopicRecord {
	readonly handle: TopicHandle;
	readonly logConfig: TopicLogConfig;
}

/** A topic with its whole configuration, for people and tools. */
export interface TopicDescription {
	readonly name: string;
	readonly topicId: string;
	readonly partitions: number;
	readonly configuration: readonly ConfigurationDescription[];
}

export interface CatalogueOptions {
	/** Partitions of a topic for which the caller asks no number. */
	readonly partitionsDefault: number;
	/** Whether `resolve` creates a topic that is not there. */
	readonly createsAutomatically: boolean;
	/** What topics have that do not set it themselves. Default: what is built in. */
	readonly defaults?: TopicDefaults;
	/** How many topics there may be, and partitions of all of them. Defaults: those of `LIMITS`. */
	readonly topicsMax?: number;
	readonly partitionsMax?: number;
	/** Told when the files of a deleted topic could not be removed; the next start tries again. */
	readonly onDeletionFailed: (topicName: string, error: unknown) => void;
}

/** What `create` is asked for. */
export interface TopicCreation {
	readonly name: string;
	/** Absent: the broker's `num.partitions`. */
	readonly partitions?: number;
	readonly config?: Iterable<readonly [string, string]>;
	/**
	 * Answer the existing topic, whatever its partitions and configuration, instead of
	 * TOPIC_ALREADY_EXISTS.
	 */
	readonly ifNotExists?: boolean;
	/** The broker itself creates one of its internal topics. */
	readonly isInternal?: boolean;
}

type OverrideChanges = Iterable<readonly [string, string | null]>;

/** What `alter` is asked for; what is absent stays. */
export interface TopicAlteration {
	/** The new number of partitions, not below the present one. */
	readonly partitions?: number;
	/**
	 * A string sets, null goes back to the default. A function is asked when the alteration's turn
	 * has come, so that nothing changes in between.
	 */
	readonly config?: OverrideChanges | ((present: TopicOverrides) => OverrideChanges);
}

/** What happened to a topic, after it became durable. */
export type TopicChange =
	| { readonly kind: "created"; readonly topic: Topic }
	| { readonly kind: "altered"; readonly topic: Topic; readonly before: Topic }
	| { readonly kind: "deleted"; readonly topic: Topic };

/** Topics that are given other defaults before the loop takes its next turn. */
const TOPICS_A_TURN = 200;

export class TopicCatalogue {
	#defaults: TopicDefaults;
	readonly #storage: TopicStorage;
	readonly #metadata: MetadataWriter;
	readonly #options: CatalogueOptions;
	readonly #topics = new Map<string, Topic>();
	/** Partitions of all topics. */
	#partitionCount = 0;
	readonly #byId = new Map<string, Topic>();
	/** `#topics` sorted by name, while it has not changed since. */
	#sorted: readonly Topic[] | undefined;
	/** Names in use by their collision key. */
	readonly #collisions = new Map<string, string>();
	readonly #listeners = new Set<(change: TopicChange) => void>();
	readonly #deletions = new Set<Promise<void>>();
	readonly #mutations = new InOrder();
	/** Why mutations are refused from here on, once set. */
	#refusal: MillraceError | undefined;

	private constructor(storage: TopicStorage, metadata: MetadataWriter, options: CatalogueOptions) {
		this.#storage = storage;
		this.#metadata = metadata;
		this.#options = options;
		this.#defaults = options.defaults ?? BUILT_IN_DEFAULTS;
	}

	/**
	 * Makes the catalogue of what is stored, opens every topic's logs, finishes deletions that a stop
	 * interrupted, and has directories set aside that no entry knows. Rejects with DATA_DAMAGED or
	 * DATA_DIRECTORY_NEWER when the entries cannot be read, or with what the storage core reports.
	 */
	static async open(
		storage: TopicStorage,
		{ metadata, entries }: OpenedMetadata,
		options: CatalogueOptions,
	): Promise<TopicCatalogue> {
		const { topics, deleted } = decodeRecords(entries);
		const catalogue = new TopicCatalogue(storage, metadata, options);
		const handles = await storage.openTopics(
			topics.map((topic) => ({
				name: topic.name,
				topicId: topic.topicId,
				partitions: topic.partitions,
				config: catalogue.#logConfig(topic),
				existing: true,
			})),
		);
		for (const [index, topic] of topics.entries()) {
			catalogue.#put(catalogue.#opened(topic, handles[index]));
		}
		// What is deleted must be gone first: files that are still there would be set aside for people.
		const isCleared = await catalogue.#finishDeletions(deleted);
		if (isCleared) await storage.setAsideUnclaimed();
		return catalogue;
	}

	/** What topics have that do not set it themselves. */
	get defaults(): TopicDefaults {
		return this.#defaults;
	}

	/**
	 * Gives topics other defaults; resolves when all have them. Rejects with SHUTTING_DOWN, or where
	 * the metadata takes no changes any more.
	 */
	setDefaults(defaults: TopicDefaults): Promise<void> {
		return this.#mutate(async () => {
			this.#defaults = defaults;
			for (const [index, before] of this.list().entries()) {
				const topic = { ...before, logConfig: this.#logConfig(before) };
				this.#storage.configureTopic(topic.handle, topic.logConfig);
				this.#put(topic);
				this.#tell({ kind: "altered", topic, before });
				if (index % TOPICS_A_TURN === TOPICS_A_TURN - 1) {
					await nextTurn();
				}
			}
		});
	}

	/** Whether the files of all of them are gone. */
	async #finishDeletions(deleted: readonly TopicIdentity[]): Promise<boolean> {
		let isCleared = true;
		for (const topic of deleted) {
			try {
				await this.#storage.removeTopicFiles(topic.topicId);
			} catch (error) {
				isCleared = false;
				this.#options.onDeletionFailed(topic.name, error);
				continue;
			}
			await this.#metadata.commit([{ key: deletedTopicKey(topic.topicId), value: null }]);
		}
		return isCleared;
	}

	/** The topic of this name, or undefined. */
	get(name: string): Topic | undefined {
		return this.#topics.get(name);
	}

	/** The topic of this id (a UUID in its canonical form), or undefined. */
	byId(topicId: string): Topic | undefined {
		return this.#byId.get(topicId);
	}

	/** All topics, sorted by name. */
	list(): readonly Topic[] {
		// Kept: clients may ask for every page of a long list, many at once.
		this.#sorted ??= [...this.#topics.values()].sort((left, right) =>
			left.name < right.name ? -1 : 1,
		);
		return this.#sorted;
	}

	/** Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, or as `create` does. */
	async resolve(name: string): Promise<Topic> {
		const topic = this.#topics.get(name);
		if (topic !== undefined) return topic;
		checkTopicName(name);
		if (!this.#options.createsAutomatically || isInternalTopic(name)) throw unknownTopic(name);
		return (await this.create({ name, ifNotExists: true })).topic;
	}

	/** Throws UNKNOWN_TOPIC_OR_PARTITION. */
	describe(name: string): TopicDescription {
		const topic = this.#existing(name);
		return {
			name,
			topicId: topic.topicId,
			partitions: topic.partitions,
			configuration: describeConfiguration(topic.overrides, this.defaults),
		};
	}

	/**
	 * Creates a topic; resolves once it is durable and served. Rejects with TOPIC_ALREADY_EXISTS,
	 * INVALID_TOPIC_EXCEPTION (a name that the broker keeps for itself, too), INVALID_PARTITIONS,
	 * INVALID_CONFIG, POLICY_VIOLATION where there is no room for it, or what storage reports; then
	 * there is no topic.
	 */
	create(creation: TopicCreation): Promise<{ created: boolean; topic: Topic }> {
		return this.#mutate(async () => {
			const existing = this.#topics.get(creation.name);
			if (existing !== undefined && creation.ifNotExists === true) {
				return { created: false, topic: existing };
			}
			return { created: true, topic: await this.#createNow(this.#newRecord(creation)) };
		});
	}

	/**
	 * The topic as it would be, had `create` been asked for it: nothing is created. Throws what
	 * `create` would be refused with.
	 */
	checkCreation(creation: TopicCreation): TopicRecord {
		const existing = this.#topics.get(creation.name);
		if (existing !== undefined && creation.ifNotExists === true) return existing;
		return this.#newRecord(creation);
	}

	#newRecord({
		name,
		partitions = this.#options.partitionsDefault,
		config = [],
		isInternal = false,
	}: TopicCreation): TopicRecord {
		checkTopicName(name);
		if (!isInternal) checkNotInternal(name);
		checkPartitionCount(partitions);
		const overrides = checkOverrides(config);
		checkTogether(overrides, this.defaults);
		const neighbour = this.#collisions.get(collisionKey(name));
		if (neighbour === name) throw new MillraceError("TOPIC_ALREADY_EXISTS", name, { topic: name });
		if (neighbour !== undefined) {
			throw new MillraceError(
				"INVALID_TOPIC_EXCEPTION",
				`${name} differs from the existing ${neighbour} only by . and _`,
				{ topic: name },
			);
		}
		const { topicsMax = LIMITS.topicsMax } = this.#options;
		if (this.#topics.size >= topicsMax) {
			throw new MillraceError("POLICY_VIOLATION", `a broker has at most ${topicsMax} topics`, {
				topic: name,
			});
		}
		this.#checkRoom(name, partitions);
		return { name, topicId: randomUUID(), partitions, overrides };
	}

	/** Throws POLICY_VIOLATION unless so many partitions may be added. */
	#checkRoom(name: string, partitions: number): void {
		const { partitionsMax = LIMITS.partitionsMax } = this.#options;
		const present = this.#partitionCount;
		if (present + partitions <= partitionsMax) return;
		throw new MillraceError(
			"POLICY_VIOLATION",
			`a broker has at most ${partitionsMax} partitions, and this one has ${present}`,
			{ topic: name },
		);
	}

	async #createNow(record: TopicRecord): Promise<Topic> {
		const handles = await this.#storage.openTopics([
			{
				name: record.name,
				topicId: record.topicId,
				partitions: record.partitions,
				config: this.#logConfig(record),
				existing: false,
			},
		]);
		const topic = this.#opened(record, handles[0]);
		try {
			await this.#metadata.commit([{ key: topicKey(topic.name), value: encodeTopic(topic) }]);
		} catch (error) {
			// Nobody has heard of the topic: its empty directories go again.
			this.#track(topic, this.#storage.deleteTopic(topic.handle));
			throw error;
		}
		this.#put(topic);
		this.#tell({ kind: "created", topic });
		return topic;
	}

	/**
	 * Changes configuration and number of partitions, both or neither; resolves once durable and in
	 * force. Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_CONFIG,
	 * POLICY_VIOLATION where there is no room for more partitions, or what storage reports.
	 */
	alter(name: string, alteration: TopicAlteration): Promise<Topic> {
		return this.#mutate(async () => {
			const before = this.#existing(name);
			const topic = this.#alteredTopic(before, alteration);
			if (topic.partitions > before.partitions) {
				await this.#storage.addPartitions(topic.handle, topic.partitions);
			}
			await this.#metadata.commit([{ key: topicKey(name), value: encodeTopic(topic) }]);
			this.#storage.configureTopic(topic.handle, topic.logConfig);
			this.#put(topic);
			this.#tell({ kind: "altered", topic, before });
			return topic;
		});
	}

	/** Throws what `alter` would be refused with, and changes nothing. */
	checkAlteration(name: string, alteration: TopicAlteration): void {
		this.#alteredTopic(this.#existing(name), alteration);
	}

	#alteredTopic(before: Topic, alteration: TopicAlteration): Topic {
		const record = alteredRecord(before, alteration);
		checkTogether(record.overrides, this.defaults);
		const topic = { ...before, ...record, logConfig: this.#logConfig(record) };
		const added = topic.partitions - before.partitions;
		if (added > 0) this.#checkRoom(before.name, added);
		return topic;
	}

	/** Grows a topic to `partitions`, which must be more than it has. Rejects as `alter` does. */
	async addPartitions(name: string, partitions: number): Promise<Topic> {
		const { partitions: present } = this.#existing(name);
		if (partitions === present) {
			throw new MillraceError("INVALID_PARTITIONS", `${name} has ${present} already`, {
				topic: name,
			});
		}
		return this.alter(name, { partitions });
	}

	/**
	 * Deletes a topic; resolves once that is durable. Its files go away behind that.
	 * Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION for an internal topic, or what
	 * the metadata store reports.
	 */
	async delete(name: string): Promise<void> {
		return this.#mutate(async () => {
			const topic = this.#existing(name);
			checkNotInternal(name);
			await this.#metadata.commit([
				{ key: topicKey(name), value: null },
				{ key: deletedTopicKey(topic.topicId), value: encodeDeletedTopic(topic) },
			]);
			this.#topics.delete(name);
			this.#partitionCount -= topic.partitions;
			this.#byId.delete(topic.topicId);
			this.#sorted = undefined;
			this.#collisions.delete(collisionKey(name));
			this.#tell({ kind: "deleted", topic });
			this.#removeFiles(topic);
		});
	}

	/**
	 * Calls `listener` after every change, until the returned function is called. It must not throw.
	 */
	onChange(listener: (change: TopicChange) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/**
	 * Refuses further mutations with SHUTTING_DOWN and waits for those under way, deletions of files
	 * included.
	 */
	async close(): Promise<void> {
		this.#refusal ??= new MillraceError("SHUTTING_DOWN");
		await this.#mutations.done();
		await Promise.all(this.#deletions);
		await this.#mutations.done();
	}

	#logConfig({ name, overrides }: TopicRecord): TopicLogConfig {
		return topicLogConfig(overrides, this.defaults, isWrittenLast(name));
	}

	#opened(record: TopicRecord, handle: TopicHandle | undefined): Topic {
		if (handle === undefined) {
			throw new MillraceError("UNKNOWN_SERVER_ERROR", `storage gave no handle for ${record.name}`);
		}
		return { ...record, handle, logConfig: this.#logConfig(record) };
	}

	#existing(name: string): Topic {
		const topic = this.#topics.get(name);
		if (topic === undefined) throw unknownTopic(name);
		return topic;
	}

	#put(topic: Topic): void {
		this.#partitionCount += topic.partitions - (this.#topics.get(topic.name)?.partitions ?? 0);
		this.#topics.set(topic.name, topic);
		this.#byId.set(topic.topicId, topic);
		this.#sorted = undefined;
		this.#collisions.set(collisionKey(topic.name), topic.name);
	}

	#tell(change: TopicChange): void {
		for (const listener of this.#listeners) listener(change);
	}

	/** Runs `work` after all earlier mutations. */
	#mutate<Result>(work: () => Promise<Result>): Promise<Result> {
		const refusal = this.#refusal ?? this.#metadata.refusal;
		return refusal === undefined ? this.#mutations.run(work) : Promise.reject(refusal);
	}

	/** Removes the files of a topic that is deleted already, then its tombstone. */
	#removeFiles(topic: Topic): void {
		const removal = this.#storage
			.deleteTopic(topic.handle)
			.then(() =>
				this.#mutations.run(() =>
					this.#metadata.commit([{ key: deletedTopicKey(topic.topicId), value: null }]),
				),
			);
		this.#track(topic, removal);
	}

	#track(topic: Topic, removal: Promise<void>): void {
		const tracked: Promise<void> = removal
			.catch((error: unknown) => this.#options.onDeletionFailed(topic.name, error))
			.finally(() => this.#deletions.delete(tracked));
		this.#deletions.add(tracked);
	}
}

/**
 * `before` with the alteration made. Throws INVALID_PARTITIONS, INVALID_CONFIG or what the
 * alteration's own function throws.
 */
function alteredRecord(before: TopicRecord, alteration: TopicAlteration): TopicRecord {
	const { partitions = before.partitions, config = [] } = alteration;
	checkPartitionCount(partitions);
	if (partitions < before.partitions) {
		throw new MillraceError(
			"INVALID_PARTITIONS",
			`${before.name} has ${before.partitions} already, and partitions cannot be taken away`,
			{ topic: before.name },
		);
	}
	// The number of partitions decides where the broker looks for what it keeps there.
	if (partitions > before.partitions) checkNotInternal(before.name);
	const changes = typeof config === "function" ? config(before.overrides) : config;
	const overrides = changeOverrides(before.overrides, changes);
	const { name, topicId } = before;
	return { name, topicId, partitions, overrides };
}

function checkPartitionCount(partitions: number): void {
	if (isPartitionCount(partitions)) return;
	throw new MillraceError(
		"INVALID_PARTITIONS",
		`a topic has between 1 and ${LIMITS.topicPartitionsMax}, not ${partitions}`,
	);
}

/** Throws INVALID_TOPIC_EXCEPTION for a topic that only the broker itself creates and changes. */
function checkNotInternal(name: string): void {
	if (!isInternalTopic(name)) return;
	throw new MillraceError("INVALID_TOPIC_EXCEPTION", `${name} is the broker's own`, {
		topic: name,
	});
}

function unknownTopic(name: string): MillraceError {
	const shown = name.length > 100 ? `${name.slice(0, 100)}...` : name;
	return new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", shown, { topic: shown });
}
