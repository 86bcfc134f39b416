/**
 * One membership of a consumer group that a connection holds. It is the member as the group sees
 * it: it sends the heartbeats, turns what they bring into notices, and knows what the client has.
 * What the client asks of it is done in order, one thing after the other.
 */
import type { AnswerMap } from "../calls/caller.ts";
import { asMillraceError, MillraceError } from "../errors.ts";
import {
	type Assignment,
	assignmentFrom,
	difference,
	holdsAll,
	NO_PARTITIONS,
	select,
	type TopicIdPartitions,
	toTopicIdPartitions,
	union,
} from "../groups/consumer/assignment.ts";
import type { ConsumerWatcher } from "../groups/consumer/consumer-member.ts";
import {
	type ConsumerHeartbeatRequest,
	EPOCH_JOIN,
	EPOCH_LEAVE,
	EPOCH_LEAVE_STATIC,
} from "../groups/consumer/consumer-requests.ts";
import type {
	CodeNumber,
	OffsetToCommit,
	PartitionCode,
	TopicPartitions,
} from "../groups/requests.ts";
import { InOrder } from "../in-order.ts";
import { LIMITS } from "../limits.ts";
import type { AssignedPartition, GroupNotices, GroupTopic } from "../protocol/calls.ts";
import { CODES } from "../protocol/codes.ts";
import type { NoticeKind } from "../protocol/operations.ts";
import type { SessionHost } from "./session-host.ts";

/** What a client says when it joins. */
export interface MembershipTerms {
	readonly groupId: string;
	/**
	 * What an earlier connection was, or the id under which to be a new member; empty: a new member
	 * under an id of the broker's.
	 */
	readonly memberId: string;
	readonly instanceId: string | null;
	readonly rackId: string | null;
	readonly topicNames: readonly string[];
	readonly topicPattern: string;
	readonly assignor: string | null;
	readonly rebalanceTimeoutMs: number;
	readonly progressTimeoutMs: number;
	readonly clientId: string;
	readonly clientHost: string;
}

/** What a membership needs of its session. */
export interface MembershipOwner {
	notice(kind: NoticeKind, notice: AnswerMap): void;
	/** Runs what nobody catches: what it throws is a bug. */
	guard(work: () => void): void;
	/** It is over. */
	lost(membership: Membership): void;
}

/** "joining": nothing is told yet. */
type State = "joining" | "member" | "over";

export class Membership implements ConsumerWatcher {
	readonly groupId: string;
	readonly memberId: string;
	readonly isResumed: boolean;
	readonly #host: SessionHost;
	readonly #owner: MembershipOwner;
	readonly #terms: MembershipTerms;
	#state: State = "joining";
	#epoch: number;
	/** What the client has, also what it is giving up. */
	#held: Assignment = NO_PARTITIONS;
	/** What of it the client was told to give up. */
	#revoking: Assignment = NO_PARTITIONS;
	/** Names of topics that the client has partitions of: they may be deleted meanwhile. */
	readonly #names = new Map<string, string>();
	readonly #work = new InOrder();
	#isNewsDue = false;
	/** The client was told that it has all that the group has for it; undefined: nothing yet. */
	#toldSettled: boolean | undefined;
	/** A heartbeat failed, and is to be repeated with the next sweep. */
	#isRetryDue = false;
	/** The group has said that it is over: the id may be another connection's by now. */
	#isLost = false;
	#progressMs: number;
	#stopWatching: () => void = () => undefined;

	private constructor(
		host: SessionHost,
		owner: MembershipOwner,
		terms: MembershipTerms,
		member: { memberId: string; epoch: number; isResumed: boolean },
	) {
		this.#host = host;
		this.#owner = owner;
		this.#terms = terms;
		this.groupId = terms.groupId;
		this.memberId = member.memberId;
		this.isResumed = member.isResumed;
		this.#epoch = member.epoch;
		this.#progressMs = host.clock.monotonicMs();
	}

