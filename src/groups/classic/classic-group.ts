/**
 * One classic group: members decide among themselves who reads what. They join, the broker picks a
 * leader and a protocol, the leader sends everybody's assignment with its sync, and everybody gets
 * theirs. What is assigned, and how, is opaque here.
 *
 *     Empty -- join --> PreparingRebalance -- all have joined --> CompletingRebalance
 *       ^                  |      ^   ^                                |      |
 *       +-- nobody left ---+      |   +--- join, leave, expiry --------+   leader synced
 *                                 |                                           v
 *                                 +------------ join, leave, expiry ------- Stable
 *
 * Every way into CompletingRebalance or Empty is a new generation. Dead is the end: the group was
 * deleted, or this broker gave it up.
 *
 * As Kafka 4.3 (KIPs 134, 345, 389, 394, 559, 814). Stored is what Kafka stores: the group as it
 * was when it last became Stable or Empty, or when a static member changed its id.
 */
import { randomUUID } from "node:crypto";

import { MillraceError } from "../../errors.ts";
import type { GroupMetadataValue } from "../../kafka/generated/data-group-metadata.ts";
import { LIMITS } from "../../limits.ts";
import type { CodeName } from "../../protocol/codes.ts";
import { CODES } from "../../protocol/codes.ts";
import { CONSUMER_PROTOCOL_TYPE } from "../consumer/consumer-protocol.ts";
import { type DescribedMember, describeMembers } from "../description.ts";
import type { Group, GroupRecord } from "../group.ts";
import { groupRecord } from "../log/group-records.ts";
import { groupErrorOf } from "../log/group-writes.ts";
import { ClassicMember, JoinRefused, type MemberDetails, type Waiter } from "../member.ts";
import { copyProtocols } from "../member-protocols.ts";
import type { ClassicImage, ConsumerImage } from "../migration.ts";
import {
	type CommittedOffset,
	CommittedOffsets,
	type StateBudget,
} from "../offsets/committed-offsets.ts";
import {
	type ClassicGroupDescription,
	type CommitRequest,
	type CountedGroup,
	GENERATION_NONE,
	type HeartbeatRequest,
	type JoinAnswer,
	type JoinRequest,
	type LeavingMember,
	type LeftMember,
	MEMBER_ID_UNKNOWN,
	type SyncAnswer,
	type SyncRequest,
} from "../requests.ts";
import type { Deadline, Timers } from "../timers.ts";
import type { ClassicMembers } from "./classic-members.ts";
import { ClassicState, type ClassicStateName } from "./classic-state.ts";

/** What a classic group needs of the coordinator around it. */
export interface ClassicGroupHost {
	readonly timers: Timers;
	readonly budget: StateBudget;
	/** How long the first join of an empty group waits for others, in milliseconds. */
	readonly initialRebalanceDelayMs: number;
	readonly membersMax: number;
	/** Milliseconds since 1970. */
	wallMs(): number;
	/** Appends to the group's log; `done` is called once it is durable, or has failed. */
	append(
		group: Group,
		records: readonly GroupRecord[],
		done: (error?: MillraceError) => void,
	): void;
	/** Something has left the group: perhaps nothing of it is left. */
	onShrunk(group: Group): void;
	debug(group: Group, details: object, message: string): void;
	warn(group: Group, details: object, message: string): void;
}

/**
 * A new member cannot send heartbeats before it is answered, and its client may have given up: its
 * join waits so long at most, in milliseconds. It is Kafka's figure.
 */
const NEW_MEMBER_JOIN_MS_MAX = 300_000;

/** What an id that was handed out costs until it is used. */
const PENDING_BYTES = 400;

const NO_BYTES = new Uint8Array(0);
const NO_RECORDS: readonly GroupRecord[] = [];

