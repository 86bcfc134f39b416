/**
 * Members of a consumer group that speak the classic protocol, as those do who were in the group
 * when it was a classic one, or who join while others of the new protocol are in it (KIP-848).
 *
 * Such a member's generation is its epoch, and nobody leads: a join is the heartbeat with which it
 * says what it has, and is answered at once; the sync tells what it may read. When there is
 * something new for it a heartbeat answers REBALANCE_IN_PROGRESS, and it joins again. It does so as
 * often as it takes to give up, and then to get, what it should. As Kafka 4.3.
 */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import { type Assignment, assignmentFrom } from "../consumer/assignment.ts";
import type { Visit } from "../consumer/consumer-group.ts";
import {
	type ClassicTraits,
	type ConsumerMember,
	type MemberProfile,
	NEW_PROFILE,
	newMemberId,
	sameOr,
} from "../consumer/consumer-member.ts";
import {
	CONSUMER_PROTOCOL_TYPE,
	type ConsumerProtocolSubscription,
	readSubscription,
	writeAssignment,
} from "../consumer/consumer-protocol.ts";
import type { ConsumerState } from "../consumer/consumer-state.ts";
import type { Subscription } from "../consumer/subscriptions.ts";
import { JoinRefused } from "../member.ts";
import { areSameProtocols, copyProtocols, protocolBytes } from "../member-protocols.ts";
import {
	type HeartbeatRequest,
	type JoinAnswer,
	type JoinRequest,
	type LeavingMember,
	type LeftMember,
	MEMBER_ID_UNKNOWN,
	type MemberIdentity,
	type SyncAnswer,
	type SyncRequest,
} from "../requests.ts";

/** What the members need of their group. */
export interface ClassicSideHost {
	readonly membersMax: number;
	/** Throws COORDINATOR_NOT_AVAILABLE. */
	checkAlive(): void;
	/** A member's last sign of life is now. */
	touch(member: ConsumerMember): void;
	/** Looks whether there is something else to assign than before. */
	refresh(): void;
	/** See `ConsumerGroup`. */
	subscribe(names: readonly string[], before: Subscription, bytesMore: number): Subscription;
	take(visit: Visit, profile: MemberProfile): TakenClassic;
	/** Takes members out; resolves when that is durable. */
	remove(members: readonly ConsumerMember[]): Promise<void>;
	/** Resolves when all that was appended is durable. */
	settled(): Promise<void>;
}

export interface TakenClassic {
	readonly member: ConsumerMember;
	readonly epoch: number;
	/** Resolves when it is durable. */
	readonly stored: Promise<void>;
}

export class ClassicSide {
	readonly #state: ConsumerState;
	readonly #host: ClassicSideHost;

	constructor(state: ConsumerState, host: ClassicSideHost) {
		this.#state = state;
		this.#host = host;
	}

