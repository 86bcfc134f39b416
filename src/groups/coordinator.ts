/**
 * The group coordinator: the one owner of all groups, whatever protocol their members speak. It
 * routes requests to the group that they name, loads groups from the offsets topic at start,
 * commits and expires offsets, and removes groups of which nothing is left.
 *
 * Errors are MillraceErrors of Kafka's codes. A request whose group is in a partition of the
 * offsets topic that is still being read is refused with COORDINATOR_LOAD_IN_PROGRESS; after
 * `close`, and where that partition cannot be read, with COORDINATOR_NOT_AVAILABLE.
 */
import type { Clock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import { NIL_UUID } from "../kafka/wire/uuid.ts";
import { LIMITS } from "../limits.ts";
import { CODES } from "../protocol/codes.ts";
import type { TopicCatalogue } from "../topics/catalogue.ts";
import { ClassicGroup, type ClassicGroupHost } from "./classic-group.ts";
import {
	type CommittedOffset,
	costOf,
	type StagedOffset,
	StateBudget,
} from "./committed-offsets.ts";
import type { Group, GroupRecord } from "./group.ts";
import { offsetRecord } from "./group-records.ts";
import { loadPartition } from "./loading.ts";
import { JoinRefused } from "./member.ts";
import { OffsetsLog, type OffsetsStorage } from "./offsets-log.ts";
import {
	type ClassicGroupDescription,
	type CodeNumber,
	type CommitRequest,
	type DeleteOffsetsRequest,
	type FetchedOffset,
	type FetchOffsetsRequest,
	type GroupFilter,
	type GroupSummary,
	type HeartbeatRequest,
	type JoinAnswer,
	type JoinRequest,
	type LeaveRequest,
	type LeftMember,
	MEMBER_ID_UNKNOWN,
	type OffsetToCommit,
	type PartitionCode,
	type SyncAnswer,
	type SyncRequest,
	type TopicPartitions,
} from "./requests.ts";
import { type Deadline, Timers } from "./timers.ts";

/** Kafka's options of the same names. */
export interface GroupOptions {
	readonly groupInitialRebalanceDelayMs: number;
	readonly groupMinSessionTimeoutMs: number;
	readonly groupMaxSessionTimeoutMs: number;
	readonly groupMaxSize: number;
	readonly offsetMetadataMaxBytes: number;
	readonly offsetsRetentionMinutes: number;
	readonly offsetsRetentionCheckIntervalMs: number;
	readonly offsetsTopicNumPartitions: number;
}

export interface GroupLog {
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
	error(details: object, message: string): void;
}

export interface GroupCoordinatorOptions {
	readonly options: GroupOptions;
	readonly storage: OffsetsStorage;
	readonly catalogue: Pick<TopicCatalogue, "create" | "get" | "onChange">;
	readonly clock: Clock;
	readonly log: GroupLog;
}

type PartitionState = "loading" | "ready" | "failed";

/** Groups that are looked at for expired offsets before the loop takes its next turn. */
const EXPIRY_GROUPS_A_TURN = 200;
const MS_PER_MINUTE = 60_000;

export class GroupCoordinator {
	readonly #options: GroupOptions;
	readonly #catalogue: GroupCoordinatorOptions["catalogue"];
	readonly #clock: Clock;
	readonly #log: GroupLog;
	readonly #timers: Timers;
	readonly #budget = new StateBudget(LIMITS.groupsBytesMax);
	readonly #offsetsLog: OffsetsLog;
	readonly #host: ClassicGroupHost;
	readonly #groups = new Map<string, Group>();
	/** By partition of the offsets topic; those that are not named are ready. */
	readonly #partitions = new Map<number, PartitionState>();
	readonly #expiry: Deadline;
	readonly #stopListening: () => void;
	#isClosed = false;

	constructor({ options, storage, catalogue, clock, log }: GroupCoordinatorOptions) {
		this.#options = options;
		this.#catalogue = catalogue;
		this.#clock = clock;
		this.#log = log;
		this.#timers = new Timers(clock);
		this.#offsetsLog = new OffsetsLog(storage, catalogue, options.offsetsTopicNumPartitions);
		this.#host = this.#makeHost();
		this.#expiry = this.#timers.deadline(() => void this.#expire());
		this.#expiry.set(options.offsetsRetentionCheckIntervalMs);
		this.#stopListening = catalogue.onChange((change) => {
			if (change.kind === "deleted") this.#dropTopic(change.topic.name);
		});
		const partitions = this.#offsetsLog.topic?.partitions ?? 0;
		for (let partition = 0; partition < partitions; partition++) {
			this.#partitions.set(partition, "loading");
		}
	}

	#makeHost(): ClassicGroupHost {
		const details = (group: Group, more: object) => ({ group: group.groupId, ...more });
		return {
			timers: this.#timers,
			budget: this.#budget,
			initialRebalanceDelayMs: this.#options.groupInitialRebalanceDelayMs,
			membersMax: Math.min(this.#options.groupMaxSize, LIMITS.groupMembersMax),
			wallMs: () => this.#clock.wallMs(),
			append: (group, records, done) => this.#append(group.partition, records, done),
			onShrunk: (group) => this.#forgetVoid(group),
			debug: (group, more, message) => this.#log.debug(details(group, more), message),
			warn: (group, more, message) => this.#log.warn(details(group, more), message),
		};
	}

	/**
	 * Reads what the offsets topic holds, partition by partition, and resolves when all is read.
	 * Groups are served as soon as their partition is. Called once, after construction.
	 */
	async load(): Promise<void> {
		for (const partition of [...this.#partitions.keys()]) {
			if (this.#isClosed) return;
			try {
				await this.#loadOne(partition);
				this.#partitions.delete(partition);
			} catch (error) {
				this.#partitions.set(partition, "failed");
				this.#log.error({ err: error, partition }, "groups cannot be read; they are not served");
			}
		}
	}

	async #loadOne(partition: number): Promise<void> {
		const loaded = await loadPartition(this.#offsetsLog, partition, this.#host, this.#log);
		if (this.#isClosed) return;
		const dropped: GroupRecord[] = [];
		for (const group of loaded.groups) {
			this.#groups.set(group.groupId, group);
			group.onLoaded();
			dropped.push(...this.#dropUnknownTopics(group));
		}
		if (dropped.length > 0) this.#append(partition, dropped, (error) => this.#onDropped(error));
	}

	/** Removes offsets of topics that were deleted when nobody was there to see it. */
	#dropUnknownTopics(group: Group): GroupRecord[] {
		const dropped: GroupRecord[] = [];
		for (const [topic, partition, { topicId }] of [...group.offsets.latest()]) {
			const known = this.#catalogue.get(topic);
			if (known !== undefined && (topicId === NIL_UUID || topicId === known.topicId)) continue;
			group.offsets.remove(topic, partition);
			dropped.push(offsetRecord(group.groupId, topic, partition, null));
		}
		return dropped;
	}

	/**
	 * Refuses everything from here on, and everybody who waits. What is on its way to disk goes on.
	 */
	close(): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#stopListening();
		this.#timers.close();
		for (const group of this.#groups.values()) group.retire();
		this.#groups.clear();
	}

	/**
	 * Makes sure that the offsets topic is there, as whoever asks for a coordinator needs it next.
	 * Rejects as `TopicCatalogue.create` does.
	 */
	prepare(): Promise<void> {
		return this.#offsetsLog.create();
	}

	// Members of classic groups

	/**
	 * Joins a group, or joins again; resolves when the generation begins. Rejects with JoinRefused or
	 * another MillraceError: MEMBER_ID_REQUIRED, UNKNOWN_MEMBER_ID, INVALID_GROUP_ID,
	 * INVALID_SESSION_TIMEOUT, INCONSISTENT_GROUP_PROTOCOL, FENCED_INSTANCE_ID,
	 * GROUP_MAX_SIZE_REACHED, INVALID_REQUEST.
	 */
	async join(request: JoinRequest): Promise<JoinAnswer> {
		const { groupId, memberId, sessionTimeoutMs, protocols } = request;
		this.#checkGroupId(groupId);
		const { groupMinSessionTimeoutMs: least, groupMaxSessionTimeoutMs: most } = this.#options;
		if (sessionTimeoutMs < least || sessionTimeoutMs > most) {
			const particular = `${sessionTimeoutMs} ms is not within ${least} to ${most} ms`;
			throw new JoinRefused("INVALID_SESSION_TIMEOUT", MEMBER_ID_UNKNOWN, particular);
		}
		if (protocols.length > LIMITS.groupProtocolsMax) {
			throw new MillraceError("INVALID_REQUEST", `${protocols.length} protocols`);
		}
		if (this.#offsetsLog.topic === undefined) await this.prepare();
		const known = this.#find(groupId);
		if (known === undefined && memberId !== MEMBER_ID_UNKNOWN) {
			throw new JoinRefused("UNKNOWN_MEMBER_ID", memberId);
		}
		const group = known ?? this.#create(groupId);
		if (group === null) {
			throw new JoinRefused("GROUP_MAX_SIZE_REACHED", MEMBER_ID_UNKNOWN, "too many groups");
		}
		if (!(group instanceof ClassicGroup)) {
			throw new JoinRefused("INCONSISTENT_GROUP_PROTOCOL", memberId);
		}
		return new Promise((resolve, reject) => {
			group.join(request, { resolve, reject });
			this.#forgetVoid(group);
		});
	}

	/**
	 * Resolves to the member's assignment once the leader's sync is durable. Rejects with
	 * UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL,
	 * REBALANCE_IN_PROGRESS, INVALID_GROUP_ID.
	 */
	sync(request: SyncRequest): Promise<SyncAnswer> {
		return new Promise((resolve, reject) => {
			this.#classic(request.groupId).sync(request, { resolve, reject });
		});
	}

	/**
	 * Throws UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INVALID_GROUP_ID, or
	 * REBALANCE_IN_PROGRESS: still a member, but to join again.
	 */
	heartbeat(request: HeartbeatRequest): void {
		this.#classic(request.groupId).heartbeat(request);
	}

	/**
	 * Takes members out, each with its own code (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID). Throws
	 * UNKNOWN_MEMBER_ID for a group that does not exist, INVALID_GROUP_ID.
	 */
	leave(request: LeaveRequest): LeftMember[] {
		return this.#classic(request.groupId).leave(request.members);
	}

	/** Throws UNKNOWN_MEMBER_ID where the group does not exist. */
	#classic(groupId: string): ClassicGroup {
		this.#checkGroupId(groupId);
		const group = this.#find(groupId);
		if (group instanceof ClassicGroup) return group;
		throw new MillraceError("UNKNOWN_MEMBER_ID", `group ${groupId}`);
	}

	// Offsets

	/**
	 * Commits offsets; resolves, once they are durable, to a code for each partition:
	 * UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE (no room).
	 * Rejects for all with what `Group.admitCommit` throws, GROUP_ID_NOT_FOUND or ILLEGAL_GENERATION
	 * for a group that does not exist, or what the log says, as Kafka puts it.
	 */
	async commitOffsets(request: CommitRequest): Promise<TopicPartitions<PartitionCode>[]> {
		if (this.#offsetsLog.topic === undefined) await this.prepare();
		const group = this.#groupToCommit(request);
		group?.admitCommit(request);
		const commitMs = this.#clock.wallMs();
		const records: GroupRecord[] = [];
		const staged: StagedOffset[] = [];
		const answer = request.topics.map(({ topic, partitions }) => {
			const known = this.#catalogue.get(topic);
			const codes = partitions.map((each): PartitionCode => {
				const { partition } = each;
				const isKnown = known !== undefined && partition >= 0 && partition < known.partitions;
				const code = isKnown
					? this.#admitOffset(group, each)
					: CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
				if (code === CODES.NONE.code && group !== null && known !== undefined) {
					const offset = offsetOf(request, each, known.topicId, commitMs);
					records.push(offsetRecord(group.groupId, topic, partition, offset));
					staged.push(group.offsets.stage(topic, partition, offset));
				}
				return { partition, code };
			});
			return { topic, partitions: codes };
		});
		if (group === null) return answer;
		if (records.length > 0) await this.#storeOffsets(group, records, staged);
		this.#forgetVoid(group);
		return answer;
	}

	/** The group, created for a commit of nobody's; null when there is no room for it. */
	#groupToCommit(request: CommitRequest): Group | null {
		const { groupId, generation } = request;
		const group = this.#find(groupId);
		if (group !== undefined) return group;
		if (generation < 0) return this.#create(groupId);
		throw new MillraceError(
			request.knowsGroupIdNotFound ? "GROUP_ID_NOT_FOUND" : "ILLEGAL_GENERATION",
			groupId,
		);
	}

	#admitOffset(group: Group | null, offset: OffsetToCommit): CodeNumber {
		if (Buffer.byteLength(offset.metadata ?? "") > this.#options.offsetMetadataMaxBytes) {
			return CODES.OFFSET_METADATA_TOO_LARGE.code;
		}
		if (group === null || !this.#budget.fits(costOf(offset))) {
			return CODES.INVALID_COMMIT_OFFSET_SIZE.code;
		}
		return CODES.NONE.code;
	}

	#storeOffsets(
		group: Group,
		records: readonly GroupRecord[],
		staged: readonly StagedOffset[],
	): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#append(group.partition, records, (error) => {
				if (error === undefined) {
					for (const each of staged) each.settle();
					resolve();
				} else {
					for (const each of staged) each.revert();
					this.#forgetVoid(group);
					reject(commitErrorOf(error));
				}
			});
		});
	}

	/** The durable offsets of the partitions asked for, -1 where there is none; or all there are. */
	fetchOffsets({ groupId, topics }: FetchOffsetsRequest): TopicPartitions<FetchedOffset>[] {
		const offsets = this.#find(groupId)?.offsets;
		if (topics === null) {
			if (offsets === undefined) return [];
			return Array.from(offsets.topics(), (topic) => ({
				topic,
				partitions: Array.from(offsets.of(topic), ([partition, offset]) =>
					fetchedOffset(partition, offset),
				),
			})).filter(({ partitions }) => partitions.length > 0);
		}
		return topics.map(({ topic, partitions }) => ({
			topic,
			partitions: partitions.map((partition) =>
				fetchedOffset(partition, offsets?.get(topic, partition) ?? null),
			),
		}));
	}

	/**
	 * Removes offsets; resolves, once that is durable, to a code for each partition:
	 * GROUP_SUBSCRIBED_TO_TOPIC, UNKNOWN_TOPIC_OR_PARTITION. Rejects with GROUP_ID_NOT_FOUND,
	 * NON_EMPTY_GROUP.
	 */
	async deleteOffsets(request: DeleteOffsetsRequest): Promise<TopicPartitions<PartitionCode>[]> {
		const { groupId, topics } = request;
		this.#checkGroupId(groupId);
		const group = this.#existing(groupId);
		group.admitOffsetDeletion();
		const records: GroupRecord[] = [];
		const answer = topics.map(({ topic, partitions }) => {
			const isSubscribed = group.isSubscribedTo(topic);
			const count = this.#catalogue.get(topic)?.partitions ?? 0;
			const codes = partitions.map((partition) => {
				const isKnown = partition >= 0 && partition < count;
				if (!isKnown) return { partition, code: CODES.UNKNOWN_TOPIC_OR_PARTITION.code };
				if (isSubscribed) return { partition, code: CODES.GROUP_SUBSCRIBED_TO_TOPIC.code };
				if (group.offsets.remove(topic, partition)) {
					records.push(offsetRecord(groupId, topic, partition, null));
				}
				return { partition, code: CODES.NONE.code };
			});
			return { topic, partitions: codes };
		});
		await this.#appendDurably(group.partition, records);
		return answer;
	}

	// Groups as a whole

	/** Throws COORDINATOR_LOAD_IN_PROGRESS while any group is still to be read. */
	listGroups({ states, types }: GroupFilter): GroupSummary[] {
		this.#checkOpen();
		if ([...this.#partitions.values()].includes("loading")) {
			throw new MillraceError("COORDINATOR_LOAD_IN_PROGRESS");
		}
		const statesAsked = new Set(states.map((state) => state.toLowerCase()));
		const typesAsked = new Set(types.map((type) => type.toLowerCase()));
		const listed: GroupSummary[] = [];
		for (const group of this.#groups.values()) {
			const summary = group.summary();
			if (statesAsked.size > 0 && !statesAsked.has(summary.state.toLowerCase())) continue;
			if (typesAsked.size > 0 && !typesAsked.has(summary.type)) continue;
			listed.push(summary);
		}
		return listed;
	}

	/** Throws GROUP_ID_NOT_FOUND, for a group of another type, too. */
	describeClassicGroup(groupId: string): ClassicGroupDescription {
		const group = this.#existing(groupId);
		if (group instanceof ClassicGroup) return group.describe();
		throw new MillraceError("GROUP_ID_NOT_FOUND", `${groupId} is not a classic group`);
	}

	/**
	 * Deletes groups without members, offsets included; resolves, once that is durable, to a code for
	 * each, in order: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or what the log says.
	 */
	deleteGroups(groupIds: readonly string[]): Promise<{ groupId: string; code: CodeNumber }[]> {
		return Promise.all(
			groupIds.map(async (groupId) => {
				try {
					await this.#deleteGroup(groupId);
					return { groupId, code: CODES.NONE.code };
				} catch (error) {
					if (!(error instanceof MillraceError)) throw error;
					return { groupId, code: error.number };
				}
			}),
		);
	}

	async #deleteGroup(groupId: string): Promise<void> {
		const group = this.#existing(groupId);
		if (!group.isEmpty) throw new MillraceError("NON_EMPTY_GROUP", groupId);
		await this.#appendDurably(group.partition, this.#remove(group));
	}

	/** Takes a group out; the answer is what removes it from the log. */
	#remove(group: Group): GroupRecord[] {
		const records: GroupRecord[] = [];
		for (const [topic, partition] of group.offsets.latest()) {
			records.push(offsetRecord(group.groupId, topic, partition, null));
		}
		records.push(...group.tombstones());
		group.offsets.clear();
		group.retire();
		this.#groups.delete(group.groupId);
		return records;
	}

	// Expiry

	/**
	 * Removes what is older than `offsets.retention.minutes`, then groups of which nothing is left.
	 */
	async #expire(): Promise<void> {
		const groups = [...this.#groups.values()];
		for (let start = 0; start < groups.length && !this.#isClosed; start += EXPIRY_GROUPS_A_TURN) {
			const records = new Map<number, GroupRecord[]>();
			for (const group of groups.slice(start, start + EXPIRY_GROUPS_A_TURN)) {
				// It may have been deleted since.
				if (this.#groups.get(group.groupId) === group) this.#expireOffsets(group, records);
			}
			this.#appendDropped(records);
			await new Promise((resolve) => setImmediate(resolve));
		}
		this.#expiry.set(this.#options.offsetsRetentionCheckIntervalMs);
	}

	#expireOffsets(group: Group, records: Map<number, GroupRecord[]>): void {
		const expired: GroupRecord[] = [];
		const nowMs = this.#clock.wallMs();
		const retentionMs = this.#options.offsetsRetentionMinutes * MS_PER_MINUTE;
		for (const [topic, partition, offset] of [...group.offsets.latest()]) {
			if (group.isSubscribedTo(topic)) continue;
			const startMs = group.retentionStartMs(offset);
			if (startMs === null) continue;
			const expireMs = offset.expireMs >= 0 ? offset.expireMs : startMs + retentionMs;
			if (nowMs < expireMs) continue;
			group.offsets.remove(topic, partition);
			expired.push(offsetRecord(group.groupId, topic, partition, null));
		}
		if (group.isEmpty && group.offsets.count === 0) expired.push(...this.#remove(group));
		if (expired.length > 0) addTo(records, group.partition, expired);
	}

	/** A topic was deleted: nobody can read on from its offsets. */
	#dropTopic(topic: string): void {
		const records = new Map<number, GroupRecord[]>();
		for (const group of [...this.#groups.values()]) {
			const dropped = group.offsets.partitions(topic).map((partition) => {
				group.offsets.remove(topic, partition);
				return offsetRecord(group.groupId, topic, partition, null);
			});
			if (dropped.length > 0) addTo(records, group.partition, dropped);
		}
		this.#appendDropped(records);
	}

	#appendDropped(records: ReadonlyMap<number, GroupRecord[]>): void {
		for (const [partition, dropped] of records) {
			this.#append(partition, dropped, (error) => this.#onDropped(error));
		}
	}

	#onDropped(error: MillraceError | undefined): void {
		// They come back at the next start, and go again.
		if (error !== undefined) this.#log.warn({ err: error }, "removed offsets could not be stored");
	}

	// Routing

	#checkGroupId(groupId: string): void {
		if (groupId === "") throw new MillraceError("INVALID_GROUP_ID");
	}

	#checkOpen(): void {
		if (this.#isClosed) throw new MillraceError("COORDINATOR_NOT_AVAILABLE");
	}

	/** The group, if it exists. Throws while it cannot be known. */
	#find(groupId: string): Group | undefined {
		this.#checkOpen();
		const state = this.#partitions.get(this.#offsetsLog.partitionOf(groupId));
		if (state === "loading") throw new MillraceError("COORDINATOR_LOAD_IN_PROGRESS", groupId);
		if (state === "failed") throw new MillraceError("COORDINATOR_NOT_AVAILABLE", groupId);
		return this.#groups.get(groupId);
	}

	#existing(groupId: string): Group {
		const group = this.#find(groupId);
		if (group === undefined) throw new MillraceError("GROUP_ID_NOT_FOUND", groupId);
		return group;
	}

	/** A new classic group; null when there are too many. */
	#create(groupId: string): ClassicGroup | null {
		if (this.#groups.size >= LIMITS.groupsMax) {
			this.#log.warn({ groupsMax: LIMITS.groupsMax }, "there are as many groups as there may be");
			return null;
		}
		const group = new ClassicGroup(groupId, this.#offsetsLog.partitionOf(groupId), this.#host);
		this.#groups.set(groupId, group);
		return group;
	}

	#forgetVoid(group: Group): void {
		if (group.isVoid && this.#groups.get(group.groupId) === group)
			this.#groups.delete(group.groupId);
	}

	#append(
		partition: number,
		records: readonly GroupRecord[],
		done: (error?: MillraceError) => void,
	): void {
		this.#offsetsLog.append(partition, records, (error) => done(error));
	}

	#appendDurably(partition: number, records: readonly GroupRecord[]): Promise<void> {
		if (records.length === 0) return Promise.resolve();
		return new Promise((resolve, reject) => {
			this.#append(partition, records, (error) => {
				if (error === undefined) resolve();
				else reject(commitErrorOf(error));
			});
		});
	}
}