export class ClassicGroup implements Group {
	readonly type = "classic";
	readonly groupId: string;
	readonly partition: number;
	readonly offsets: CommittedOffsets;
	readonly #host: ClassicGroupHost;
	readonly #state: ClassicState;
	readonly #members: ClassicMembers;
	/** Ids that were handed out with MEMBER_ID_REQUIRED and have not joined yet. */
	readonly #pendingJoins = new Map<string, Deadline>();
	/** Members of this generation that have not synced yet. */
	readonly #pendingSyncs = new Set<string>();
	/** Ends the waiting for joins. */
	readonly #joinDeadline: Deadline;
	/** Ends the waiting for syncs. */
	readonly #syncDeadline: Deadline;
	/** While an empty group waits for more members: how long it may go on waiting after this. */
	#initialWaitLeftMs: number | null = null;
	#hasNewMember = false;
	/** The value of the group's record as the log has it; null: there is none. */
	#stored: Uint8Array | null = null;
	/** The generation whose assignment is on its way to the log. */
	#storingGeneration = GENERATION_NONE;
	/** What takes the group whose place this one took out of the log, until that is durable. */
	#leftovers: readonly GroupRecord[];

	/**
	 * `leftovers` take the group whose place it takes, with its offsets, out of the log. They come
	 * behind the group's own record, so none of them may be about that.
	 */
	constructor(
		groupId: string,
		partition: number,
		host: ClassicGroupHost,
		offsets = new CommittedOffsets(host.budget),
		leftovers: readonly GroupRecord[] = [],
	) {
		this.#leftovers = leftovers;
		this.groupId = groupId;
		this.partition = partition;
		this.offsets = offsets;
		this.#host = host;
		this.#state = new ClassicState(host.budget, host.wallMs());
		this.#members = this.#state.members;
		this.#joinDeadline = host.timers.deadline(() => this.#onJoinDeadline());
		this.#syncDeadline = host.timers.deadline(() => this.#onSyncDeadline());
	}

	get isEmpty(): boolean {
		return this.#state.name === "Empty";
	}

	get isVoid(): boolean {
		return (
			this.#state.name === "Empty" &&
			this.#stored === null &&
			this.#leftovers.length === 0 &&
			this.#pendingJoins.size === 0 &&
			this.offsets.count === 0
		);
	}

	// Joining

	/** Answers `waiter` now or when the generation begins. */
	join(request: JoinRequest, waiter: Waiter<JoinAnswer>): void {
		const { memberId } = request;
		if (this.#state.name === "Dead") {
			waiter.reject(new JoinRefused("COORDINATOR_NOT_AVAILABLE", memberId));
		} else if (!this.#accepts(memberId)) {
			this.#members.remove(memberId)?.end("GROUP_MAX_SIZE_REACHED");
			waiter.reject(new JoinRefused("GROUP_MAX_SIZE_REACHED", MEMBER_ID_UNKNOWN));
		} else if (!this.#supports(request)) {
			waiter.reject(new JoinRefused("INCONSISTENT_GROUP_PROTOCOL", memberId));
		} else if (memberId === MEMBER_ID_UNKNOWN) this.#joinUnknown(request, waiter);
		else this.#joinKnown(request, waiter);
	}