	/**
	 * Joins; rejects with what `GroupCoordinator.consumerHeartbeat` does, and with
	 * FENCED_MEMBER_EPOCH when another connection is that member before it is known here. Tells
	 * nothing yet.
	 */
	static async join(
		host: SessionHost,
		owner: MembershipOwner,
		terms: MembershipTerms,
	): Promise<Membership> {
		const { groupId } = terms;
		const epoch = terms.memberId === "" ? null : host.groups.consumerEpoch(groupId, terms.memberId);
		const isResumed = epoch !== null && epoch > 0;
		// A static member that is away keeps its id until another has its place.
		const newId = epoch === null ? terms.memberId : "";
		const sender = isResumed
			? { memberId: terms.memberId, memberEpoch: epoch }
			: { memberId: newId, memberEpoch: EPOCH_JOIN };
		const { memberId, memberEpoch } = await host.groups.consumerHeartbeat({
			...heartbeat(terms, NO_PARTITIONS),
			...sender,
		});
		if (!isResumed && host.groups.isConsumerWatched(groupId, memberId)) {
			// The client took this connection for lost, and came back by another.
			throw new MillraceError("FENCED_MEMBER_EPOCH", `${memberId} is somebody else now`);
		}
		const member = { memberId, epoch: memberEpoch, isResumed };
		const membership = new Membership(host, owner, terms, member);
		membership.#stopWatching = host.groups.watchConsumer(groupId, memberId, membership);
		return membership;
	}

	/** Begins to tell the client what it has: behind the answer to its join. */
	begin(): void {
		if (this.#state !== "joining") return;
		this.#state = "member";
		this.#isNewsDue = false;
		this.news();
	}

	// What the group tells.

	news(): void {
		if (this.#isNewsDue || this.#state === "over") return;
		this.#isNewsDue = true;
		if (this.#state === "joining") return;
		void this.#work.run(() => this.#heartbeat());
	}

	lost(error: MillraceError): void {
		this.#isLost = true;
		this.#end(error);
	}

	// What the client asks.

	/** The application gets on. */
	progress(): void {
		this.#progressMs = this.#host.clock.monotonicMs();
	}

	/** The client has given up partitions. Rejects with INVALID_REQUEST, UNKNOWN_MEMBER_ID. */
	acknowledge(given: Assignment): Promise<void> {
		this.progress();
		return this.#work.run(() => {
			this.#checkMember();
			if (!holdsAll(this.#revoking, given)) {
				throw new MillraceError("INVALID_REQUEST", "it gives up what was not revoked");
			}
			this.#revoking = difference(this.#revoking, given);
			this.#held = difference(this.#held, given);
			for (const topicId of given.keys()) {
				if (!this.#held.has(topicId)) this.#names.delete(topicId);
			}
			return this.#heartbeat();
		});
	}

	/**
	 * Commits offsets of partitions that the client has; resolves to a code for each. Rejects with
	 * UNKNOWN_MEMBER_ID, or as `GroupCoordinator.commitOffsets`.
	 */
	commit(
		topics: readonly TopicPartitions<OffsetToCommit>[],
	): Promise<TopicPartitions<PartitionCode>[]> {
		this.progress();
		return this.#work.run(async () => {
			this.#checkMember();
			const refused = topics.map(({ topic, partitions }) =>
				partitions.map(({ partition }) => this.#refusalOf(topic, partition)),
			);
			const admitted = topics.map(({ topic, partitions }, at) => ({
				topic,
				partitions: partitions.filter((_, index) => refused[at]?.[index] === CODES.NONE.code),
			}));
			const committed = await this.#host.groups.commitOffsets({
				groupId: this.groupId,
				memberId: this.memberId,
				groupInstanceId: this.#terms.instanceId,
				generation: this.#epoch,
				retentionMs: null,
				knowsGroupIdNotFound: true,
				topics: admitted.filter(({ partitions }) => partitions.length > 0),
			});
			return withRefusals(topics, refused, committed);
		});
	}