function offsetOf(
	{ retentionMs }: CommitRequest,
	{ offset, leaderEpoch, metadata }: OffsetToCommit,
	topicId: string,
	commitMs: number,
): CommittedOffset {
	const expireMs = retentionMs === null ? -1 : commitMs + retentionMs;
	return { offset, leaderEpoch, metadata: metadata ?? "", commitMs, expireMs, topicId };
}

function fetchedOffset(partition: number, committed: CommittedOffset | null): FetchedOffset {
	const { offset, leaderEpoch, metadata } = committed ?? NO_OFFSET;
	return { partition, code: CODES.NONE.code, offset, leaderEpoch, metadata };
}

const NO_OFFSET = { offset: -1, leaderEpoch: -1, metadata: "" };

function addTo<Item>(lists: Map<number, Item[]>, key: number, items: readonly Item[]): void {
	const list = lists.get(key);
	if (list === undefined) lists.set(key, [...items]);
	else for (const item of items) list.push(item);
}

/** What Kafka answers when an offset could not be stored; the cause says what happened. */
function commitErrorOf(cause: MillraceError): MillraceError {
	switch (cause.code) {
		case "DISK_FULL":
		case "NOT_ENOUGH_REPLICAS":
		case "REQUEST_TIMED_OUT":
		case "UNKNOWN_TOPIC_OR_PARTITION":
			return new MillraceError("COORDINATOR_NOT_AVAILABLE", cause.message, { cause });
		case "KAFKA_STORAGE_ERROR":
		case "NOT_LEADER_OR_FOLLOWER":
			return new MillraceError("NOT_COORDINATOR", cause.message, { cause });
		case "MESSAGE_TOO_LARGE":
		case "RECORD_LIST_TOO_LARGE":
			return new MillraceError("INVALID_COMMIT_OFFSET_SIZE", cause.message, { cause });
		default:
			return cause;
	}
}
