/**
 * The group coordinator: the one owner of all groups, whatever protocol their members speak.
 * Requests come here and go to the group that they name.
 *
 * Errors are MillraceErrors of Kafka's codes. A request whose group is in a partition of the
 * offsets topic that is still being read is refused with COORDINATOR_LOAD_IN_PROGRESS; after
 * `close`, and where that partition cannot be read, with COORDINATOR_NOT_AVAILABLE. Requests may
 * show memory that is used again: what is kept of them is copied before a method returns.
 */
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { CODES } from "../protocol/codes.ts";
import { ClassicGroup } from "./classic/classic-group.ts";
import { ConsumerGroup } from "./consumer/consumer-group.ts";
import type { ConsumerWatcher } from "./consumer/consumer-member.ts";
import {
	type ConsumerGroupDescription,
	type ConsumerHeartbeatAnswer,
	type ConsumerHeartbeatRequest,
	checkHeartbeat,
	EPOCH_JOIN,
	isLeave,
} from "./consumer/consumer-requests.ts";
import { describePartitions, type GroupDescription } from "./description.ts";
import type { Group } from "./group.ts";
import type { GroupConfigs } from "./group-configs.ts";
import { type GroupFigures, groupFigures } from "./group-figures.ts";
import { GroupStore, type GroupStoreOptions } from "./log/group-store.ts";
import { JoinRefused } from "./member.ts";
import { isNameTooLong } from "./names.ts";
import { Expiry } from "./offsets/expiry.ts";
import { LagReader } from "./offsets/lag.ts";
import { OffsetRequests, offsetError } from "./offsets/offset-requests.ts";
import type { GroupOptions } from "./options.ts";
import {
	type ClassicGroupDescription,
	type CodeNumber,
	type CommitRequest,
	type DeleteOffsetsRequest,
	type FetchedOffset,
	type FetchOffsetsRequest,
	type GroupSummary,
	type HeartbeatRequest,
	type JoinAnswer,
	type JoinRequest,
	type LeaveRequest,
	type LeftMember,
	MEMBER_ID_UNKNOWN,
	type PartitionCode,
	type SyncAnswer,
	type SyncRequest,
	type TopicPartitions,
} from "./requests.ts";
import { Timers } from "./timers.ts";

export type GroupCoordinatorOptions = GroupStoreOptions;

export class GroupCoordinator {
	/** What single groups are given instead of the broker's options. */
	readonly configs: GroupConfigs;
	readonly #options: GroupOptions;
	readonly #timers: Timers;
	readonly #store: GroupStore;
	readonly #offsets: OffsetRequests;
	readonly #lag: LagReader;
	readonly #stopListening: () => void;

