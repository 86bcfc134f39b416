/**
 * What members of the consumer protocol (KIP-848) ask of a group and are told: plain values, the
 * same for every wire protocol.
 */
import { MillraceError } from "../../errors.ts";
import type { GroupSummary } from "../requests.ts";
import type { TopicIdPartitions } from "./assignment.ts";

/** Member epochs of a heartbeat that stand for something else. */
export const EPOCH_JOIN = 0;
export const EPOCH_LEAVE = -1;
/** A static member leaves and will come back: what it has is kept for it. */
export const EPOCH_LEAVE_STATIC = -2;

export const REBALANCE_TIMEOUT_UNSAID = -1;

/** Null, and REBALANCE_TIMEOUT_UNSAID: nothing has changed since the last heartbeat. */
export interface ConsumerHeartbeatRequest {
	readonly groupId: string;
	/** Chosen by the member; empty with EPOCH_JOIN: the group chooses one. */
	readonly memberId: string;
	/** The member's epoch, or one of EPOCH_JOIN, EPOCH_LEAVE, EPOCH_LEAVE_STATIC. */
	readonly memberEpoch: number;
	readonly instanceId: string | null;
	readonly rackId: string | null;
	readonly clientId: string;
	readonly clientHost: string;
	/** How long the member may take to give partitions up, in milliseconds. */
	readonly rebalanceTimeoutMs: number;
	readonly topicNames: readonly string[] | null;
	/** A regular expression in RE2's syntax that names match as a whole; empty: none any more. */
	readonly topicPattern: string | null;
	readonly serverAssignor: string | null;
	/** What the member has. */
	readonly owned: readonly TopicIdPartitions[] | null;
	/** An empty member id is refused, as members choose theirs. */
	readonly requiresMemberId: boolean;
}

export function isLeave({ memberEpoch }: ConsumerHeartbeatRequest): boolean {
	return memberEpoch === EPOCH_LEAVE || memberEpoch === EPOCH_LEAVE_STATIC;
}

/** Throws INVALID_REQUEST or UNSUPPORTED_ASSIGNOR for a heartbeat that cannot be meant so. */
export function checkHeartbeat(
	request: ConsumerHeartbeatRequest,
	assignors: readonly string[],
): void {
	const complaint = complaintAbout(request);
	if (complaint !== null) throw new MillraceError("INVALID_REQUEST", complaint);
	const { serverAssignor } = request;
	if (serverAssignor === null || assignors.includes(serverAssignor)) return;
	throw new MillraceError("UNSUPPORTED_ASSIGNOR", `${serverAssignor} (${assignors.join(", ")})`);
}

function complaintAbout(request: ConsumerHeartbeatRequest): string | null {
	const { memberId, memberEpoch, instanceId, owned, requiresMemberId } = request;
	const isBlank = (text: string | null) => text !== null && text.trim() === "";
	const namesMember = requiresMemberId || memberEpoch > 0 || memberEpoch === EPOCH_LEAVE;
	if (namesMember && isBlank(memberId)) return "the member id is empty";
	if (isBlank(request.groupId)) return "the group id is empty";
	if (isBlank(instanceId)) return "the instance id is empty";
	if (isBlank(request.rackId)) return "the rack id is empty";
	if (memberEpoch < EPOCH_LEAVE_STATIC) return `there is no member epoch ${memberEpoch}`;
	if (memberEpoch === EPOCH_LEAVE_STATIC && instanceId === null) return "there is no instance id";
	if (memberEpoch !== EPOCH_JOIN) return null;
	if (request.rebalanceTimeoutMs === REBALANCE_TIMEOUT_UNSAID) {
		return "who joins says its rebalance timeout";
	}
	if (owned === null || owned.length > 0) return "who joins has no partitions, and says so";
	if (request.topicNames === null && request.topicPattern === null) {
		return "who joins subscribes to names or to a regular expression";
	}
	return null;
}

/** Whether it says everything, as members do when they are not sure what the group knows. */
export function isFullHeartbeat(request: ConsumerHeartbeatRequest): boolean {
	const { rebalanceTimeoutMs, topicNames, topicPattern, owned } = request;
	const isSubscribing = topicNames !== null || topicPattern !== null;
	return rebalanceTimeoutMs !== REBALANCE_TIMEOUT_UNSAID && isSubscribing && owned !== null;
}

export interface ConsumerHeartbeatAnswer {
	readonly memberId: string;
	readonly memberEpoch: number;
	/** When to come again, in milliseconds; 0 for who leaves. */
	readonly heartbeatIntervalMs: number;
	/** What the member may read; null: as it was told before. */
	readonly assignment: readonly TopicIdPartitions[] | null;
}

/** A consumer group as Kafka's ConsumerGroupDescribe shows it. */
export interface ConsumerGroupDescription extends GroupSummary {
	readonly epoch: number;
	readonly assignmentEpoch: number;
	readonly assignorName: string;
	readonly members: readonly ConsumerMemberDescription[];
}

export interface ConsumerMemberDescription {
	readonly memberId: string;
	readonly instanceId: string | null;
	readonly rackId: string | null;
	readonly memberEpoch: number;
	readonly clientId: string;
	readonly clientHost: string;
	readonly topicNames: readonly string[];
	/** Empty: none. */
	readonly topicPattern: string;
	readonly assigned: readonly NamedPartitions[];
	readonly target: readonly NamedPartitions[];
	/** It joins, syncs and sends heartbeats as members of classic groups do. */
	readonly isClassic: boolean;
}

export interface NamedPartitions extends TopicIdPartitions {
	readonly topic: string;
}