	/** See `ConsumerGroup.joinClassic`. */
	async join(request: JoinRequest): Promise<JoinAnswer> {
		this.#host.checkAlive();
		this.#check(request);
		const { memberId, groupInstanceId, requiresKnownMemberId } = request;
		const isUnknown = memberId === MEMBER_ID_UNKNOWN;
		if (isUnknown && groupInstanceId === null && requiresKnownMemberId) {
			// The id is not remembered: any will do to join with.
			throw new JoinRefused("MEMBER_ID_REQUIRED", newMemberId());
		}
		const sender = this.#senderOf(request);
		const subscribed = this.#subscriptionOf(request);
		const visit: Visit = {
			memberId,
			sender,
			isReplaced: sender !== null && isUnknown && groupInstanceId !== null,
			owned: this.#assignmentOf(subscribed.ownedPartitions),
		};
		const { member, epoch, stored } = this.#host.take(
			visit,
			this.#profileOf(request, subscribed, sender),
		);
		await stored;
		return {
			memberId: member.memberId,
			generation: epoch,
			protocolType: CONSUMER_PROTOCOL_TYPE,
			protocolName: request.protocols[0]?.name ?? null,
			leader: "",
			skipAssignment: false,
			members: [],
		};
	}

	/** Throws JoinRefused of GROUP_MAX_SIZE_REACHED, INCONSISTENT_GROUP_PROTOCOL. */
	#check({ memberId, protocolType, protocols }: JoinRequest): void {
		const isKnown = this.#state.get(memberId) !== undefined;
		if (!isKnown && this.#state.size >= this.#host.membersMax) {
			throw new JoinRefused("GROUP_MAX_SIZE_REACHED", memberId);
		}
		const names = protocols.map(({ name }) => name);
		if (protocolType !== CONSUMER_PROTOCOL_TYPE || !this.#state.supportsAny(names)) {
			throw new JoinRefused("INCONSISTENT_GROUP_PROTOCOL", memberId);
		}
	}

	/** The member that joins again, or whose place it takes; null: a new one. */
	#senderOf({ memberId, groupInstanceId }: JoinRequest): ConsumerMember | null {
		if (groupInstanceId === null) return this.#state.get(memberId) ?? null;
		const member = this.#state.staticMember(groupInstanceId) ?? null;
		if (memberId === MEMBER_ID_UNKNOWN) return member;
		if (member === null) throw new JoinRefused("UNKNOWN_MEMBER_ID", memberId);
		if (member.memberId !== memberId) throw new JoinRefused("FENCED_INSTANCE_ID", memberId);
		return member;
	}

	/** All protocols of a member have the same subscription. */
	#subscriptionOf({ memberId, protocols }: JoinRequest): ConsumerProtocolSubscription {
		const subscribed = readSubscription(protocols[0]?.metadata ?? new Uint8Array(0));
		if (subscribed !== null) return subscribed;
		throw new JoinRefused("UNKNOWN_SERVER_ERROR", memberId, "its metadata is no subscription");
	}

	#profileOf(
		request: JoinRequest,
		{ topics, rackId }: ConsumerProtocolSubscription,
		sender: ConsumerMember | null,
	): MemberProfile {
		const before = sender?.profile ?? NEW_PROFILE;
		const { clientId, clientHost, rebalanceTimeoutMs, groupInstanceId, memberId } = request;
		const known = before.classic;
		const isKnown = known !== null && isSameTraits(known, request);
		const protocols = isKnown ? known.protocols : copyProtocols(request.protocols);
		const bytes = isKnown ? 0 : protocolBytes(protocols);
		if (this.#state.classicBytes + bytes > LIMITS.groupBytesMax) {
			throw new JoinRefused("GROUP_MAX_SIZE_REACHED", memberId, "no room for its protocols");
		}
		const { sessionTimeoutMs } = request;
		return sameOr(before, {
			instanceId: groupInstanceId ?? before.instanceId,
			rackId: rackId ?? before.rackId,
			clientId,
			clientHost,
			rebalanceTimeoutMs,
			serverAssignor: before.serverAssignor,
			subscription: this.#host.subscribe(topics, before.subscription, bytes),
			classic: isKnown ? known : { sessionTimeoutMs, protocols },
		});
	}

	/** With the ids of the topics that there are. */
	#assignmentOf(topics: ConsumerProtocolSubscription["ownedPartitions"]): Assignment {
		return assignmentFrom(this.#state.identified(topics));
	}

	/** See `ConsumerGroup.syncClassic`. */
	async sync(request: SyncRequest): Promise<SyncAnswer> {
		this.#host.checkAlive();
		const { member, traits } = this.#memberOf(request);
		const { protocolType, protocolName } = request;
		const [{ name = "", metadata = new Uint8Array(0) } = {}] = traits.protocols;
		const isOther =
			(protocolType !== null && protocolType !== CONSUMER_PROTOCOL_TYPE) ||
			(protocolName !== null && protocolName !== name);
		if (isOther) throw new MillraceError("INCONSISTENT_GROUP_PROTOCOL", member.memberId);
		const { standing } = member;
		// Who is to give up has joined already, and gets what it keeps first.
		if (this.#state.epoch > standing.epoch && standing.state !== "unrevoked") {
			this.#expectJoin(member);
			throw new MillraceError("REBALANCE_IN_PROGRESS", member.memberId);
		}
		const topics = this.#state.named(standing.assigned);
		const assignment = writeAssignment(topics, metadata);
		await this.#host.settled();
		// It may have joined again, or be another one, since it asked.
		if (member.standing === standing && member.isClassic) {
			member.revocation.clear();
			this.#host.touch(member);
		}
		return { protocolType, protocolName, assignment };
	}

	/** See `ConsumerGroup.heartbeatClassic`. */
	heartbeat(request: HeartbeatRequest): void {
		this.#host.checkAlive();
		const { member } = this.#memberOf(request);
		this.#host.touch(member);
		this.#host.refresh();
		const { state, epoch } = member.standing;
		const hasNews =
			epoch < this.#state.epoch ||
			state === "unrevoked" ||
			(state === "unreleased" && this.#state.isTargetFree(member));
		if (!hasNews) return;
		this.#expectJoin(member);
		throw new MillraceError("REBALANCE_IN_PROGRESS", member.memberId);
	}

	/** From the first time that it is told to join again it has its rebalance timeout for it. */
	#expectJoin({ revocation, profile }: ConsumerMember): void {
		if (!revocation.isSet) revocation.set(profile.rebalanceTimeoutMs);
	}

	/** Throws UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION. */
	#memberOf({ memberId, groupInstanceId, generation }: MemberIdentity): {
		readonly member: ConsumerMember;
		readonly traits: ClassicTraits;
	} {
		const member = this.#state.identify(memberId, groupInstanceId);
		const traits = member.profile.classic;
		if (traits === null) {
			throw new MillraceError("UNKNOWN_MEMBER_ID", `${memberId} speaks the consumer protocol`);
		}
		const { epoch } = member.standing;
		if (generation !== epoch) {
			throw new MillraceError("ILLEGAL_GENERATION", `${generation}, not ${epoch}`);
		}
		return { member, traits };
	}

	/** See `ConsumerGroup.leaveClassic`. */
	async leave(leaving: readonly LeavingMember[]): Promise<LeftMember[]> {
		this.#host.checkAlive();
		const members = new Set<ConsumerMember>();
		const left = leaving.map((each): LeftMember => {
			const { memberId, groupInstanceId } = each;
			const found = this.#leavingMember(each);
			if (typeof found === "string") return { memberId, groupInstanceId, code: CODES[found].code };
			members.add(found);
			return { memberId, groupInstanceId, code: CODES.NONE.code };
		});
		if (members.size > 0) await this.#host.remove([...members]);
		return left;
	}

	#leavingMember({
		memberId,
		groupInstanceId,
	}: LeavingMember): ConsumerMember | "FENCED_INSTANCE_ID" | "UNKNOWN_MEMBER_ID" {
		if (groupInstanceId === null) return this.#state.get(memberId) ?? "UNKNOWN_MEMBER_ID";
		const member = this.#state.staticMember(groupInstanceId);
		if (member === undefined) return "UNKNOWN_MEMBER_ID";
		// An administrator removes a static member by its instance alone.
		const isMeant = memberId === MEMBER_ID_UNKNOWN || memberId === member.memberId;
		return isMeant ? member : "FENCED_INSTANCE_ID";
	}
}

function isSameTraits(
	{ sessionTimeoutMs, protocols }: ClassicTraits,
	request: JoinRequest,
): boolean {
	return (
		sessionTimeoutMs === request.sessionTimeoutMs && areSameProtocols(protocols, request.protocols)
	);
}