	/**
	 * Leaves, `forGood` or, a static member, to come back; behind all that was asked before. Rejects
	 * with UNKNOWN_MEMBER_ID, as where it was lost meanwhile, or as `ConsumerGroup.leave`.
	 */
	leave(forGood: boolean): Promise<void> {
		return this.#work.run(async () => {
			if (this.#isLost) throw new MillraceError("UNKNOWN_MEMBER_ID", this.memberId);
			this.#over();
			const isAway = this.#terms.instanceId !== null && !forGood;
			await this.#host.groups.consumerHeartbeat({
				...heartbeat(this.#terms, this.#held),
				memberId: this.memberId,
				memberEpoch: isAway ? EPOCH_LEAVE_STATIC : EPOCH_LEAVE,
			});
		});
	}

	/** Leaves the member to itself: it is out when its session ends, unless somebody resumes it. */
	abandon(): void {
		this.#over();
	}

	/** Looks at what only time brings about. */
	sweep(): void {
		if (this.#state !== "member") return;
		const { progressTimeoutMs } = this.#terms;
		const silentMs = this.#host.clock.monotonicMs() - this.#progressMs;
		if (silentMs > progressTimeoutMs) this.#expire(progressTimeoutMs);
		else if (this.#isRetryDue) {
			this.#isRetryDue = false;
			this.news();
		}
	}

	/** Takes the member out of its group, and tells the client why. */
	takeOut(reason: MillraceError): void {
		this.#stopWatching();
		this.#end(reason);
		this.leave(false).catch((error: unknown) => {
			const { groupId: group, memberId: member } = this;
			this.#host.log.warn({ err: error, group, member }, "a member could not be taken out");
		});
	}

	// What is done, one after the other.

	/** Says what the client has, and tells it what is new. */
	async #heartbeat(): Promise<void> {
		this.#isNewsDue = false;
		if (this.#state !== "member") return;
		try {
			const { memberEpoch, assignment } = await this.#host.groups.consumerHeartbeat({
				...heartbeat(this.#terms, this.#held),
				memberId: this.memberId,
				memberEpoch: this.#epoch,
			});
			if (this.#state !== "member") return;
			this.#epoch = memberEpoch;
			if (assignment !== null) this.#tell(assignmentFrom(assignment));
		} catch (thrown) {
			const error = asMillraceError(thrown);
			if (error.code === "UNKNOWN_SERVER_ERROR") {
				const { groupId: group, memberId: member } = this;
				this.#host.log.error({ err: error.cause ?? error, group, member }, "a heartbeat failed");
			}
			if (error.retriable) this.#isRetryDue = true;
			else this.#end(error);
		}
	}

	#tell(assigned: Assignment): void {
		const { catalogue } = this.#host;
		const revoked = difference(difference(this.#held, assigned), this.#revoking);
		// What was deleted meanwhile is nobody's, and the group is about to notice.
		const added = select(
			difference(assigned, this.#held),
			(topicId) => catalogue.byId(topicId) !== undefined,
		);
		this.#revoking = union(this.#revoking, revoked);
		this.#held = union(this.#held, added);
		if (revoked.size > 0) this.#tellRevoked(revoked);
		const isSettled = this.#host.groups.isConsumerSettled(this.groupId, this.memberId);
		const isNews = this.#toldSettled === undefined || (isSettled && !this.#toldSettled);
		if (added.size > 0 || isNews) this.#tellAssigned(added, isSettled);
	}

	#tellRevoked(revoked: Assignment): void {
		for (const part of inParts(revoked)) {
			const topics = part.map(({ topicId, partitions }) => ({
				topic: this.#names.get(topicId) ?? "",
				topic_id: topicId,
				partitions: [...partitions],
			}));
			this.#notice("revoke", { ...this.#about(), epoch: this.#epoch, topics });
		}
	}

	#tellAssigned(added: Assignment, isSettled: boolean): void {
		this.#toldSettled = isSettled;
		const parts = inParts(added);
		for (const [index, part] of parts.entries()) {
			const topics = part.map(({ topicId, partitions }) => this.#assigned(topicId, partitions));
			const settled = isSettled && index === parts.length - 1;
			this.#notice("assign", { ...this.#about(), epoch: this.#epoch, settled, topics });
		}
	}

	#assigned(topicId: string, partitions: readonly number[]): GroupTopic<AssignedPartition> {
		const { groupId } = this;
		const topic = this.#host.catalogue.byId(topicId)?.name ?? "";
		this.#names.set(topicId, topic);
		const [fetched] = this.#host.groups.fetchOffsets({ groupId, topics: [{ topic, partitions }] });
		const offsets = (fetched?.partitions ?? []).map(({ partition, offset, leaderEpoch }) => ({
			partition,
			offset: offset < 0 ? null : offset,
			leader_epoch: leaderEpoch,
		}));
		return { topic, topic_id: topicId, partitions: offsets };
	}

	#notice<Kind extends keyof GroupNotices>(kind: Kind, notice: GroupNotices[Kind]): void {
		this.#owner.notice(kind, notice as unknown as AnswerMap);
	}

	#about(): { group: string; member_id: string } {
		return { group: this.groupId, member_id: this.memberId };
	}

	/** Why an offset cannot be the member's to commit; 0: it can. */
	#refusalOf(name: string, partition: number): CodeNumber {
		const topic = this.#host.catalogue.get(name);
		if (topic === undefined) return CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
		const isHeld = this.#held.get(topic.topicId)?.includes(partition) === true;
		return isHeld ? CODES.NONE.code : CODES.STALE_MEMBER_EPOCH.code;
	}

	#checkMember(): void {
		if (this.#state !== "over") return;
		throw new MillraceError("UNKNOWN_MEMBER_ID", this.memberId);
	}

	/** Takes a member out whose application does not get on. */
	#expire(progressTimeoutMs: number): void {
		const particular = `it did not get on for ${progressTimeoutMs} ms`;
		this.takeOut(new MillraceError("UNKNOWN_MEMBER_ID", particular));
	}

	#end(error: MillraceError): void {
		if (this.#state === "over") return;
		const { number: code, code: name, message } = error;
		this.#over();
		this.#owner.guard(() => this.#notice("lost", { ...this.#about(), code, name, message }));
		this.#owner.lost(this);
	}

	#over(): void {
		this.#state = "over";
		this.#stopWatching();
	}
}

