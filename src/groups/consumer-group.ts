/**
 * One group of the consumer protocol (KIP-848): the broker decides who reads what, and tells each
 * member with the answer to its heartbeat what to give up and what to take on.
 *
 * Three epochs follow each other. Whatever changes what there is to assign - members, what they
 * subscribe to, topics - raises the group's epoch. The target assignment is computed for it with
 * the next heartbeat, and each member comes to that epoch by itself, once it has given up what it
 * should (`reconciliation.ts`). The group is
 *
 *     Empty        without members
 *     Assigning    the group's epoch is ahead of its assignment's
 *     Reconciling  some member is not yet where its target is
 *     Stable       everybody is
 *     Dead         deleted, or given up by this broker
 *
 * As Kafka 4.3. A heartbeat is answered when all that it says is durable.
 */
import { randomBytes } from "node:crypto";

import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import {
	type Assignment,
	assignmentFrom,
	holdsAll,
	isSame,
	NO_PARTITIONS,
	toTopicIdPartitions,
} from "./assignment.ts";
import { ASSIGNORS, type AssignorName } from "./assignors.ts";
import { type CommittedOffset, CommittedOffsets, type StateBudget } from "./committed-offsets.ts";
import {
	ConsumerMember,
	type ConsumerWatcher,
	type MemberProfile,
	NEW_PROFILE,
	profileAfter,
} from "./consumer-member.ts";
import { CONSUMER_PROTOCOL_TYPE } from "./consumer-protocol.ts";
import type { ConsumerGroupImage } from "./consumer-records.ts";
import {
	type ConsumerGroupDescription,
	type ConsumerHeartbeatAnswer,
	type ConsumerHeartbeatRequest,
	EPOCH_JOIN,
	EPOCH_LEAVE_STATIC,
	isFullHeartbeat,
} from "./consumer-requests.ts";
import { ConsumerState } from "./consumer-state.ts";
import type { DescribedMember } from "./description.ts";
import type { Group, GroupRecord } from "./group.ts";
import type { GroupTimeouts } from "./group-configs.ts";
import { GroupWrites, type GroupWritesHost } from "./group-writes.ts";
import { nextStanding, type Standing, type Surroundings } from "./reconciliation.ts";
import type { CommitRequest, FetchOffsetsRequest, GroupSummary } from "./requests.ts";
import type { Subscription } from "./subscriptions.ts";
import type { Deadline, Timers } from "./timers.ts";
import type { TopicLookup } from "./topic-lookup.ts";

/** What a consumer group needs of the coordinator around it. */
export interface ConsumerGroupHost extends GroupWritesHost {
	readonly timers: Timers;
	readonly budget: StateBudget;
	readonly topics: TopicLookup;
	readonly consumer: ConsumerGroupSettings;
	/** Milliseconds since 1970. */
	wallMs(): number;
	debug(group: Group, details: object, message: string): void;
}

export interface ConsumerGroupSettings {
	/** What the members of a group are told, which may change at any time. */
	timeoutsOf(groupId: string): GroupTimeouts;
	readonly membersMax: number;
	/** The first is for groups whose members ask for none. */
	readonly assignors: readonly AssignorName[];
}

/** An assignment that took less than this may be followed by the next at once, in milliseconds. */
const ASSIGNING_MS_FREE = 2;
/** Otherwise a group's assignments take a fiftieth of the loop's time at most. */
const ASSIGNING_PAUSE_FACTOR = 50;
const ASSIGNING_PAUSE_MS_MAX = 1_000;

export class ConsumerGroup implements Group {
	readonly type = "consumer";
	readonly groupId: string;
	readonly partition: number;
	readonly offsets: CommittedOffsets;
	readonly #host: ConsumerGroupHost;
	readonly #state: ConsumerState;
	readonly #writes: GroupWrites;
	/** The version of the topics that was last looked at. */
	#topicsVersion = -1;
	/** From when on the next assignment may be computed, on the monotonic clock. */
	#assignableMs = 0;
	readonly #assignable: Deadline;
	/** Members that are told instead of asking. */
	#watchedCount = 0;
	#stopListening: () => void = () => undefined;
	#isLookDue = false;
	/** Members that were found not to belong to the group when it was loaded. */
	#lost: readonly ConsumerMember[] = [];

