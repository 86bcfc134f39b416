/**
 * All groups of the broker, in memory and in the offsets topic: finds them, makes them, reads them
 * back at the start, and takes them out. Which group is in which partition of the topic follows
 * from its id, as in Kafka.
 */
import type { Clock } from "../../clock.ts";
import { MillraceError } from "../../errors.ts";
import { Turns } from "../../kafka/turns.ts";
import { NIL_UUID } from "../../kafka/wire/uuid.ts";
import { LIMITS } from "../../limits.ts";
import type { Storage } from "../../storage/storage.ts";
import type { TopicCatalogue } from "../../topics/catalogue.ts";
import { ClassicGroup, type ClassicGroupHost } from "../classic/classic-group.ts";
import { ConsumerGroup, type ConsumerGroupHost } from "../consumer/consumer-group.ts";
import { CONSUMER_PROTOCOL_TYPE } from "../consumer/consumer-protocol.ts";
import type { Group, GroupRecord } from "../group.ts";
import type { GroupConfigs } from "../group-configs.ts";
import type { ClassicImage, ConsumerImage } from "../migration.ts";
import { StateBudget } from "../offsets/committed-offsets.ts";
import { type LookupCatalogue, type MatchNames, TopicLookup } from "../offsets/topic-lookup.ts";
import { type GroupOptions, mayDowngrade, mayUpgrade } from "../options.ts";
import type { Timers } from "../timers.ts";
import { offsetRecord, withoutGroupRecord } from "./group-records.ts";
import { groupError } from "./group-writes.ts";
import { loadPartition } from "./loading.ts";
import { type AppendDone, OffsetsLog, type OffsetsStorage } from "./offsets-log.ts";
import { RollUps } from "./roll-ups.ts";

/** Where log lines go; pino is one. */
export interface GroupLog {
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
	error(details: object, message: string): void;
}

export interface GroupStoreOptions {
	readonly options: GroupOptions;
	readonly configs: GroupConfigs;
	readonly storage: OffsetsStorage &
		Pick<Storage, "spaceWatermarks"> & { readonly matchNames: MatchNames };
	readonly catalogue: LookupCatalogue & Pick<TopicCatalogue, "create">;
	readonly clock: Clock;
	readonly log: GroupLog;
}

type Host = ClassicGroupHost & ConsumerGroupHost & { readonly mayUpgrade: boolean };

type PartitionState = "loading" | "failed";

export class GroupStore {
	readonly timers: Timers;
	readonly budget = new StateBudget(LIMITS.groupsBytesMax);
	readonly catalogue: GroupStoreOptions["catalogue"];
	readonly log: GroupLog;
	readonly #clock: Clock;
	readonly #offsetsLog: OffsetsLog;
	readonly #topics: TopicLookup;
	readonly #host: Host;
	readonly #rollUps: RollUps;
	readonly #groups = new Map<string, Group>();
	/** Ids of all groups, in order; null: not known since one has come or gone. */
	#sortedIds: readonly string[] | null = null;
	/** Partitions of the offsets topic whose groups cannot be served. */
	readonly #partitions = new Map<number, PartitionState>();
	#isClosed = false;