/** A heartbeat that says everything, but who sends it. */
function heartbeat(
	terms: MembershipTerms,
	owned: Assignment,
): Omit<ConsumerHeartbeatRequest, "memberId" | "memberEpoch"> {
	return {
		groupId: terms.groupId,
		instanceId: terms.instanceId,
		rackId: terms.rackId,
		clientId: terms.clientId,
		clientHost: terms.clientHost,
		rebalanceTimeoutMs: terms.rebalanceTimeoutMs,
		topicNames: terms.topicNames,
		topicPattern: terms.topicPattern,
		serverAssignor: terms.assignor,
		owned: toTopicIdPartitions(owned),
		requiresMemberId: false,
	};
}

/** Pieces that a notice may name; one, without anything, for no partitions. */
function inParts(assignment: Assignment): TopicIdPartitions[][] {
	const parts: TopicIdPartitions[][] = [[]];
	let room = LIMITS.groupPartitionsNamedMax;
	for (const { topicId, partitions } of toTopicIdPartitions(assignment)) {
		for (let from = 0; from < partitions.length; ) {
			const some = partitions.slice(from, from + room);
			parts.at(-1)?.push({ topicId, partitions: some });
			from += some.length;
			room -= some.length;
			if (room > 0) continue;
			room = LIMITS.groupPartitionsNamedMax;
			parts.push([]);
		}
	}
	if (parts.length > 1 && parts.at(-1)?.length === 0) parts.pop();
	return parts;
}

/** The codes of a commit in the order in which it was asked for. */
function withRefusals(
	topics: readonly TopicPartitions<OffsetToCommit>[],
	refused: readonly (readonly CodeNumber[])[],
	committed: readonly TopicPartitions<PartitionCode>[],
): TopicPartitions<PartitionCode>[] {
	let next = 0;
	return topics.map(({ topic, partitions }, at) => {
		const refusals = refused[at] ?? [];
		const hasAdmitted = refusals.some((code) => code === CODES.NONE.code);
		const codes = hasAdmitted ? [...(committed[next++]?.partitions ?? [])] : [];
		return {
			topic,
			partitions: partitions.map(({ partition }, index) => {
				const code = refusals[index] ?? CODES.UNKNOWN_SERVER_ERROR.code;
				return code === CODES.NONE.code
					? (codes.shift() ?? { partition, code })
					: { partition, code };
			}),
		};
	});
}
