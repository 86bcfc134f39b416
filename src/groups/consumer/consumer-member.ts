/** A member of a consumer group: what it said about itself, and where it stands. */
import { randomBytes } from "node:crypto";

import type { MillraceError } from "../../errors.ts";
import { protocolBytes } from "../member-protocols.ts";
import type { MemberProtocol } from "../requests.ts";
import type { Deadline } from "../timers.ts";
import { type Assignment, NO_PARTITIONS, partitionCount } from "./assignment.ts";
import { type ConsumerHeartbeatRequest, REBALANCE_TIMEOUT_UNSAID } from "./consumer-requests.ts";
import { NEW_STANDING, type Standing } from "./reconciliation.ts";
import { NO_SUBSCRIPTION, type Subscription } from "./subscriptions.ts";

/** What a member that joins and syncs as members of classic groups do says beside the rest. */
export interface ClassicTraits {
	readonly sessionTimeoutMs: number;
	/** Never empty; their metadata says what the member subscribes to. */
	readonly protocols: readonly MemberProtocol[];
}

/** What a member said about itself. A new one replaces it when it says something else. */
export interface MemberProfile {
	readonly instanceId: string | null;
	readonly rackId: string | null;
	readonly clientId: string;
	readonly clientHost: string;
	/** REBALANCE_TIMEOUT_UNSAID: it never said, which is for ever. */
	readonly rebalanceTimeoutMs: number;
	readonly serverAssignor: string | null;
	readonly subscription: Subscription;
	/** Null: it speaks the consumer protocol. */
	readonly classic: ClassicTraits | null;
}

/** What is known of a member that has not said anything. */
export const NEW_PROFILE: MemberProfile = {
	instanceId: null,
	rackId: null,
	clientId: "",
	clientHost: "",
	rebalanceTimeoutMs: REBALANCE_TIMEOUT_UNSAID,
	serverAssignor: null,
	subscription: NO_SUBSCRIPTION,
	classic: null,
};

/** What the timers of a member do when they come. */
export interface MemberDeadlines {
	/** It has not been heard of for too long. */
	readonly session: Deadline;
	/**
	 * It has not given up in time what it was told to; or, where it speaks the classic protocol, has
	 * not joined or synced in time.
	 */
	readonly revocation: Deadline;
}

/** Whoever keeps a member alive and is told instead of asking. */
export interface ConsumerWatcher {
	/** A heartbeat of the member would be answered with something new. */
	news(): void;
	/**
	 * The member is out of its group (UNKNOWN_MEMBER_ID), another has its place (FENCED_INSTANCE_ID),
	 * or somebody else goes on as it (FENCED_MEMBER_EPOCH). Nothing follows. Told while the group
	 * changes: it is to be asked for nothing before this returns.
	 */
	lost(error: MillraceError): void;
}

/** What a partition in an assignment costs, in bytes. */
const PARTITION_BYTES = 8;

export class ConsumerMember {
	readonly memberId: string;
	readonly session: Deadline;
	readonly revocation: Deadline;
	profile: MemberProfile;
	standing: Standing = NEW_STANDING;
	/** What it should have, as of the group's assignment epoch. */
	target: Assignment = NO_PARTITIONS;
	/** Whoever keeps it alive and is told instead of asking. */
	watcher: ConsumerWatcher | null = null;

	constructor(memberId: string, profile: MemberProfile, { session, revocation }: MemberDeadlines) {
		this.memberId = memberId;
		this.profile = profile;
		this.session = session;
		this.revocation = revocation;
	}

	/** It joins, syncs and sends heartbeats as members of classic groups do. */
	get isClassic(): boolean {
		return this.profile.classic !== null;
	}

	/** Bytes that it holds beside what every member costs and its subscription, about. */
	get bytes(): number {
		const { instanceId, clientId, clientHost, classic } = this.profile;
		const texts = this.memberId.length + (instanceId?.length ?? 0) + clientId.length;
		// What it has is listed twice: as such, and by when it was granted.
		const partitions = 2 * partitionCount(this.standing.assigned) + partitionCount(this.target);
		const protocols = classic === null ? 0 : protocolBytes(classic.protocols);
		return texts + clientHost.length + protocols + partitions * PARTITION_BYTES;
	}

	/** Whether it has what it should have. */
	isReconciled(assignmentEpoch: number): boolean {
		return this.standing.state === "stable" && this.standing.epoch === assignmentEpoch;
	}

	/** It is no member any more. */
	end(): void {
		this.session.clear();
		this.revocation.clear();
	}
}

/** What a member is after a heartbeat; the same object when it said nothing new. */
export function profileAfter(
	before: MemberProfile,
	request: ConsumerHeartbeatRequest,
	subscription: Subscription,
): MemberProfile {
	const { instanceId, rackId, clientId, clientHost, rebalanceTimeoutMs, serverAssignor } = request;
	const profile: MemberProfile = {
		instanceId: instanceId ?? before.instanceId,
		rackId: rackId ?? before.rackId,
		clientId,
		clientHost,
		rebalanceTimeoutMs:
			rebalanceTimeoutMs === REBALANCE_TIMEOUT_UNSAID
				? before.rebalanceTimeoutMs
				: rebalanceTimeoutMs,
		serverAssignor: serverAssignor ?? before.serverAssignor,
		subscription,
		classic: null,
	};
	return sameOr(before, profile);
}

/** The one before, where the two say the same. */
export function sameOr(before: MemberProfile, profile: MemberProfile): MemberProfile {
	const isSame = (Object.keys(profile) as (keyof MemberProfile)[]).every(
		(key) => profile[key] === before[key],
	);
	return isSame ? before : profile;
}

/**
 * A random UUID in the form that Kafka gives members: 22 characters, the first of them no hyphen.
 */
export function newMemberId(): string {
	for (;;) {
		const id = randomBytes(16).toString("base64url");
		if (!id.startsWith("-")) return id;
	}
}