	constructor(
		{ options, configs, storage, catalogue, clock, log }: GroupStoreOptions,
		timers: Timers,
	) {
		this.timers = timers;
		this.catalogue = catalogue;
		this.log = log;
		this.#clock = clock;
		this.#offsetsLog = new OffsetsLog(storage, catalogue, options.offsetsTopicNumPartitions);
		this.#topics = new TopicLookup(catalogue, (pattern, names) =>
			storage.matchNames(pattern, names),
		);
		this.#host = this.#makeHost(options, configs);
		const { refuseBelow } = storage.spaceWatermarks();
		this.#rollUps = new RollUps(this.#offsetsLog, this, log, refuseBelow);
		const partitions = this.#offsetsLog.topic?.partitions ?? 0;
		for (let partition = 0; partition < partitions; partition++) {
			this.#partitions.set(partition, "loading");
		}
	}

	#makeHost(options: GroupOptions, configs: GroupConfigs): Host {
		const details = (group: Group, more: object) => ({ group: group.groupId, ...more });
		return {
			timers: this.timers,
			budget: this.budget,
			get initialRebalanceDelayMs() {
				return options.groupInitialRebalanceDelayMs;
			},
			membersMax: Math.min(options.groupMaxSize, LIMITS.groupMembersMax),
			topics: this.#topics,
			mayUpgrade: mayUpgrade(options.groupConsumerMigrationPolicy),
			consumer: {
				timeoutsOf: (groupId) => configs.timeoutsOf(groupId),
				membersMax: Math.min(options.groupConsumerMaxSize, LIMITS.groupMembersMax),
				maySpeakClassic: mayDowngrade(options.groupConsumerMigrationPolicy),
				classicMembersMax: Math.min(options.groupMaxSize, LIMITS.groupMembersMax),
				assignors: options.groupConsumerAssignors,
			},
			wallMs: () => this.#clock.wallMs(),
			monotonicMs: () => this.#clock.monotonicMs(),
			append: (group, records, done) => this.append(group.partition, records, done),
			onShrunk: (group) => this.forgetVoid(group),
			becomeClassic: (group, image, removals, why) =>
				this.#becomeClassic(group, image, removals, why),
			debug: (group, more, message) => this.log.debug(details(group, more), message),
			warn: (group, more, message) => this.log.warn(details(group, more), message),
		};
	}

	get isClosed(): boolean {
		return this.#isClosed;
	}

	/** Milliseconds since 1970. */
	wallMs(): number {
		return this.#clock.wallMs();
	}

	/** For work that lets others have the loop in between. */
	turns(): Turns {
		return new Turns(this.#clock);
	}

	// The offsets topic

	/** Whether the offsets topic is there; `prepare` creates it. */
	get isPrepared(): boolean {
		return this.#offsetsLog.topic !== undefined;
	}

	/** Rejects as `TopicCatalogue.create` does. */
	prepare(): Promise<void> {
		return this.#offsetsLog.create();
	}

	/**
	 * Appends records to a partition of the topic; `done` is called on a later turn, once they are as
	 * durable as the topic promises or have failed.
	 */
	append(partition: number, records: readonly GroupRecord[], done: AppendDone): void {
		this.#offsetsLog.append(partition, records, done);
		this.#rollUps.onAppended(partition, records);
	}

	/** Appends; resolves once durable. Rejects with what storage says. */
	appendDurably(partition: number, records: readonly GroupRecord[]): Promise<void> {
		if (records.length === 0) return Promise.resolve();
		return new Promise((resolve, reject) => {
			this.append(partition, records, (error) => {
				if (error === undefined) resolve();
				else reject(error);
			});
		});
	}

	/**
	 * Appends what removes things that are gone from memory already. When that fails they come back
	 * at the next start, and go again.
	 */
	appendRemovals(records: ReadonlyMap<number, readonly GroupRecord[]>): void {
		for (const [partition, removals] of records) {
			this.append(partition, removals, (error) => {
				if (error !== undefined) this.log.warn({ err: error }, "a removal could not be stored");
			});
		}
	}

	// Loading

	/** Whether some groups are still to be read. */
	get isLoading(): boolean {
		return [...this.#partitions.values()].includes("loading");
	}

	/** Reads partition by partition, and resolves when all is read. Called once. */
	async load(): Promise<void> {
		for (const partition of [...this.#partitions.keys()]) {
			if (this.#isClosed) return;
			try {
				await this.#loadOne(partition);
				this.#partitions.delete(partition);
			} catch (error) {
				this.#partitions.set(partition, "failed");
				this.log.error({ err: error, partition }, "groups cannot be read; they are not served");
			}
		}
	}

	async #loadOne(partition: number): Promise<void> {
		const turns = this.turns();
		const loaded = await loadPartition(this.#offsetsLog, partition, this.#host, this.log, turns);
		if (this.#isClosed) return;
		// Known from here on, so that a topic that is deleted now takes their offsets with it.
		for (const group of loaded.groups) this.#put(group);
		const removals: GroupRecord[] = [];
		for (const group of loaded.groups) {
			this.#dropUnknownTopics(group, removals);
			if (!turns.isDue) continue;
			await turns.pause();
			if (this.#isClosed) return;
		}
		for (const group of loaded.groups) {
			group.onLoaded();
			if (!turns.isDue) continue;
			await turns.pause();
			if (this.#isClosed) return;
		}
		if (removals.length > 0) this.appendRemovals(new Map([[partition, removals]]));
		this.#rollUps.onLoaded(partition, loaded);
	}

	/** Removes offsets of topics that were deleted when nobody was there to see it. */
	#dropUnknownTopics(group: Group, removals: GroupRecord[]): void {
		for (const [topic, partition, { topicId }] of group.offsets.latest()) {
			const known = this.catalogue.get(topic);
			if (known !== undefined && (topicId === NIL_UUID || topicId === known.topicId)) continue;
			group.offsets.remove(topic, partition);
			removals.push(offsetRecord(group.groupId, topic, partition, null));
		}
	}

	// Groups

	/** Throws COORDINATOR_NOT_AVAILABLE after `close`. */
	checkOpen(): void {
		if (this.#isClosed) throw new MillraceError("COORDINATOR_NOT_AVAILABLE");
	}

	/**
	 * The group, if it exists. Throws where that cannot be known: COORDINATOR_LOAD_IN_PROGRESS,
	 * COORDINATOR_NOT_AVAILABLE.
	 */
	find(groupId: string): Group | undefined {
		this.checkOpen();
		const state = this.#partitions.get(this.#offsetsLog.partitionOf(groupId));
		if (state === "loading") throw new MillraceError("COORDINATOR_LOAD_IN_PROGRESS", groupId);
		if (state === "failed") throw new MillraceError("COORDINATOR_NOT_AVAILABLE", groupId);
		return this.#groups.get(groupId);
	}

	/** As `find`; throws GROUP_ID_NOT_FOUND where there is none. */
	existing(groupId: string): Group {
		const group = this.find(groupId);
		if (group === undefined) throw new MillraceError("GROUP_ID_NOT_FOUND", groupId);
		return group;
	}

	/** All groups that are loaded. */
	groups(): IterableIterator<Group> {
		return this.#groups.values();
	}

	/**
	 * Those that are loaded now, once each and as they are when they are come to: whoever takes them
	 * may pause in between. A group that changes its type stays, and one that is gone is left out.
	 */
	*groupsInTurns(): Generator<Group> {
		for (const groupId of [...this.#groups.keys()]) {
			const group = this.#groups.get(groupId);
			if (group !== undefined) yield group;
		}
	}

	/** Those that are loaded whose ids come after one, by id. */
	*groupsAfter(after: string): Generator<Group> {
		this.#sortedIds ??= [...this.#groups.keys()].sort();
		const ids = this.#sortedIds;
		for (let index = firstAfter(ids, after); index < ids.length; index++) {
			const group = this.#groups.get(ids[index] as string);
			if (group !== undefined) yield group;
		}
	}

	#put(group: Group): void {
		if (!this.#groups.has(group.groupId)) this.#sortedIds = null;
		this.#groups.set(group.groupId, group);
	}

	#delete(groupId: string): void {
		if (this.#groups.delete(groupId)) this.#sortedIds = null;
	}

	/** Whether it is still the group of its id. */
	has(group: Group): boolean {
		return this.#groups.get(group.groupId) === group;
	}

	/** A new classic group without members; null when there are as many groups as there may be. */
	createClassic(groupId: string): ClassicGroup | null {
		if (this.#isFull()) return null;
		const group = new ClassicGroup(groupId, this.#offsetsLog.partitionOf(groupId), this.#host);
		this.#put(group);
		return group;
	}

	/** A new consumer group without members; null when there are as many groups as there may be. */
	createConsumer(groupId: string): ConsumerGroup | null {
		if (this.#isFull()) return null;
		const group = new ConsumerGroup(groupId, this.#offsetsLog.partitionOf(groupId), this.#host);
		this.#put(group);
		return group;
	}

	#isFull(): boolean {
		if (this.#groups.size < LIMITS.groupsMax) return false;
		this.log.warn({ groupsMax: LIMITS.groupsMax }, "there are as many groups as there may be");
		return true;
	}

	/**
	 * A consumer group in the place of a classic one, with its offsets and members, once `enter` has
	 * let a member of the new protocol in; the answer is what `enter` answers. Throws what that
	 * throws, and GROUP_ID_NOT_FOUND for a group that has to stay classic, which it does then.
	 */
	becomeConsumer<Answer>(before: ClassicGroup, enter: (group: ConsumerGroup) => Answer): Answer {
		const { groupId, partition, offsets } = before;
		const image = before.toConsumer();
		if (image !== null) this.#checkUpgrade(groupId, image);
		const { leftovers } = before;
		const origin = { image, leftovers, removals: before.ownTombstones() };
		const group = new ConsumerGroup(groupId, partition, this.#host, offsets, origin);
		let answer: Answer;
		try {
			answer = enter(group);
		} catch (error) {
			group.retire();
			throw error;
		}
		// Members who wait for the rebalance are to join once more: there is another one.
		before.retire("REBALANCE_IN_PROGRESS");
		this.#put(group);
		if (image !== null) this.log.debug({ group: groupId }, "it is a consumer group now");
		return answer;
	}

	#checkUpgrade(groupId: string, { protocolType, members }: ConsumerImage): void {
		const { consumer, mayUpgrade } = this.#host;
		const refuse = (why: string) => new MillraceError("GROUP_ID_NOT_FOUND", `${groupId}: ${why}`);
		if (!mayUpgrade) throw refuse("group.consumer.migration.policy keeps it classic");
		if (protocolType !== CONSUMER_PROTOCOL_TYPE) throw refuse("its members are no consumers");
		if (members.length > consumer.membersMax)
			throw refuse("it is larger than a consumer group may be");
	}

	#becomeClassic(
		{ groupId, partition, offsets }: ConsumerGroup,
		image: ClassicImage,
		removals: readonly GroupRecord[],
		why: string | null,
	): Promise<void> {
		const leftovers = withoutGroupRecord(groupId, removals);
		const group = new ClassicGroup(groupId, partition, this.#host, offsets, leftovers);
		this.#put(group);
		this.log.debug({ group: groupId }, "it is a classic group now");
		return new Promise((resolve, reject) => {
			group.adopt(image, why, (error) => {
				if (error === undefined) resolve();
				else reject(groupError(error));
			});
		});
	}

	/** A classic group without members in the place of a consumer group without members. */
	replaceByClassic(before: ConsumerGroup): ClassicGroup {
		const { groupId, partition, offsets } = before;
		const leftovers = withoutGroupRecord(groupId, before.removals());
		before.retire();
		const group = new ClassicGroup(groupId, partition, this.#host, offsets, leftovers);
		this.#put(group);
		return group;
	}

	/** Forgets a group of which nothing is left, if that is so. */
	forgetVoid(group: Group): void {
		if (group.isVoid && this.has(group)) this.#delete(group.groupId);
	}

	/** Takes a group out; returns the records that remove it from the topic. */
	remove(group: Group): GroupRecord[] {
		const records: GroupRecord[] = [];
		for (const [topic, partition] of group.offsets.latest()) {
			records.push(offsetRecord(group.groupId, topic, partition, null));
		}
		records.push(...group.tombstones());
		group.offsets.clear();
		group.retire();
		this.#delete(group.groupId);
		return records;
	}

	/**
	 * Refuses everything from here on, and everybody who waits; what is on its way to disk goes on.
	 */
	close(): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#topics.close();
		for (const group of this.#groups.values()) group.retire();
		this.#groups.clear();
	}
}

/** The index of the first text that comes after another, among texts in order. */
function firstAfter(texts: readonly string[], after: string): number {
	let [low, high] = [0, texts.length];
	while (low < high) {
		const middle = (low + high) >>> 1;
		if ((texts[middle] as string) > after) high = middle;
		else low = middle + 1;
	}
	return low;
}