	/** Whether there is room for the member. */
	#accepts(memberId: string): boolean {
		const { membersMax } = this.#host;
		switch (this.#state.name) {
			case "Empty":
			case "Dead":
				return true;
			case "PreparingRebalance":
				// Those who wait count, not the members: when the maximum was lowered, the last to rejoin
				// go.
				return (
					this.#members.get(memberId)?.isJoining === true || this.#members.joiningCount < membersMax
				);
			case "CompletingRebalance":
			case "Stable":
				return this.#members.has(memberId) || this.#members.size < membersMax;
		}
	}

	#supports({ protocolType, protocols }: JoinRequest): boolean {
		if (this.#state.name === "Empty") return protocolType !== "" && protocols.length > 0;
		return protocolType === this.#state.protocolType && this.#members.supportsAny(protocols);
	}

	#joinUnknown(request: JoinRequest, waiter: Waiter<JoinAnswer>): void {
		const { groupInstanceId, clientId } = request;
		const memberId = `${groupInstanceId ?? clientId}-${randomUUID()}`;
		if (groupInstanceId !== null) {
			const knownId = this.#members.staticId(groupInstanceId);
			const known = knownId === undefined ? undefined : this.#members.get(knownId);
			if (known !== undefined) this.#replaceStatic(known, memberId, request, waiter);
			else this.#addMember(memberId, request, waiter);
			return;
		}
		if (!request.requiresKnownMemberId) {
			this.#addMember(memberId, request, waiter);
			return;
		}
		const { budget } = this.#host;
		if (this.#pendingJoins.size >= LIMITS.groupJoinsPendingMax || !budget.fits(PENDING_BYTES)) {
			waiter.reject(new JoinRefused("GROUP_MAX_SIZE_REACHED", MEMBER_ID_UNKNOWN));
			return;
		}
		const deadline = this.#host.timers.deadline(() => this.#removePendingJoin(memberId));
		deadline.set(request.sessionTimeoutMs);
		this.#pendingJoins.set(memberId, deadline);
		budget.add(PENDING_BYTES);
		waiter.reject(new JoinRefused("MEMBER_ID_REQUIRED", memberId));
	}

	#joinKnown(request: JoinRequest, waiter: Waiter<JoinAnswer>): void {
		const { memberId, groupInstanceId } = request;
		if (this.#pendingJoins.has(memberId)) {
			// Ids are handed out so to dynamic members only.
			if (groupInstanceId !== null) waiter.reject(new JoinRefused("UNKNOWN_MEMBER_ID", memberId));
			else this.#addMember(memberId, request, waiter);
			return;
		}
		const failure = this.#state.refusal(request);
		if (failure !== null) {
			waiter.reject(new JoinRefused(failure, memberId));
			return;
		}
		const member = this.#members.get(memberId) as ClassicMember;
		switch (this.#state.name) {
			case "PreparingRebalance":
				this.#rejoin(member, request, waiter, "joins during the rebalance");
				return;
			case "CompletingRebalance":
				// With nothing new it has missed the answer to its last join.
				if (member.matches(request.protocols)) waiter.resolve(this.#state.joinAnswer(member));
				else this.#rejoin(member, request, waiter, "has new metadata");
				return;
			case "Stable":
				// A leader that joins again has seen a change in what there is to assign.
				if (this.#state.isLeader(memberId)) this.#rejoin(member, request, waiter, "leads");
				else if (member.matches(request.protocols)) {
					waiter.resolve({ ...this.#state.joinAnswer(member), members: [] });
				} else this.#rejoin(member, request, waiter, "has new metadata");
				return;
			case "Empty":
			case "Dead":
				waiter.reject(new JoinRefused("UNKNOWN_MEMBER_ID", memberId));
		}
	}

	#addMember(memberId: string, request: JoinRequest, waiter: Waiter<JoinAnswer>): void {
		const protocols = copyProtocols(request.protocols);
		const member = this.#newMember(memberId, { ...request, protocols });
		if (!this.#members.fits(member.bytes)) {
			this.#removePendingJoin(memberId);
			waiter.reject(new JoinRefused("GROUP_MAX_SIZE_REACHED", MEMBER_ID_UNKNOWN));
			return;
		}
		member.isNew = true;
		if (this.#initialWaitLeftMs !== null) this.#hasNewMember = true;
		if (this.#members.size === 0) this.#state.protocolType = request.protocolType;
		this.#members.add(member);
		this.#forgetPendingJoin(memberId);
		this.#members.awaitJoin(member, waiter);
		member.session.set(NEW_MEMBER_JOIN_MS_MAX);
		this.#rebalanceOrComplete(`${memberId} joins`, request.reason);
	}

	#newMember(memberId: string, details: MemberDetails): ClassicMember {
		const session = this.#host.timers.deadline(() => this.#onSessionExpired(member));
		const member: ClassicMember = new ClassicMember(memberId, details, session);
		return member;
	}

	/** Another instance of a static member takes its place. */
	#replaceStatic(
		before: ClassicMember,
		memberId: string,
		request: JoinRequest,
		waiter: Waiter<JoinAnswer>,
	): void {
		const protocols = copyProtocols(request.protocols);
		const member = this.#newMember(memberId, { ...request, protocols });
		member.assignment = before.assignment;
		if (!this.#members.fits(member.bytes - before.bytes)) {
			waiter.reject(new JoinRefused("GROUP_MAX_SIZE_REACHED", MEMBER_ID_UNKNOWN));
			return;
		}
		const leaderBefore = this.#members.leader;
		this.#members.replace(before, member);
		before.end("FENCED_INSTANCE_ID");
		if (this.#pendingSyncs.delete(before.memberId)) this.#pendingSyncs.add(memberId);
		this.#members.awaitJoin(member, waiter);
		member.touch();
		const reason = `static member ${request.groupInstanceId} is now ${memberId}`;
		switch (this.#state.name) {
			case "Stable":
				if (this.#members.selectProtocol() === this.#state.protocolName) {
					this.#storeReplaced(member, leaderBefore, request.supportsSkippingAssignment);
				} else this.#rebalanceOrComplete(reason, request.reason);
				return;
			case "CompletingRebalance":
				// The leader may have been told the old id already: its assignment would go nowhere.
				this.#prepareRebalance(reason, request.reason);
				return;
			case "PreparingRebalance":
			case "Empty":
			case "Dead":
				this.#completeIfAllJoined();
		}
	}

	/** No rebalance: the new id is stored, and its owner told what goes on. */
	#storeReplaced(member: ClassicMember, leaderBefore: string | null, canSkip: boolean): void {
		const generation = this.#state.generation;
		this.#store(
			this.#state.toMetadata((each) => each.assignment),
			(error) => {
				const isCurrent =
					this.#state.name === "Stable" &&
					this.#state.generation === generation &&
					this.#members.get(member.memberId) === member;
				// Otherwise it is answered when the rebalance that began meanwhile ends.
				if (!isCurrent) return;
				// Its session did not run while it waited.
				member.touch();
				if (error !== undefined) {
					this.#members.refuseJoin(member, groupErrorOf(error), MEMBER_ID_UNKNOWN);
					return;
				}
				const answer = this.#state.joinAnswer(member);
				this.#members.answerJoin(
					member,
					canSkip
						? { ...answer, skipAssignment: this.#state.isLeader(member.memberId) }
						: // An old client would compute an assignment: it is told of a leader who is gone.
							{ ...answer, leader: leaderBefore ?? answer.leader, members: [] },
				);
			},
		);
	}

	#rejoin(
		member: ClassicMember,
		request: JoinRequest,
		waiter: Waiter<JoinAnswer>,
		why: string,
	): void {
		const protocols = copyProtocols(request.protocols);
		const bytes = (list: typeof protocols) =>
			list.reduce((sum, { name, metadata }) => sum + name.length + metadata.length, 0);
		if (!this.#members.fits(bytes(protocols) - bytes([...member.protocols]))) {
			waiter.reject(new JoinRefused("GROUP_MAX_SIZE_REACHED", member.memberId));
			return;
		}
		this.#members.update(member, () => {
			member.protocols = protocols;
			member.rebalanceTimeoutMs = request.rebalanceTimeoutMs;
			member.sessionTimeoutMs = request.sessionTimeoutMs;
		});
		this.#members.awaitJoin(member, waiter);
		this.#rebalanceOrComplete(`${member.memberId} ${why}`, request.reason);
	}

	// Rebalancing

	#rebalanceOrComplete(why: string, reason: string | null): void {
		if (this.#state.name === "PreparingRebalance") this.#completeIfAllJoined();
		else if (this.#state.name !== "Dead") this.#prepareRebalance(why, reason);
	}

	#prepareRebalance(why: string, reason: string | null): void {
		this.#host.debug(
			this,
			{ generation: this.#state.generation, why, reason },
			"the group rebalances",
		);
		if (this.#state.name === "CompletingRebalance") this.#refuseSyncs("REBALANCE_IN_PROGRESS");
		this.#syncDeadline.clear();
		const isInitial = this.#state.name === "Empty";
		this.#enter("PreparingRebalance");
		if (!isInitial) {
			if (this.#haveAllJoined()) this.#completeJoin();
			else this.#joinDeadline.set(this.#members.rebalanceTimeoutMs);
			return;
		}
		const { initialRebalanceDelayMs } = this.#host;
		this.#hasNewMember = false;
		if (initialRebalanceDelayMs === 0) {
			this.#completeJoin();
			return;
		}
		this.#initialWaitLeftMs = Math.max(
			this.#members.rebalanceTimeoutMs - initialRebalanceDelayMs,
			0,
		);
		this.#joinDeadline.set(initialRebalanceDelayMs);
	}

	#onJoinDeadline(): void {
		const leftMs = this.#initialWaitLeftMs;
		if (leftMs !== null && leftMs > 0 && this.#hasNewMember) {
			// Members keep coming: the first generation waits on, as long as they may take to rejoin.
			const delayMs = Math.min(this.#host.initialRebalanceDelayMs, leftMs);
			this.#hasNewMember = false;
			this.#initialWaitLeftMs = leftMs - delayMs;
			this.#joinDeadline.set(delayMs);
			return;
		}
		this.#completeJoin();
	}

	#haveAllJoined(): boolean {
		return this.#members.joiningCount === this.#members.size && this.#pendingJoins.size === 0;
	}

	#completeIfAllJoined(): void {
		if (this.#state.name !== "PreparingRebalance" || this.#initialWaitLeftMs !== null) return;
		if (this.#haveAllJoined()) this.#completeJoin();
	}

	/** Ends the join: who has not come is out, but for static members; the others begin anew. */
	#completeJoin(): void {
		this.#joinDeadline.clear();
		this.#initialWaitLeftMs = null;
		for (const member of [...this.#members]) {
			if (member.isJoining || member.groupInstanceId !== null) continue;
			this.#members.remove(member.memberId);
			member.end("UNKNOWN_MEMBER_ID");
		}
		if (this.#members.size > 0 && !this.#members.electJoined()) {
			// Static members alone, and none of them here: their sessions decide.
			this.#joinDeadline.set(this.#members.rebalanceTimeoutMs);
			return;
		}
		this.#nextGeneration();
	}

	#nextGeneration(): void {
		this.#state.nextGeneration();
		this.#pendingSyncs.clear();
		if (this.#members.size === 0) {
			this.#becomeEmpty();
			return;
		}
		this.#enter("CompletingRebalance");
		for (const member of this.#members) {
			this.#pendingSyncs.add(member.memberId);
			member.isNew = false;
			member.touch();
			this.#members.answerJoin(member, this.#state.joinAnswer(member));
		}
		this.#syncDeadline.set(this.#members.rebalanceTimeoutMs);
	}

	#becomeEmpty(): void {
		this.#enter("Empty");
		this.#store(
			this.#state.toMetadata(() => NO_BYTES),
			(error) => {
				if (error === undefined) return;
				this.#host.warn(this, { err: error }, "an empty group could not be stored");
			},
		);
	}

	#enter(name: ClassicStateName): void {
		this.#state.enter(name, this.#host.wallMs());
	}

	// Syncing

	/** Answers `waiter` now, or when the leader's assignment is durable. */
	sync(request: SyncRequest, waiter: Waiter<SyncAnswer>): void {
		const failure = this.#syncFailure(request);
		if (failure !== null) {
			waiter.reject(new MillraceError(failure));
			return;
		}
		const { memberId } = request;
		const member = this.#members.get(memberId) as ClassicMember;
		this.#pendingSyncs.delete(memberId);
		if (this.#pendingSyncs.size === 0) this.#syncDeadline.clear();
		if (this.#state.name === "Stable") {
			member.touch();
			waiter.resolve(this.#state.syncAnswer(member));
			return;
		}
		member.awaitSync(waiter);
		if (this.#state.isLeader(memberId)) this.#storeAssignment(request);
	}

	#syncFailure(request: SyncRequest): CodeName | null {
		if (this.#state.name === "Dead") return "COORDINATOR_NOT_AVAILABLE";
		const failure = this.#state.refusal(request);
		if (failure !== null) return failure;
		if (request.generation !== this.#state.generation) return "ILLEGAL_GENERATION";
		const { protocolType, protocolName } = request;
		if (protocolType !== null && protocolType !== this.#state.protocolType) {
			return "INCONSISTENT_GROUP_PROTOCOL";
		}
		if (protocolName !== null && this.#state.protocolName !== null) {
			if (protocolName !== this.#state.protocolName) return "INCONSISTENT_GROUP_PROTOCOL";
		}
		if (this.#state.name === "Empty") return "UNKNOWN_MEMBER_ID";
		return this.#state.name === "PreparingRebalance" ? "REBALANCE_IN_PROGRESS" : null;
	}

	#storeAssignment({ assignments }: SyncRequest): void {
		const generation = this.#state.generation;
		// The leader's client has asked again: what it sent first is on its way.
		if (this.#storingGeneration === generation) return;
		const byMember = new Map<string, Uint8Array>();
		let bytes = 0;
		for (const { memberId, assignment } of assignments) {
			byMember.set(memberId, new Uint8Array(assignment));
			bytes += assignment.length;
		}
		const assignmentOf = ({ memberId }: ClassicMember) => byMember.get(memberId) ?? NO_BYTES;
		if (!this.#members.fits(bytes)) {
			this.#failAssignment(new MillraceError("MESSAGE_TOO_LARGE", "the assignment"));
			return;
		}
		this.#storingGeneration = generation;
		this.#store(this.#state.toMetadata(assignmentOf), (error) => {
			if (this.#storingGeneration === generation) this.#storingGeneration = GENERATION_NONE;
			// Somebody joined or left meanwhile: the next generation counts.
			if (this.#state.name !== "CompletingRebalance" || this.#state.generation !== generation)
				return;
			if (error !== undefined) {
				this.#failAssignment(error);
				return;
			}
			this.#enter("Stable");
			for (const member of this.#members) {
				this.#members.update(member, () => {
					member.assignment = assignmentOf(member);
				});
				if (member.answerSync(this.#state.syncAnswer(member))) member.touch();
			}
		});
	}

	#failAssignment(error: MillraceError): void {
		this.#host.warn(this, { err: error }, "an assignment could not be stored");
		this.#refuseSyncs(groupErrorOf(error));
		this.#prepareRebalance("the assignment could not be stored", null);
	}

	/** Takes everybody's assignment away and refuses those who wait for one. */
	#refuseSyncs(code: CodeName): void {
		for (const member of this.#members) {
			this.#members.update(member, () => {
				member.assignment = NO_BYTES;
			});
			if (member.refuseSync(code)) member.touch();
		}
	}

	/** Members that got the generation and did not sync hold everybody up: they are out. */
	#onSyncDeadline(): void {
		const late = [...this.#pendingSyncs];
		for (const memberId of late) this.#members.remove(memberId)?.end("UNKNOWN_MEMBER_ID");
		this.#pendingSyncs.clear();
		if (late.length > 0) this.#prepareRebalance(`${late.join(", ")} did not sync`, null);
	}

	// Staying and leaving

	/**
	 * Throws UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS (still
	 * a member; join again), COORDINATOR_NOT_AVAILABLE.
	 */
	heartbeat(request: HeartbeatRequest): void {
		if (this.#state.name === "Dead") throw new MillraceError("COORDINATOR_NOT_AVAILABLE");
		const failure = this.#state.refusal(request);
		if (failure !== null) throw new MillraceError(failure);
		if (!this.#state.isCurrent(request.memberId, request.generation))
			throw new MillraceError("ILLEGAL_GENERATION");
		if (this.#state.name === "Empty") throw new MillraceError("UNKNOWN_MEMBER_ID");
		this.#members.get(request.memberId)?.touch();
		if (this.#state.name === "PreparingRebalance") throw new MillraceError("REBALANCE_IN_PROGRESS");
	}

	/** What became of each, in order. Throws COORDINATOR_NOT_AVAILABLE. */
	leave(members: readonly LeavingMember[]): LeftMember[] {
		if (this.#state.name === "Dead") throw new MillraceError("COORDINATOR_NOT_AVAILABLE");
		const sizeBefore = this.#members.size;
		const left = members.map((each): LeftMember => {
			const { memberId, groupInstanceId } = each;
			return { memberId, groupInstanceId, code: CODES[this.#leaveOne(each)].code };
		});
		if (this.#members.size < sizeBefore) {
			this.#onMemberLost("members leave", members.flatMap(({ reason }) => reason ?? []).join("; "));
		} else this.#onPendingLost();
		return left;
	}

	#leaveOne({ memberId, groupInstanceId }: LeavingMember): CodeName {
		if (memberId === MEMBER_ID_UNKNOWN) {
			const staticId =
				groupInstanceId === null ? undefined : this.#members.staticId(groupInstanceId);
			if (staticId === undefined) return "UNKNOWN_MEMBER_ID";
			this.#remove(staticId);
			return "NONE";
		}
		if (this.#forgetPendingJoin(memberId)) return "NONE";
		const failure = this.#state.refusal({ memberId, groupInstanceId });
		if (failure !== null) return failure;
		this.#remove(memberId);
		return "NONE";
	}

	#remove(memberId: string): void {
		const member = this.#members.remove(memberId);
		this.#pendingSyncs.delete(memberId);
		member?.end("UNKNOWN_MEMBER_ID");
	}

	#onMemberLost(why: string, reason: string | null): void {
		if (this.#state.name === "PreparingRebalance") this.#completeIfAllJoined();
		else this.#prepareRebalance(why, reason);
	}

	/** An id that was handed out will not come: nobody waits for it any more. */
	#onPendingLost(): void {
		this.#completeIfAllJoined();
		if (this.#state.name === "Empty") this.#host.onShrunk(this);
	}

	#onSessionExpired(member: ClassicMember): void {
		if (this.#members.get(member.memberId) !== member) return;
		// Who waits for an answer cannot send heartbeats; its session goes on with the answer.
		if (!member.isNew && (member.isJoining || member.isSyncing)) return;
		this.#remove(member.memberId);
		this.#onMemberLost(`the session of ${member.memberId} expired`, null);
	}

	#removePendingJoin(memberId: string): void {
		if (this.#forgetPendingJoin(memberId)) this.#onPendingLost();
	}

	#forgetPendingJoin(memberId: string): boolean {
		this.#pendingJoins.get(memberId)?.clear();
		if (!this.#pendingJoins.delete(memberId)) return false;
		this.#host.budget.add(-PENDING_BYTES);
		return true;
	}

	// Offsets

	admitCommit(request: CommitRequest): void {
		const { memberId, groupInstanceId, generation } = request;
		if (this.#state.name === "Dead") throw new MillraceError("COORDINATOR_NOT_AVAILABLE");
		// Nobody is a member: whoever assigns partitions by itself, and administrators, may commit.
		if (this.#state.name === "Empty" && generation < 0) return;
		if (generation < 0 && memberId === MEMBER_ID_UNKNOWN && groupInstanceId === null) {
			throw new MillraceError("UNKNOWN_MEMBER_ID", "the group has members");
		}
		const failure = this.#state.refusal(request);
		if (failure !== null) throw new MillraceError(failure);
		if (!this.#state.isCurrent(memberId, generation)) throw new MillraceError("ILLEGAL_GENERATION");
		if (this.#state.name === "CompletingRebalance")
			throw new MillraceError("REBALANCE_IN_PROGRESS");
		this.#members.get(memberId)?.touch();
	}

	admitFetch(): void {
		// Members of classic groups do not say who they are.
	}

	admitOffsetDeletion(): void {
		if (this.#state.name === "Empty" || this.#state.protocolType === CONSUMER_PROTOCOL_TYPE) return;
		throw new MillraceError("NON_EMPTY_GROUP", this.groupId);
	}

	isSubscribedTo(topic: string): boolean {
		return this.#state.isSubscribedTo(topic);
	}

	retentionStartMs(offset: CommittedOffset): number | null {
		return this.#state.retentionStartMs(offset);
	}

	// What is stored and shown

	summary(): CountedGroup {
		const { groupId, type } = this;
		const { name: state, protocolType } = this.#state;
		const { size: memberCount } = this.#members;
		return { groupId, type, state, protocolType: protocolType ?? "", memberCount };
	}

	describe(): ClassicGroupDescription {
		return this.#state.describe(this.groupId);
	}

	describeMembers(): DescribedMember[] {
		return describeMembers(this.describe());
	}

	records(): GroupRecord[] {
		if (this.#stored === null) return [];
		return [{ key: groupRecord(this.groupId, null).key, value: this.#stored }];
	}

	tombstones(): GroupRecord[] {
		return [...this.ownTombstones(), ...this.#leftovers];
	}

	/** Those that remove it, but for what may be left of the group whose place it took. */
	ownTombstones(): GroupRecord[] {
		return this.#stored === null ? [] : [groupRecord(this.groupId, null)];
	}

	/** Those that remove what may be left in the log of the group whose place it took. */
	get leftovers(): readonly GroupRecord[] {
		return this.#leftovers;
	}

	#store(value: GroupMetadataValue, done: (error?: MillraceError) => void): void {
		const { key, value: encoded } = groupRecord(this.groupId, value);
		const before = this.#stored;
		const stored = new Uint8Array(encoded ?? NO_BYTES);
		this.#stored = stored;
		const leftovers = this.#leftovers;
		this.#host.append(this, [{ key, value: stored }, ...leftovers], (error) => {
			if (error !== undefined && this.#stored === stored) this.#stored = before;
			if (error === undefined && this.#leftovers === leftovers) this.#leftovers = NO_RECORDS;
			done(error);
		});
	}

	/** The group as a consumer group takes it over; null without members. */
	toConsumer(): ConsumerImage | null {
		if (this.#members.size === 0) return null;
		const { generation, protocolType, protocolName, name } = this.#state;
		const members = [...this.#members];
		return { generation, protocolType, protocolName, isStable: name === "Stable", members };
	}

	/**
	 * Goes on with the members of a consumer group, who rebalance where `why` is said; `done` is
	 * called when that is durable.
	 */
	adopt(image: ClassicImage, why: string | null, done: (error?: MillraceError) => void): void {
		this.#state.adopt(image, (id, details) => this.#newMember(id, details));
		this.#enter("Stable");
		this.#store(
			this.#state.toMetadata((each) => each.assignment),
			(error) => {
				if (error !== undefined) {
					this.#host.warn(this, { err: error }, "a group that became classic could not be stored");
				}
				done(error);
			},
		);
		for (const member of this.#members) member.touch();
		if (why !== null) this.#prepareRebalance(why, null);
	}

	/** Takes the group over as its record has it; `bytes` is the record's value, which is kept. */
	restore(value: GroupMetadataValue, bytes: Uint8Array): void {
		this.#stored = bytes;
		this.#state.restore(value, (stored) => {
			const { memberId, rebalanceTimeout, sessionTimeout } = stored;
			const member = this.#newMember(memberId, {
				groupInstanceId: stored.groupInstanceId,
				clientId: stored.clientId,
				clientHost: stored.clientHost,
				sessionTimeoutMs: sessionTimeout,
				rebalanceTimeoutMs: rebalanceTimeout < 0 ? sessionTimeout : rebalanceTimeout,
				protocols: [{ name: value.protocol ?? "", metadata: stored.subscription }],
			});
			member.assignment = stored.assignment;
			return member;
		});
	}

	onLoaded(): void {
		for (const member of this.#members) member.touch();
		if (this.#members.size > this.#host.membersMax) {
			this.#prepareRebalance("the group is larger than it may be", null);
		}
	}

	/** `code` is for whoever still waits. */
	retire(code: CodeName = "NOT_COORDINATOR"): void {
		this.#enter("Dead");
		this.#joinDeadline.clear();
		this.#syncDeadline.clear();
		for (const memberId of [...this.#pendingJoins.keys()]) this.#forgetPendingJoin(memberId);
		for (const { memberId } of [...this.#members]) {
			this.#members.remove(memberId)?.end(code);
		}
	}
}