	constructor(
		groupId: string,
		partition: number,
		host: ConsumerGroupHost,
		offsets = new CommittedOffsets(host.budget),
	) {
		this.groupId = groupId;
		this.partition = partition;
		this.offsets = offsets;
		this.#host = host;
		this.#state = new ConsumerState(groupId, host.topics, host.budget);
		this.#writes = new GroupWrites(this, host);
		this.#assignable = host.timers.deadline(() => this.#lookSoon());
	}

	get isEmpty(): boolean {
		return this.#state.size === 0;
	}

	get #timeouts(): GroupTimeouts {
		return this.#host.consumer.timeoutsOf(this.groupId);
	}

	get isVoid(): boolean {
		return this.isEmpty && !this.#state.isStored && this.offsets.count === 0;
	}

	// Heartbeats

	/**
	 * Takes a heartbeat, which may be a join; resolves when all it led to is durable. Rejects with
	 * UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID,
	 * GROUP_MAX_SIZE_REACHED, INVALID_REGULAR_EXPRESSION, or with COORDINATOR_NOT_AVAILABLE and its
	 * like when it could not be stored.
	 */
	async heartbeat(request: ConsumerHeartbeatRequest): Promise<ConsumerHeartbeatAnswer> {
		this.#checkAlive();
		const sender = this.#senderOf(request);
		const subscription = this.#subscribe(request, sender);
		const { member, answer } = this.#advance(request, sender, subscription);
		this.#lookSoon();
		try {
			await this.#writes.settled();
		} catch (error) {
			// It does not know that it is a member, and may never come back under this id.
			if (sender === null) this.#expel(member, "its join could not be stored");
			throw error;
		}
		return answer;
	}

	/** The member that sends it, or whose place it takes; null: a new one. */
	#senderOf(request: ConsumerHeartbeatRequest): ConsumerMember | null {
		const { memberId, memberEpoch, instanceId, owned } = request;
		const known = this.#state.get(memberId);
		const isJoin = memberEpoch === EPOCH_JOIN;
		if (known === undefined && this.#state.size >= this.#host.consumer.membersMax) {
			throw new MillraceError("GROUP_MAX_SIZE_REACHED", this.groupId);
		}
		const member = instanceId === null ? known : this.#state.staticMember(instanceId);
		if (member === undefined) {
			if (isJoin) return null;
			throw new MillraceError("UNKNOWN_MEMBER_ID", instanceId ?? memberId);
		}
		if (instanceId !== null && isJoin) {
			if (member.standing.epoch === EPOCH_LEAVE_STATIC) return member;
			throw new MillraceError("UNRELEASED_INSTANCE_ID", `${instanceId} is ${member.memberId}`);
		}
		if (member.memberId !== memberId) throw new MillraceError("FENCED_INSTANCE_ID", memberId);
		if (!isJoin) checkEpoch(member.standing, memberEpoch, owned && assignmentFrom(owned));
		return member;
	}

	/** What the sender subscribes to from now on. */
	#subscribe(request: ConsumerHeartbeatRequest, sender: ConsumerMember | null): Subscription {
		const before = (sender?.profile ?? NEW_PROFILE).subscription;
		const { topicNames, topicPattern } = request;
		if (topicNames === null && topicPattern === null) return before;
		const names = topicNames ?? before.names;
		const pattern = topicPattern ?? before.pattern;
		const bytes = 2 * names.reduce((sum, name) => sum + name.length, pattern.length);
		const isTooMuch = this.#state.subscriptions.bytes + bytes > LIMITS.groupBytesMax;
		if (isTooMuch || !this.#host.budget.fits(bytes)) {
			throw new MillraceError("GROUP_MAX_SIZE_REACHED", "no room for what is subscribed to");
		}
		return this.#state.subscriptions.take(names, pattern, before);
	}

	/** Does all that the heartbeat leads to, and appends what has changed. */
	#advance(
		request: ConsumerHeartbeatRequest,
		sender: ConsumerMember | null,
		subscription: Subscription,
	): { member: ConsumerMember; answer: ConsumerHeartbeatAnswer } {
		const records: GroupRecord[] = [];
		const before = sender?.profile ?? NEW_PROFILE;
		const profile = profileAfter(before, request, subscription);
		const isResubscribed = subscription !== before.subscription;
		const member = this.#memberFor(request, sender, profile, records);
		this.#refresh(isResubscribed || !this.#state.isStored, records);
		if (this.#isAssignmentDue()) this.#assign(records);
		const { assigned } = member.standing;
		const owned = request.owned && assignmentFrom(request.owned);
		this.#reconcile(member, { owned, isResubscribed }, records);
		this.#touch(member);
		if (records.length > 0) this.#state.count();
		this.#writes.append(records);
		const { standing } = member;
		const isTold =
			request.memberEpoch === EPOCH_JOIN ||
			isFullHeartbeat(request) ||
			!isSame(assigned, standing.assigned);
		const answer: ConsumerHeartbeatAnswer = {
			memberId: member.memberId,
			memberEpoch: standing.epoch,
			heartbeatIntervalMs: this.#timeouts.heartbeatIntervalMs,
			assignment: isTold ? toTopicIdPartitions(standing.assigned) : null,
		};
		return { member, answer };
	}

	/** The sender with what it says about itself, or a new member, in its place if it has one. */
	#memberFor(
		request: ConsumerHeartbeatRequest,
		sender: ConsumerMember | null,
		profile: MemberProfile,
		records: GroupRecord[],
	): ConsumerMember {
		const isReplaced = sender?.standing.epoch === EPOCH_LEAVE_STATIC;
		if (sender !== null && !isReplaced) {
			if (sender.profile === profile) return sender;
			this.#state.describeAs(sender, profile);
			records.push(this.#state.memberRecord(sender));
			return sender;
		}
		const memberId = request.memberId === "" ? newMemberId() : request.memberId;
		const member = this.#newMember(memberId, profile);
		if (sender !== null) {
			this.#drop(sender, records);
			member.standing = { ...sender.standing, epoch: EPOCH_JOIN, previousEpoch: EPOCH_JOIN };
			member.target = sender.target;
		}
		this.#state.add(member);
		records.push(this.#state.memberRecord(member));
		if (sender !== null) {
			records.push(this.#state.targetRecord(member), this.#state.standingRecord(member));
		}
		this.#host.debug(this, { member: memberId, replaces: sender?.memberId }, "a member joins");
		return member;
	}

	#newMember(memberId: string, profile: MemberProfile): ConsumerMember {
		const { timers } = this.#host;
		const member: ConsumerMember = new ConsumerMember(memberId, profile, {
			session: timers.deadline(() => this.#expel(member, "its session expired")),
			revocation: timers.deadline(() => this.#expel(member, "it kept what it was to give up")),
		});
		return member;
	}

	/** Its last sign of life is now. */
	#touch(member: ConsumerMember): void {
		if (member.watcher === null) member.session.set(this.#timeouts.sessionTimeoutMs);
	}

	// Epochs

	/** Raises the group's epoch when there is something else to assign than before. */
	#refresh(isChanged: boolean, records: GroupRecord[]): void {
		const { version } = this.#host.topics;
		if (!isChanged && version === this.#topicsVersion) return;
		this.#topicsVersion = version;
		const state = this.#state;
		const havePatternsChanged = state.subscriptions.refresh();
		const hash = state.subscriptions.hash();
		records.push(...state.changedPatterns());
		if (!isChanged && !havePatternsChanged && hash === state.metadataHash) return;
		state.metadataHash = hash;
		state.epoch++;
		records.push(state.epochRecord());
	}

	#isAssignmentDue(): boolean {
		const { epoch, assignmentEpoch } = this.#state;
		return epoch > assignmentEpoch && this.#host.monotonicMs() >= this.#assignableMs;
	}

	/** Computes the target assignment of the group's epoch. */
	#assign(records: GroupRecord[]): void {
		const startMs = this.#host.monotonicMs();
		const state = this.#state;
		const members = [...state.members()];
		const assignor = this.#assignorName();
		const targets = ASSIGNORS[assignor](
			members.map(({ memberId, profile, target }) => ({
				memberId,
				instanceId: profile.instanceId,
				topics: state.subscriptions.topicsOf(profile.subscription),
				current: target,
			})),
		);
		for (const [index, member] of members.entries()) {
			const target = targets[index] ?? NO_PARTITIONS;
			if (target === member.target) continue;
			member.target = target;
			records.push(state.targetRecord(member));
		}
		state.assignmentEpoch = state.epoch;
		state.assignmentMs = this.#host.wallMs();
		records.push(state.targetEpochRecord());
		const endMs = this.#host.monotonicMs();
		const tookMs = endMs - startMs;
		const pauseMs = Math.min(tookMs * ASSIGNING_PAUSE_FACTOR, ASSIGNING_PAUSE_MS_MAX);
		this.#assignableMs = tookMs < ASSIGNING_MS_FREE ? endMs : endMs + pauseMs;
		this.#host.debug(this, { epoch: state.epoch, assignor, tookMs }, "partitions are assigned");
	}

	/** The one that most members ask for. */
	#assignorName(): AssignorName {
		const { assignors } = this.#host.consumer;
		const votes = new Map<string | null, number>();
		for (const { profile } of this.#state.members()) {
			votes.set(profile.serverAssignor, (votes.get(profile.serverAssignor) ?? 0) + 1);
		}
		let winner = assignors[0] ?? "uniform";
		for (const name of assignors) {
			if ((votes.get(name) ?? 0) > (votes.get(winner) ?? 0)) winner = name;
		}
		return winner;
	}

	#reconcile(member: ConsumerMember, says: MemberSays, records: GroupRecord[]): void {
		const before = member.standing;
		const standing = nextStanding(before, this.#around(member, says));
		if (standing === before) return;
		this.#state.move(member, standing);
		records.push(this.#state.standingRecord(member));
		this.#expectRevocation(member);
	}

	#expectRevocation({ standing, profile, revocation }: ConsumerMember): void {
		if (standing.state === "unrevoked") revocation.set(profile.rebalanceTimeoutMs);
		else revocation.clear();
	}

	#around(member: ConsumerMember, { owned, isResubscribed }: MemberSays): Surroundings {
		const topics = this.#state.subscriptions.topicsOf(member.profile.subscription);
		const { owners, assignmentEpoch } = this.#state;
		return {
			targetEpoch: assignmentEpoch,
			target: member.target,
			owned,
			hasNewSubscription: isResubscribed,
			isSubscribed: (topicId) => topics.has(topicId),
			isFree: (topicId, partition) => owners.isFree(topicId, partition),
		};
	}

	// Leaving

	/**
	 * A member leaves, for good or to come back; resolves when that is durable. Rejects with
	 * UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, or as `heartbeat` when it could not be stored.
	 */
	async leave(request: ConsumerHeartbeatRequest): Promise<ConsumerHeartbeatAnswer> {
		this.#checkAlive();
		const { memberId, memberEpoch, instanceId } = request;
		const member =
			instanceId === null ? this.#state.get(memberId) : this.#state.staticMember(instanceId);
		if (member === undefined) throw new MillraceError("UNKNOWN_MEMBER_ID", instanceId ?? memberId);
		if (member.memberId !== memberId) throw new MillraceError("FENCED_INSTANCE_ID", memberId);
		if (memberEpoch === EPOCH_LEAVE_STATIC) this.#awaitReturn(member);
		else this.#remove(member);
		this.#lookSoon();
		await this.#writes.settled();
		return { memberId, memberEpoch, heartbeatIntervalMs: 0, assignment: null };
	}

	/** A static member is away: what it has is kept for it until its session ends. */
	#awaitReturn(member: ConsumerMember): void {
		this.#unwatch(member);
		member.revocation.clear();
		const standing: Standing = {
			...member.standing,
			epoch: EPOCH_LEAVE_STATIC,
			revoking: NO_PARTITIONS,
		};
		this.#state.move(member, standing);
		this.#writes.append([this.#state.standingRecord(member)]);
	}

	/** Takes out a member that has not asked for it. */
	#expel(member: ConsumerMember, why: string): void {
		if (!this.#state.has(member)) return;
		this.#host.debug(this, { member: member.memberId, why }, "a member is out of its group");
		const { watcher } = member;
		this.#remove(member);
		this.#lookSoon();
		watcher?.lost(new MillraceError("UNKNOWN_MEMBER_ID", why));
	}

	#remove(member: ConsumerMember): void {
		const records: GroupRecord[] = [];
		this.#drop(member, records);
		this.#state.subscriptions.give(member.profile.subscription);
		this.#refresh(true, records);
		this.#state.count();
		this.#writes.append(records);
	}

	/** Forgets a member; what it subscribes to is its successor's. */
	#drop(member: ConsumerMember, records: GroupRecord[]): void {
		this.#unwatch(member);
		this.#state.remove(member);
		records.push(...this.#state.tombstones(member));
	}

	// Members that are told instead of asking

	/**
	 * Keeps a member alive from now on, without heartbeats: its session begins when the function
	 * that is returned is called. Until then `watcher.news` is called, on a later turn, when a
	 * heartbeat would be answered with something new, and `watcher.lost`, once, when there is nothing
	 * to watch any more. Heartbeats remain the way to learn what is new, and to say what was given
	 * up, for which there is as much time as ever. Throws UNKNOWN_MEMBER_ID.
	 */
	watch(memberId: string, watcher: ConsumerWatcher): () => void {
		const member = this.#state.get(memberId);
		if (member === undefined) throw new MillraceError("UNKNOWN_MEMBER_ID", memberId);
		const { watcher: before } = member;
		this.#unwatch(member);
		member.watcher = watcher;
		if (this.#watchedCount++ === 0) {
			this.#stopListening = this.#host.topics.onChange(() => this.#lookSoon());
		}
		member.session.clear();
		this.#lookSoon();
		before?.lost(new MillraceError("FENCED_MEMBER_EPOCH", `${memberId} is somebody else now`));
		return () => {
			if (member.watcher === watcher) this.#unwatch(member);
		};
	}

	/** The member's epoch; null: there is no such member. */
	epochOf(memberId: string): number | null {
		return this.#state.get(memberId)?.standing.epoch ?? null;
	}

	/** Whether a member has all that the group has for it as it is now. */
	isSettled(memberId: string): boolean {
		const { epoch, assignmentEpoch } = this.#state;
		const member = this.#state.get(memberId);
		return epoch === assignmentEpoch && member?.isReconciled(assignmentEpoch) === true;
	}

	#unwatch(member: ConsumerMember): void {
		if (member.watcher === null) return;
		member.watcher = null;
		if (--this.#watchedCount === 0) this.#stopListening();
		this.#touch(member);
	}

	/** Looks, on a later turn, whom to tell. */
	#lookSoon(): void {
		if (this.#watchedCount === 0 || this.#isLookDue) return;
		this.#isLookDue = true;
		queueMicrotask(() => {
			this.#isLookDue = false;
			if (!this.#state.isDead && this.#watchedCount > 0) this.#tellWatchers();
		});
	}

	#tellWatchers(): void {
		const records: GroupRecord[] = [];
		this.#refresh(false, records);
		const { epoch, assignmentEpoch } = this.#state;
		if (this.#isAssignmentDue()) this.#assign(records);
		else if (epoch > assignmentEpoch) {
			this.#assignable.set(this.#assignableMs - this.#host.monotonicMs());
		}
		if (records.length > 0) this.#state.count();
		this.#writes.append(records);
		for (const member of [...this.#state.members()]) {
			if (member.watcher === null) continue;
			const next = nextStanding(member.standing, this.#around(member, SAYS_NOTHING));
			if (next !== member.standing) member.watcher.news();
		}
	}

	// Offsets

	admitCommit(request: CommitRequest): void {
		const { memberId, generation, knowsGroupIdNotFound } = request;
		this.#checkAlive();
		// Nobody is a member: whoever assigns partitions by itself, and administrators, may commit.
		if (generation < 0 && this.isEmpty) return;
		const member = this.#state.get(memberId);
		if (member === undefined) throw new MillraceError("UNKNOWN_MEMBER_ID", memberId);
		if (!knowsGroupIdNotFound) {
			throw new MillraceError("UNSUPPORTED_VERSION", "members of this group use newer ones");
		}
		checkCurrent(member, generation);
	}

	admitFetch({ member: asker }: FetchOffsetsRequest): void {
		if (asker === undefined) return;
		const member = this.#state.get(asker.memberId);
		if (member === undefined) throw new MillraceError("UNKNOWN_MEMBER_ID", asker.memberId);
		checkCurrent(member, asker.epoch);
	}

	admitOffsetDeletion(): void {
		// Those of topics that nobody subscribes to may go at any time.
	}

	isSubscribedTo(topic: string): boolean {
		return this.#state.subscriptions.has(topic);
	}

	retentionStartMs({ commitMs }: CommittedOffset): number | null {
		return commitMs;
	}

	// What is stored and shown

	summary(): GroupSummary {
		const { groupId, type } = this;
		return { groupId, type, state: this.#state.name, protocolType: CONSUMER_PROTOCOL_TYPE };
	}

	describe(): ConsumerGroupDescription {
		return {
			...this.summary(),
			epoch: this.#state.epoch,
			assignmentEpoch: this.#state.assignmentEpoch,
			assignorName: this.#assignorName(),
			members: this.#state.describeMembers(),
		};
	}

	describeMembers(): DescribedMember[] {
		return this.#state
			.describeMembers()
			.map(({ memberId, instanceId, clientId, clientHost, assigned }) => ({
				memberId,
				groupInstanceId: instanceId,
				clientId,
				clientHost,
				assignment: assigned,
			}));
	}

	records(): Iterable<GroupRecord> {
		return this.#state.records();
	}

	tombstones(): GroupRecord[] {
		return this.#state.allTombstones();
	}

	/** Takes the group over as its records have it. */
	restore(image: ConsumerGroupImage): void {
		this.#lost = this.#state.restore(image, (id, profile) => this.#newMember(id, profile));
		if (this.#lost.length === 0) return;
		const members = this.#lost.map(({ memberId }) => memberId);
		this.#host.warn(this, { members }, "members are out that had what is others'");
	}

	onLoaded(): void {
		for (const member of this.#state.members()) {
			this.#touch(member);
			this.#expectRevocation(member);
		}
		if (this.#lost.length === 0) return;
		const records = this.#lost.flatMap((member) => this.#state.tombstones(member));
		this.#refresh(true, records);
		this.#writes.append(records);
		this.#lost = [];
	}

	retire(): void {
		this.#state.isDead = true;
		this.#assignable.clear();
		for (const member of this.#state.members()) member.end();
		this.#watchedCount = 0;
		this.#stopListening();
		this.#state.count();
	}

	#checkAlive(): void {
		if (this.#state.isDead) throw new MillraceError("COORDINATOR_NOT_AVAILABLE");
	}
}

/**
 * A random UUID in the form that Kafka gives members: 22 characters, the first of them no hyphen.
 */
function newMemberId(): string {
	for (;;) {
		const id = randomBytes(16).toString("base64url");
		if (!id.startsWith("-")) return id;
	}
}

/** What a member says with a heartbeat about what it has and wants. */
interface MemberSays {
	/** Null: nothing. */
	readonly owned: Assignment | null;
	readonly isResubscribed: boolean;
}

const SAYS_NOTHING: MemberSays = { owned: null, isResubscribed: false };

/**
 * Throws FENCED_MEMBER_EPOCH unless the epoch is the member's. The one before will do for a member
 * that has nothing which is not its own: it has missed the answer that raised it.
 */
function checkEpoch(standing: Standing, received: number, owned: Assignment | null): void {
	if (received === standing.epoch) return;
	const hasMissedAnswer =
		received < standing.epoch &&
		received === standing.previousEpoch &&
		owned !== null &&
		holdsAll(standing.assigned, owned);
	if (hasMissedAnswer) return;
	throw new MillraceError("FENCED_MEMBER_EPOCH", `${received}, not ${standing.epoch}`);
}

/** Throws STALE_MEMBER_EPOCH unless the epoch is the member's. */
function checkCurrent({ standing }: ConsumerMember, received: number): void {
	if (received === standing.epoch) return;
	throw new MillraceError("STALE_MEMBER_EPOCH", `${received}, not ${standing.epoch}`);
}
