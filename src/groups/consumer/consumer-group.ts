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
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import type { CodeName } from "../../protocol/codes.ts";
import { ClassicSide, type ClassicSideHost, type TakenClassic } from "../classic/classic-side.ts";
import type { DescribedMember } from "../description.ts";
import type { Group, GroupRecord } from "../group.ts";
import type { GroupTimeouts } from "../group-configs.ts";
import { type FirstRecords, GroupWrites, type GroupWritesHost } from "../log/group-writes.ts";
import type { ClassicImage, ClassicOrigin } from "../migration.ts";
import {
	type CommittedOffset,
	CommittedOffsets,
	type StateBudget,
} from "../offsets/committed-offsets.ts";
import type { TopicLookup } from "../offsets/topic-lookup.ts";
import type {
	CommitRequest,
	CountedGroup,
	FetchOffsetsRequest,
	HeartbeatRequest,
	JoinAnswer,
	JoinRequest,
	LeavingMember,
	LeftMember,
	SyncAnswer,
	SyncRequest,
} from "../requests.ts";
import type { Deadline, Timers } from "../timers.ts";
import {
	type Assignment,
	assignmentFrom,
	isSame,
	NO_PARTITIONS,
	toTopicIdPartitions,
} from "./assignment.ts";
import type { AssignorName } from "./assignors.ts";
import {
	ConsumerMember,
	type ConsumerWatcher,
	type MemberProfile,
	NEW_PROFILE,
	newMemberId,
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
import { checkCommit, checkCurrent, checkEpoch } from "./member-epochs.ts";
import { nextStanding, type Standing, type Surroundings } from "./reconciliation.ts";
import type { Subscription } from "./subscriptions.ts";
import { TargetAssigning } from "./target-assigning.ts";

/** What a consumer group needs of the coordinator around it. */
export interface ConsumerGroupHost extends GroupWritesHost {
	readonly timers: Timers;
	readonly budget: StateBudget;
	readonly topics: TopicLookup;
	readonly consumer: ConsumerGroupSettings;
	/** Milliseconds since 1970. */
	wallMs(): number;
	/**
	 * A group, which is retired, goes on as a classic one with these members, and with a rebalance
	 * where `why` is said. `removals` take all that was stored of it out of the log. Resolves when
	 * that is durable; rejects with what storage says.
	 */
	becomeClassic(
		group: ConsumerGroup,
		image: ClassicImage,
		removals: readonly GroupRecord[],
		why: string | null,
	): Promise<void>;
	debug(group: Group, details: object, message: string): void;
}

export interface ConsumerGroupSettings {
	/** What the members of a group are told, which may change at any time. */
	timeoutsOf(groupId: string): GroupTimeouts;
	readonly membersMax: number;
	/** Whether a group may become classic when all members that are left speak that protocol. */
	readonly maySpeakClassic: boolean;
	readonly classicMembersMax: number;
	/** The first is for groups whose members ask for none. */
	readonly assignors: readonly AssignorName[];
}

export class ConsumerGroup implements Group {
	readonly type = "consumer";
	readonly groupId: string;
	readonly partition: number;
	readonly offsets: CommittedOffsets;
	readonly #host: ConsumerGroupHost;
	readonly #state: ConsumerState;
	readonly #writes: GroupWrites;
	readonly #classic: ClassicSide;
	/** The version of the topics that was last looked at. */
	#topicsVersion = -1;
	readonly #assigning: TargetAssigning;
	readonly #assignable: Deadline;
	/** Members that are told instead of asking. */
	#watchedCount = 0;
	#stopListening: () => void = () => undefined;
	#isLookDue = false;
	/** Members that were found not to belong to the group when it was loaded. */
	#lost: readonly ConsumerMember[] = [];

	/** `before` is the classic group whose place it takes, with the offsets. */
	constructor(
		groupId: string,
		partition: number,
		host: ConsumerGroupHost,
		offsets = new CommittedOffsets(host.budget),
		before: ClassicOrigin | null = null,
	) {
		this.groupId = groupId;
		this.partition = partition;
		this.offsets = offsets;
		this.#host = host;
		this.#state = new ConsumerState(groupId, host.topics, host.budget);
		this.#assigning = new TargetAssigning(this.#state, {
			assignors: host.consumer.assignors,
			monotonicMs: () => host.monotonicMs(),
			wallMs: () => host.wallMs(),
			debug: (details, message) => host.debug(this, details, message),
		});
		this.#writes = new GroupWrites(this, host, before && this.#adopt(before));
		this.#classic = new ClassicSide(this.#state, this.#classicHost());
		this.#assignable = host.timers.deadline(() => this.#lookSoon());
	}

	get isEmpty(): boolean {
		return this.#state.size === 0;
	}

	get #timeouts(): GroupTimeouts {
		return this.#host.consumer.timeoutsOf(this.groupId);
	}

	get isVoid(): boolean {
		return (
			this.isEmpty &&
			!this.#state.isStored &&
			this.offsets.count === 0 &&
			this.#writes.removals().length === 0
		);
	}

	// Heartbeats

	/**
	 * Takes a heartbeat, which may be a join; resolves when all it led to is durable. Rejects with
	 * UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID,
	 * GROUP_MAX_SIZE_REACHED, INVALID_REGULAR_EXPRESSION, or with COORDINATOR_NOT_AVAILABLE and its
	 * like when it could not be stored.
	 */
	async heartbeat(request: ConsumerHeartbeatRequest): Promise<ConsumerHeartbeatAnswer> {
		return this.accept(request);
	}

	/**
	 * As `heartbeat`, but for this: what a heartbeat is refused with is thrown at once, and nothing
	 * has changed then.
	 */
	accept(request: ConsumerHeartbeatRequest): Promise<ConsumerHeartbeatAnswer> {
		this.#checkAlive();
		const sender = this.#senderOf(request);
		const before = sender?.profile ?? NEW_PROFILE;
		const names = request.topicNames ?? before.subscription.names;
		const pattern = request.topicPattern ?? before.subscription.pattern;
		const subscription = this.#subscribe(names, pattern, before.subscription, 0);
		const profile = profileAfter(before, request, subscription);
		const { memberEpoch } = request;
		const isReplaced =
			sender !== null &&
			memberEpoch === EPOCH_JOIN &&
			request.instanceId !== null &&
			(sender.isClassic || sender.standing.epoch === EPOCH_LEAVE_STATIC);
		const { memberId } = request;
		const owned = request.owned && assignmentFrom(request.owned);
		const { member, assignedBefore, records } = this.#take(
			{ memberId, sender, isReplaced, owned },
			profile,
		);
		this.#writes.append(records);
		this.#lookSoon();
		const { standing } = member;
		const isTold =
			memberEpoch === EPOCH_JOIN ||
			isFullHeartbeat(request) ||
			!isSame(assignedBefore, standing.assigned);
		const answer: ConsumerHeartbeatAnswer = {
			memberId: member.memberId,
			memberEpoch: standing.epoch,
			heartbeatIntervalMs: this.#timeouts.heartbeatIntervalMs,
			assignment: isTold ? toTopicIdPartitions(standing.assigned) : null,
		};
		return this.#whenSettled(member, sender === null).then(() => answer);
	}

	/** Resolves when all that was appended is durable, else sends a member that is new away. */
	async #whenSettled(member: ConsumerMember, isNew: boolean): Promise<void> {
		try {
			await this.#writes.settled();
		} catch (error) {
			// It does not know that it is a member, and may never come back under this id.
			if (isNew) this.#expel(member, "its join could not be stored");
			throw error;
		}
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
			if (member.isClassic || member.standing.epoch === EPOCH_LEAVE_STATIC) return member;
			throw new MillraceError("UNRELEASED_INSTANCE_ID", `${instanceId} is ${member.memberId}`);
		}
		if (member.memberId !== memberId) throw new MillraceError("FENCED_INSTANCE_ID", memberId);
		if (!isJoin) checkEpoch(member.standing, memberEpoch, owned && assignmentFrom(owned));
		return member;
	}

	/**
	 * What a member subscribes to from now on; `bytesMore` is what it brings beside that. Throws
	 * GROUP_MAX_SIZE_REACHED, INVALID_REGULAR_EXPRESSION.
	 */
	#subscribe(
		names: readonly string[],
		pattern: string,
		before: Subscription,
		bytesMore: number,
	): Subscription {
		if (names === before.names && pattern === before.pattern && bytesMore === 0) return before;
		const bytes = 2 * names.reduce((sum, name) => sum + name.length, pattern.length) + bytesMore;
		const isTooMuch = this.#state.subscriptions.bytes + bytes > LIMITS.groupBytesMax;
		if (isTooMuch || !this.#host.budget.fits(bytes)) {
			throw new MillraceError("GROUP_MAX_SIZE_REACHED", "no room for what is subscribed to");
		}
		return this.#state.subscriptions.take(names, pattern, before);
	}

	/** Does all that a visit leads to; the records say what has changed, and are to be appended. */
	#take(visit: Visit, profile: MemberProfile): Taken {
		const records: GroupRecord[] = [];
		const { sender, owned } = visit;
		const before = sender?.profile ?? NEW_PROFILE;
		const isResubscribed = profile.subscription !== before.subscription;
		const member = this.#memberFor(visit, profile, records);
		this.#refresh(isResubscribed || !this.#state.isStored, records);
		if (this.#assigning.isDue) this.#assigning.assign(records);
		const assignedBefore = member.standing.assigned;
		this.#reconcile(member, { owned, isResubscribed }, records);
		this.#touch(member);
		if (records.length > 0) this.#state.count();
		return { member, assignedBefore, isResubscribed, records };
	}

	/** The sender with what it says about itself, or a new member, in its place if it has one. */
	#memberFor(
		{ memberId: asked, sender, isReplaced }: Visit,
		profile: MemberProfile,
		records: GroupRecord[],
	): ConsumerMember {
		if (sender !== null && !isReplaced) {
			if (sender.profile === profile) return sender;
			const speaksAnother = sender.isClassic !== (profile.classic !== null);
			this.#state.describeAs(sender, profile);
			records.push(this.#state.memberRecord(sender));
			if (speaksAnother) {
				this.#endWatch(sender, "FENCED_MEMBER_EPOCH", "it speaks another protocol now");
				sender.revocation.clear();
				this.#expectRevocation(sender);
			}
			return sender;
		}
		const memberId = asked === "" ? newMemberId() : asked;
		const member = this.#newMember(memberId, profile);
		if (sender !== null) {
			this.#endWatch(sender, "FENCED_INSTANCE_ID", `${memberId} has its place`);
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
			revocation: timers.deadline(() => {
				const why = member.isClassic ? "join or sync in time" : "give up what it was to";
				this.#expel(member, `it did not ${why}`);
			}),
		});
		return member;
	}

	/** Its last sign of life is now. */
	#touch(member: ConsumerMember): void {
		if (member.watcher !== null) return;
		member.session.set(member.profile.classic?.sessionTimeoutMs ?? this.#timeouts.sessionTimeoutMs);
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
		state.isStored = true;
		state.epoch++;
		records.push(state.epochRecord());
	}

	#reconcile(member: ConsumerMember, says: MemberSays, records: GroupRecord[]): void {
		const before = member.standing;
		const standing = nextStanding(before, this.#around(member, says));
		if (standing === before) return;
		this.#state.move(member, standing);
		records.push(this.#state.standingRecord(member));
		this.#expectRevocation(member);
	}

	/** Of a member that speaks the classic protocol, joins and syncs are expected instead. */
	#expectRevocation({ standing, profile, revocation }: ConsumerMember): void {
		if (profile.classic !== null) return;
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
		let stored: Promise<void> | null = null;
		const { memberId, memberEpoch, instanceId } = request;
		const member = this.#state.identify(memberId, instanceId);
		if (memberEpoch === EPOCH_LEAVE_STATIC) this.#awaitReturn(member);
		else stored = this.#remove([member], "it left");
		this.#lookSoon();
		await (stored ?? this.#writes.settled());
		return { memberId, memberEpoch, heartbeatIntervalMs: 0, assignment: null };
	}

	/** A static member is away: what it has is kept for it until its session ends. */
	#awaitReturn(member: ConsumerMember): void {
		this.#endWatch(member, "UNKNOWN_MEMBER_ID", "it left, to come back");
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
		if (this.#state.isDead || !this.#state.has(member)) return;
		this.#host.debug(this, { member: member.memberId, why }, "a member is out of its group");
		// Nobody waits for it; that it cannot be stored was logged.
		this.#remove([member], why)?.catch(() => undefined);
		this.#lookSoon();
	}

	/**
	 * Takes members out; whoever watches them is told why. When only members that speak the classic
	 * protocol are left the group becomes a classic one: the promise, null otherwise, then tells when
	 * that is durable.
	 */
	#remove(members: readonly ConsumerMember[], why: string): Promise<void> | null {
		const becomesClassic = this.#mayBecomeClassic(members, this.#state.size - members.length);
		const records: GroupRecord[] = [];
		for (const member of members) {
			this.#endWatch(member, "UNKNOWN_MEMBER_ID", why);
			this.#drop(member, records);
			this.#state.subscriptions.give(member.profile.subscription);
		}
		if (becomesClassic) return this.#becomeClassic(records, "a member of the new protocol left");
		this.#refresh(true, records);
		this.#state.count();
		this.#writes.append(records);
		return null;
	}

	/** Whether, without these members, the group is one that can go on as a classic one. */
	#mayBecomeClassic(gone: readonly ConsumerMember[], sizeAfter: number): boolean {
		const { maySpeakClassic, classicMembersMax } = this.#host.consumer;
		if (!maySpeakClassic || sizeAfter === 0 || sizeAfter > classicMembersMax) return false;
		return this.#state.hasOnlyClassicBut(gone);
	}

	/** Hands the group over to a classic one; resolves when that is durable. */
	#becomeClassic(removed: readonly GroupRecord[], why: string | null): Promise<void> {
		const image = this.#state.toClassic();
		const removals = [...this.removals(), ...removed.filter(({ value }) => value === null)];
		this.retire();
		return this.#host.becomeClassic(this, image, removals, why);
	}

	/** Forgets a member that nobody watches; what it subscribes to is its successor's. */
	#drop(member: ConsumerMember, records: GroupRecord[]): void {
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
		this.#endWatch(member, "FENCED_MEMBER_EPOCH", `${memberId} is somebody else now`);
		member.watcher = watcher;
		if (this.#watchedCount++ === 0) {
			this.#stopListening = this.#host.topics.onChange(() => this.#lookSoon());
		}
		member.session.clear();
		this.#lookSoon();
		return () => {
			if (member.watcher === watcher) this.#unwatch(member);
		};
	}

	/** Whether somebody watches the member; false where there is none. */
	isWatched(memberId: string): boolean {
		return (this.#state.get(memberId)?.watcher ?? null) !== null;
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

	/** Nobody watches a member from now on; whoever did, and has not ended that, is told why. */
	#endWatch(member: ConsumerMember, code: CodeName, why: string): void {
		const { watcher } = member;
		this.#unwatch(member);
		watcher?.lost(new MillraceError(code, why));
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
		if (this.#assigning.isDue) this.#assigning.assign(records);
		else if (epoch > assignmentEpoch) this.#assignable.set(this.#assigning.leftMs);
		if (records.length > 0) this.#state.count();
		this.#writes.append(records);
		for (const member of [...this.#state.members()]) {
			if (member.watcher === null) continue;
			const next = nextStanding(member.standing, this.#around(member, SAYS_NOTHING));
			if (next !== member.standing) member.watcher.news();
		}
	}

	// Members that speak the classic protocol

	/**
	 * A member joins as members of classic groups do, and is answered at once: with its epoch for a
	 * generation, and nobody to lead. Resolves when it is durable. Throws or rejects with JoinRefused
	 * of MEMBER_ID_REQUIRED, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, INCONSISTENT_GROUP_PROTOCOL,
	 * GROUP_MAX_SIZE_REACHED, or with COORDINATOR_NOT_AVAILABLE and its like.
	 */
	async joinClassic(request: JoinRequest): Promise<JoinAnswer> {
		return this.#classic.join(request);
	}

	/**
	 * Resolves to what the member may read. Rejects with UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
	 * ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS: to join again.
	 */
	async syncClassic(request: SyncRequest): Promise<SyncAnswer> {
		return this.#classic.sync(request);
	}

	/** Throws as `syncClassic` rejects. */
	heartbeatClassic(request: HeartbeatRequest): void {
		this.#classic.heartbeat(request);
	}

	/**
	 * Takes members out, whatever protocol they speak; resolves, when that is durable, to what became
	 * of each: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. Rejects as `heartbeat`.
	 */
	async leaveClassic(members: readonly LeavingMember[]): Promise<LeftMember[]> {
		return this.#classic.leave(members);
	}

	#classicHost(): ClassicSideHost {
		return {
			membersMax: this.#host.consumer.membersMax,
			checkAlive: () => this.#checkAlive(),
			touch: (member) => this.#touch(member),
			refresh: () => {
				const records: GroupRecord[] = [];
				this.#refresh(false, records);
				if (records.length > 0) this.#state.count();
				this.#writes.append(records);
			},
			subscribe: (names, before, bytes) => this.#subscribe(names, "", before, bytes),
			take: (visit, profile) => this.#takeClassic(visit, profile),
			remove: (members) => {
				const why = "it was taken out of the group";
				const stored = this.#remove(members, why) ?? this.#writes.settled();
				this.#lookSoon();
				return stored;
			},
			settled: () => this.#writes.settled(),
		};
	}

	/** A static member may have been the last one that spoke the other protocol. */
	#takeClassic(visit: Visit, profile: MemberProfile): TakenClassic {
		const { sender } = visit;
		const becomesClassic =
			sender !== null &&
			!sender.isClassic &&
			profile.instanceId !== null &&
			this.#mayBecomeClassic([sender], this.#state.size);
		const { member, isResubscribed, records } = this.#take(visit, profile);
		const { epoch } = member.standing;
		if (becomesClassic) {
			// Somebody may still have what is the new one's: Kafka does not look, and both would read.
			const isSettled = !isResubscribed && this.#state.name === "Stable";
			const why = isSettled ? null : "a static member changed its protocol during a rebalance";
			return { member, epoch, stored: this.#becomeClassic(records, why) };
		}
		member.revocation.set(profile.rebalanceTimeoutMs);
		this.#writes.append(records);
		this.#lookSoon();
		return { member, epoch, stored: this.#whenSettled(member, sender === null) };
	}

	/** Takes the members of a classic group over; answers what has to be stored for that. */
	#adopt({ image, leftovers, removals }: ClassicOrigin): FirstRecords {
		if (image === null) return { before: leftovers, after: removals };
		this.#state.adopt(image, (id, profile) => this.#newMember(id, profile));
		for (const member of this.#state.members()) this.#touch(member);
		return { before: [...leftovers, ...this.#state.adoptedRecords()], after: removals };
	}

	// Offsets

	admitCommit(request: CommitRequest): void {
		const { memberId, generation, topics, knowsGroupIdNotFound } = request;
		this.#checkAlive();
		// Nobody is a member: whoever assigns partitions by itself, and administrators, may commit.
		if (generation < 0 && this.isEmpty) return;
		const member = this.#state.get(memberId);
		if (member === undefined) throw new MillraceError("UNKNOWN_MEMBER_ID", memberId);
		if (!knowsGroupIdNotFound && !member.isClassic) {
			throw new MillraceError("UNSUPPORTED_VERSION", "members of this group use newer ones");
		}
		// Nearly all commits are of the present epoch.
		if (generation === member.standing.epoch) return;
		const committed = topics.map(({ topic, partitions }) => ({
			topic,
			partitions: partitions.map(({ partition }) => partition),
		}));
		checkCommit(member, generation, this.#state.identified(committed));
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

	summary(): CountedGroup {
		const { groupId, type } = this;
		const { name: state, size: memberCount } = this.#state;
		return { groupId, type, state, protocolType: CONSUMER_PROTOCOL_TYPE, memberCount };
	}

	describe(): ConsumerGroupDescription {
		return {
			...this.summary(),
			epoch: this.#state.epoch,
			assignmentEpoch: this.#state.assignmentEpoch,
			assignorName: this.#assigning.assignorName,
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

	/** Those that remove it, and what of it was removed and may still be in the log. */
	removals(): GroupRecord[] {
		return [...this.tombstones(), ...this.#writes.removals()];
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

/** Who comes with a heartbeat, or to join. */
export interface Visit {
	/** Of a new member; empty: to be made. */
	readonly memberId: string;
	/** Null: it is new. */
	readonly sender: ConsumerMember | null;
	/** The sender is another one, whose place it takes. */
	readonly isReplaced: boolean;
	/** What it has; null: it does not say. */
	readonly owned: Assignment | null;
}

interface Taken {
	readonly member: ConsumerMember;
	/** What it was assigned before the visit. */
	readonly assignedBefore: Assignment;
	readonly isResubscribed: boolean;
	readonly records: readonly GroupRecord[];
}

/** What a member says with a heartbeat about what it has and wants. */
interface MemberSays {
	/** Null: nothing. */
	readonly owned: Assignment | null;
	readonly isResubscribed: boolean;
}

const SAYS_NOTHING: MemberSays = { owned: null, isResubscribed: false };