	constructor(options: GroupCoordinatorOptions) {
		this.configs = options.configs;
		this.#options = options.options;
		this.#timers = new Timers(options.clock);
		this.#store = new GroupStore(options, this.#timers);
		this.#offsets = new OffsetRequests(this.#store, this.#options);
		this.#lag = new LagReader(options.storage, options.catalogue);
		const expiry = new Expiry(this.#store, this.#options);
		this.#stopListening = options.catalogue.onChange((change) => {
			if (change.kind === "deleted") expiry.dropTopic(change.topic.name);
		});
	}

	/**
	 * Reads what the offsets topic holds, partition by partition, and resolves when all is read.
	 * Groups are served as soon as their partition is. Called once, after construction.
	 */
	load(): Promise<void> {
		return this.#store.load();
	}

	/**
	 * Refuses everything from here on, and everybody who waits; what is on its way to disk goes on.
	 */
	close(): void {
		this.#stopListening();
		this.#timers.close();
		this.#store.close();
	}

	/**
	 * Makes sure that the offsets topic is there, as whoever asks for a coordinator needs it next.
	 * Rejects as `TopicCatalogue.create` does.
	 */
	prepare(): Promise<void> {
		return this.#store.prepare();
	}

	// Members of classic groups

	/**
	 * Joins a group, or joins again; resolves when the generation begins. Rejects with JoinRefused or
	 * another MillraceError: MEMBER_ID_REQUIRED, UNKNOWN_MEMBER_ID, INVALID_GROUP_ID,
	 * INVALID_SESSION_TIMEOUT, INCONSISTENT_GROUP_PROTOCOL, FENCED_INSTANCE_ID,
	 * GROUP_MAX_SIZE_REACHED, INVALID_REQUEST.
	 */
	async join(request: JoinRequest): Promise<JoinAnswer> {
		const { groupId, memberId, sessionTimeoutMs } = request;
		checkGroupId(groupId);
		const { groupMinSessionTimeoutMs: least, groupMaxSessionTimeoutMs: most } = this.#options;
		if (sessionTimeoutMs < least || sessionTimeoutMs > most) {
			const particular = `${sessionTimeoutMs} ms is not within ${least} to ${most} ms`;
			throw new JoinRefused("INVALID_SESSION_TIMEOUT", MEMBER_ID_UNKNOWN, particular);
		}
		checkJoin(request);
		if (!this.#store.isPrepared) await this.#store.prepare();
		const known = this.#store.find(groupId);
		if (known instanceof ConsumerGroup && !known.isEmpty) return known.joinClassic(request);
		if (!(known instanceof ClassicGroup) && memberId !== MEMBER_ID_UNKNOWN) {
			throw new JoinRefused("UNKNOWN_MEMBER_ID", memberId);
		}
		const group = this.#classicToJoin(groupId, known);
		if (group === null) {
			throw new JoinRefused("GROUP_MAX_SIZE_REACHED", MEMBER_ID_UNKNOWN, "too many groups");
		}
		return new Promise((resolve, reject) => {
			group.join(request, { resolve, reject });
			this.#store.forgetVoid(group);
		});
	}

	/** The group, made for a member that joins; null when there is no room for it. */
	#classicToJoin(groupId: string, known: Group | undefined): ClassicGroup | null {
		if (known instanceof ClassicGroup) return known;
		if (known instanceof ConsumerGroup) return this.#store.replaceByClassic(known);
		return this.#store.createClassic(groupId);
	}

	/**
	 * Resolves to the member's assignment once the leader's sync is durable, in a consumer group at
	 * once. Rejects with UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
	 * INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS, INVALID_GROUP_ID.
	 */
	async sync(request: SyncRequest): Promise<SyncAnswer> {
		const group = this.#groupOfMembers(request.groupId);
		if (group instanceof ConsumerGroup) return group.syncClassic(request);
		return new Promise((resolve, reject) => group.sync(request, { resolve, reject }));
	}

	/**
	 * Throws UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INVALID_GROUP_ID, or
	 * REBALANCE_IN_PROGRESS: still a member, but to join again.
	 */
	heartbeat(request: HeartbeatRequest): void {
		const group = this.#groupOfMembers(request.groupId);
		if (group instanceof ConsumerGroup) {
			group.heartbeatClassic(request);
			return;
		}
		// Of a union, linters take it for that of consumer groups, whose answer is a promise.
		const classic: ClassicGroup = group;
		classic.heartbeat(request);
	}

	/**
	 * Takes members out, each with its own code: UNKNOWN_MEMBER_ID (for all, where there is no such
	 * group), FENCED_INSTANCE_ID. Rejects with INVALID_GROUP_ID; from a consumer group, whose members
	 * of either protocol may leave so, as `commitOffsets` when that could not be stored.
	 */
	async leave({ groupId, members }: LeaveRequest): Promise<LeftMember[]> {
		checkGroupId(groupId);
		const group = this.#store.find(groupId);
		if (group instanceof ClassicGroup) return group.leave(members);
		if (group instanceof ConsumerGroup) return group.leaveClassic(members);
		const { code } = CODES.UNKNOWN_MEMBER_ID;
		return members.map(({ memberId, groupInstanceId }) => ({ memberId, groupInstanceId, code }));
	}

	/** Throws UNKNOWN_MEMBER_ID where the group does not exist. */
	#groupOfMembers(groupId: string): ClassicGroup | ConsumerGroup {
		checkGroupId(groupId);
		const group = this.#store.find(groupId);
		if (group instanceof ClassicGroup || group instanceof ConsumerGroup) return group;
		throw new MillraceError("UNKNOWN_MEMBER_ID", `group ${groupId}`);
	}

	// Members of consumer groups

	/**
	 * A member of a consumer group joins, says how it is, or leaves; resolves to what it is to do.
	 * When it joins a classic group of Kafka consumers, that becomes a consumer group. Rejects with
	 * INVALID_REQUEST, UNSUPPORTED_ASSIGNOR, GROUP_ID_NOT_FOUND (also for a group that is, and has to
	 * stay, of another type), or as `ConsumerGroup.heartbeat` and `leave`.
	 */
	async consumerHeartbeat(request: ConsumerHeartbeatRequest): Promise<ConsumerHeartbeatAnswer> {
		checkHeartbeat(request, this.#options.groupConsumerAssignors);
		if (!this.#store.isPrepared) await this.#store.prepare();
		if (isLeave(request)) return this.#consumer(request.groupId).leave(request);
		const known = this.#store.find(request.groupId);
		if (known instanceof ClassicGroup && request.memberEpoch === EPOCH_JOIN) {
			return this.#store.becomeConsumer(known, (group) => group.accept(request));
		}
		const group = this.#consumerToJoin(request);
		try {
			return group.heartbeat(request);
		} finally {
			this.#store.forgetVoid(group);
		}
	}

	/** The group, made for a member that joins. */
	#consumerToJoin({ groupId, memberEpoch }: ConsumerHeartbeatRequest): ConsumerGroup {
		const isKnown = this.#store.find(groupId) !== undefined;
		if (isKnown || memberEpoch !== EPOCH_JOIN) return this.#consumer(groupId);
		const group = this.#store.createConsumer(groupId);
		if (group === null) throw new MillraceError("GROUP_MAX_SIZE_REACHED", "too many groups");
		return group;
	}

	/** Throws GROUP_ID_NOT_FOUND, for a group of another type, too. */
	#consumer(groupId: string): ConsumerGroup {
		const group = this.#store.existing(groupId);
		if (group instanceof ConsumerGroup) return group;
		throw new MillraceError("GROUP_ID_NOT_FOUND", `${groupId} is not a consumer group`);
	}

	/**
	 * Keeps a member of a consumer group alive without heartbeats, until the function that is
	 * returned is called; see `ConsumerGroup.watch`. Throws GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID.
	 */
	watchConsumer(groupId: string, memberId: string, watcher: ConsumerWatcher): () => void {
		return this.#consumer(groupId).watch(memberId, watcher);
	}

	/**
	 * The epoch of a member of a consumer group; null where there is no such member or group. Throws
	 * COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, INVALID_GROUP_ID.
	 */
	consumerEpoch(groupId: string, memberId: string): number | null {
		checkGroupId(groupId);
		const group = this.#store.find(groupId);
		return group instanceof ConsumerGroup ? group.epochOf(memberId) : null;
	}

	/** Whether a connection keeps the member alive. Throws GROUP_ID_NOT_FOUND. */
	isConsumerWatched(groupId: string, memberId: string): boolean {
		return this.#consumer(groupId).isWatched(memberId);
	}

	/** As `ConsumerGroup.isSettled`. Throws GROUP_ID_NOT_FOUND. */
	isConsumerSettled(groupId: string, memberId: string): boolean {
		return this.#consumer(groupId).isSettled(memberId);
	}

	/** Throws INVALID_GROUP_ID, or GROUP_ID_NOT_FOUND, for a group of another type, too. */
	describeConsumerGroup(groupId: string): ConsumerGroupDescription {
		checkGroupId(groupId);
		return this.#consumer(groupId).describe();
	}

	// Offsets

	/**
	 * Commits offsets; resolves, once they are durable, to a code for each partition:
	 * UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE (no room).
	 * Rejects for all with what `Group.admitCommit` throws, with GROUP_ID_NOT_FOUND or
	 * ILLEGAL_GENERATION for a member of a group that does not exist, or, when they could not be
	 * stored, with COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR or INVALID_COMMIT_OFFSET_SIZE.
	 */
	async commitOffsets(request: CommitRequest): Promise<TopicPartitions<PartitionCode>[]> {
		checkGroupIdLength(request.groupId);
		return this.#offsets.commit(request);
	}

	/**
	 * The durable offsets of the partitions asked for, -1 where there is none; or all that there are.
	 * Throws what `Group.admitFetch` does.
	 */
	fetchOffsets(request: FetchOffsetsRequest): TopicPartitions<FetchedOffset>[] {
		return this.#offsets.fetch(request);
	}

	/**
	 * Removes offsets; resolves, once that is durable, to a code for each partition:
	 * GROUP_SUBSCRIBED_TO_TOPIC, UNKNOWN_TOPIC_OR_PARTITION. Rejects with GROUP_ID_NOT_FOUND,
	 * NON_EMPTY_GROUP, INVALID_GROUP_ID, or as `commitOffsets` when it could not be stored.
	 */
	async deleteOffsets(request: DeleteOffsetsRequest): Promise<TopicPartitions<PartitionCode>[]> {
		checkGroupId(request.groupId);
		return this.#offsets.delete(request);
	}

	// Groups as a whole

	/**
	 * All groups, each as it is when it is come to: whoever takes them may pause in between. Throws
	 * COORDINATOR_LOAD_IN_PROGRESS while any group is still to be read, COORDINATOR_NOT_AVAILABLE
	 * also in the midst.
	 */
	*listGroups(): Generator<GroupSummary> {
		this.#checkLoaded();
		for (const group of this.#store.groupsInTurns()) {
			yield group.summary();
			// What is left then is not all.
			this.#store.checkOpen();
		}
	}

	/**
	 * So many groups whose ids come after one and that are to be shown, by id, and whether there are
	 * more. Throws
	 * COORDINATOR_LOAD_IN_PROGRESS while any group is still to be read.
	 */
	listGroupsAfter(
		after: string,
		limit: number,
		isShown: (groupId: string) => boolean,
	): { groups: GroupSummary[]; more: boolean } {
		this.#checkLoaded();
		const groups: GroupSummary[] = [];
		for (const group of this.#store.groupsAfter(after)) {
			const summary = group.summary();
			if (!isShown(summary.groupId)) continue;
			if (groups.length === limit) return { groups, more: true };
			groups.push(summary);
		}
		return { groups, more: false };
	}

	/** What metrics tell of groups: members, and how far each is behind, by topic. */
	figures(): Promise<GroupFigures> {
		return groupFigures(this.#store.groups(), this.#lag, this.#store.wallMs());
	}

	/** Throws COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE. */
	#checkLoaded(): void {
		this.#store.checkOpen();
		if (this.#store.isLoading) throw new MillraceError("COORDINATOR_LOAD_IN_PROGRESS");
	}

	/**
	 * The state of a group; null when there is none of this name. Throws
	 * COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, INVALID_GROUP_ID.
	 */
	stateOf(groupId: string): string | null {
		checkGroupId(groupId);
		return this.#store.find(groupId)?.summary().state ?? null;
	}

	/** Throws GROUP_ID_NOT_FOUND, for a group of another type, too. */
	describeClassicGroup(groupId: string): ClassicGroupDescription {
		const group = this.#store.existing(groupId);
		if (group instanceof ClassicGroup) return group.describe();
		throw new MillraceError("GROUP_ID_NOT_FOUND", `${groupId} is not a classic group`);
	}

	/** Whoever wants to see a group: members, offsets, lag. Rejects with GROUP_ID_NOT_FOUND. */
	async describeGroup(groupId: string): Promise<GroupDescription> {
		const group = this.#store.existing(groupId);
		const members = group.describeMembers();
		const nowMs = this.#store.wallMs();
		const partitions = await describePartitions(group, members, this.#lag, nowMs);
		return { ...group.summary(), members, partitions };
	}

	/**
	 * Deletes groups without members, offsets included; resolves, once that is durable, to a code for
	 * each, in order: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or as `commitOffsets` rejects.
	 */
	deleteGroups(groupIds: readonly string[]): Promise<{ groupId: string; code: CodeNumber }[]> {
		return Promise.all(
			groupIds.map(async (groupId) => {
				try {
					await this.#deleteGroup(groupId);
					return { groupId, code: CODES.NONE.code };
				} catch (error) {
					if (!(error instanceof MillraceError)) throw error;
					return { groupId, code: offsetError(error).number };
				}
			}),
		);
	}

	async #deleteGroup(groupId: string): Promise<void> {
		const group = this.#store.existing(groupId);
		if (!group.isEmpty) throw new MillraceError("NON_EMPTY_GROUP", groupId);
		await this.#store.appendDurably(group.partition, this.#store.remove(group));
	}
}

/** Throws INVALID_GROUP_ID for an id that no group with members has. */
function checkGroupId(groupId: string): void {
	if (groupId === "") throw new MillraceError("INVALID_GROUP_ID");
	checkGroupIdLength(groupId);
}

/** Throws INVALID_GROUP_ID for an id that no group has. */
function checkGroupIdLength(groupId: string): void {
	if (isNameTooLong(groupId)) throw new MillraceError("INVALID_GROUP_ID", "it is too long");
}

/** Throws INVALID_REQUEST for more than a member may bring. */
function checkJoin({ clientId, groupInstanceId, protocolType, protocols }: JoinRequest): void {
	if (protocols.length > LIMITS.groupProtocolsMax) {
		throw new MillraceError("INVALID_REQUEST", `${protocols.length} protocols`);
	}
	const names = [
		clientId,
		groupInstanceId ?? "",
		protocolType,
		...protocols.map(({ name }) => name),
	];
	if (names.some(isNameTooLong)) throw new MillraceError("INVALID_REQUEST", "a name is too long");
}
