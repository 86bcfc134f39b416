/** groups.join, .acknowledge, .progress, .commit, .committed, .leave */

import { mayUse, refuse } from "../../calls/access.ts";
import { Arguments, boundedInteger, invalid, isMap } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { asMillraceError, MillraceError } from "../../errors.ts";
import { type Assignment, assignmentFrom } from "../../groups/consumer/assignment.ts";
import { isNameTooLong } from "../../groups/names.ts";
import {
	GENERATION_NONE,
	MEMBER_ID_UNKNOWN,
	type OffsetToCommit,
	type PartitionCode,
	type TopicPartitions,
} from "../../groups/requests.ts";
import { LIMITS } from "../../limits.ts";
import type { CallAnswer } from "../../protocol/calls.ts";
import type { DecodedMap, DecodedValue } from "../../protocol/reader.ts";
import { ACL_OPERATION } from "../../security/acl.ts";
import type { Membership, MembershipTerms } from "../membership.ts";
import type { Session } from "../session.ts";

const INT32_MAX = 2_147_483_647;

/** Kafka's default of max.poll.interval.ms. */
const PROGRESS_TIMEOUT_MS_DEFAULT = 300_000;

export async function joinGroup(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const terms = termsOf(session, parameters);
	try {
		const { memberId, isResumed } = await session.memberships.join(terms);
		await checkAdmitted(session, terms.groupId, memberId);
		return { member_id: memberId, resumed: isResumed } satisfies CallAnswer<"groups.join">;
	} catch (error) {
		if (asMillraceError(error).code !== "GROUP_ID_NOT_FOUND") throw error;
		throw notToJoin(terms.groupId, error);
	}
}

/** Rejects with GROUP_AUTHORIZATION_FAILED where the rules have changed during the join. */
async function checkAdmitted(session: Session, groupId: string, memberId: string): Promise<void> {
	if (mayUse(session, "group", ACL_OPERATION.read, groupId)) return;
	await session.memberships.leave(groupId, memberId, false);
	refuse("group", groupId);
}

function notToJoin(groupId: string, cause: unknown): MillraceError {
	const particular = `${groupId} has members of the classic protocol, and keeps to it`;
	return new MillraceError("INCONSISTENT_GROUP_PROTOCOL", particular, { cause });
}

export async function acknowledgeRevocation(
	session: Session,
	parameters: Arguments,
): Promise<AnswerMap> {
	const given = assignment(parameters);
	await member(session, parameters).acknowledge(given);
	return {};
}

export function tellProgress(session: Session, parameters: Arguments): AnswerMap {
	member(session, parameters).progress();
	return {};
}

export async function commitOffsets(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const topics = byTopic(parameters, LIMITS.groupPartitionsNamedMax, offsetToCommit);
	const memberId = parameters.optionalString("member_id");
	const codes =
		memberId === undefined
			? await commitOfNobody(session, group(parameters), topics)
			: await session.memberships.commit(group(parameters), memberId, topics);
	return {
		topics: codes.map(({ topic, partitions }) => ({
			topic,
			partitions: partitions.map(({ partition, code }) => ({ partition, code })),
		})),
	} satisfies CallAnswer<"groups.commit">;
}

function commitOfNobody(
	session: Session,
	groupId: string,
	topics: readonly TopicPartitions<OffsetToCommit>[],
): Promise<TopicPartitions<PartitionCode>[]> {
	return session.host.groups.commitOffsets({
		groupId,
		memberId: MEMBER_ID_UNKNOWN,
		groupInstanceId: null,
		generation: GENERATION_NONE,
		retentionMs: null,
		knowsGroupIdNotFound: true,
		topics,
	});
}

export function committedOffsets(session: Session, parameters: Arguments): AnswerMap {
	const topics = byTopic(parameters, LIMITS.groupOffsetsAskedMax, partitionNumber);
	const fetched = session.host.groups.fetchOffsets({ groupId: group(parameters), topics });
	return {
		topics: fetched.map(({ topic, partitions }) => ({
			topic,
			partitions: partitions.map(({ partition, offset, leaderEpoch, metadata }) => ({
				partition,
				offset: offset < 0 ? null : offset,
				leader_epoch: leaderEpoch,
				metadata,
			})),
		})),
	} satisfies CallAnswer<"groups.committed">;
}

export async function leaveGroup(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const forGood = parameters.boolean("for_good", false);
	const memberId = parameters.string("member_id");
	await session.memberships.leave(group(parameters), memberId, forGood);
	return {};
}

function member(session: Session, parameters: Arguments): Membership {
	return session.memberships.get(group(parameters), parameters.string("member_id"));
}

function group(parameters: Arguments): string {
	const groupId = parameters.string("group");
	if (groupId === "") throw new MillraceError("INVALID_GROUP_ID", "it is empty");
	if (isNameTooLong(groupId)) throw new MillraceError("INVALID_GROUP_ID", "it is too long");
	return groupId;
}

function termsOf(session: Session, parameters: Arguments): MembershipTerms {
	const topicNames = subscribedTopics(parameters);
	const topicPattern = parameters.optionalString("pattern") ?? "";
	if (topicPattern.length > LIMITS.groupPatternCharactersMax) invalid("pattern", "is too long");
	if (topicNames.length === 0 && topicPattern === "") {
		invalid("topics", "or a pattern is needed");
	}
	const duration = (name: string) => parameters.optionalInteger(name, 1, INT32_MAX);
	const progressTimeoutMs = duration("progress_timeout_ms") ?? PROGRESS_TIMEOUT_MS_DEFAULT;
	return {
		groupId: group(parameters),
		memberId: memberIdOf(parameters),
		instanceId: optionalName(parameters, "instance_id"),
		rackId: optionalName(parameters, "rack_id"),
		topicNames,
		topicPattern,
		assignor: optionalName(parameters, "assignor"),
		rebalanceTimeoutMs: duration("rebalance_timeout_ms") ?? progressTimeoutMs,
		progressTimeoutMs,
		clientId: session.clientName,
		clientHost: `/${session.remoteAddress}`,
	};
}

/** Empty: the client names none. */
function memberIdOf(parameters: Arguments): string {
	const memberId = optionalName(parameters, "member_id") ?? "";
	if (memberId !== "" && memberId.trim() === "") invalid("member_id", "is blank");
	return memberId;
}

function optionalName(parameters: Arguments, name: string): string | null {
	const value = parameters.optionalString(name) ?? null;
	return value !== null && isNameTooLong(value) ? invalid(name, "is too long") : value;
}

function subscribedTopics(parameters: Arguments): string[] {
	const names = parameters.value("topics") ?? [];
	if (!Array.isArray(names)) return invalid("topics", "is not an array");
	if (names.length > LIMITS.groupTopicsNamedMax) {
		invalid("topics", `are more than ${LIMITS.groupTopicsNamedMax}`);
	}
	return names.map((name) => topicName(name));
}

function topicName(value: DecodedValue | undefined): string {
	const isName = typeof value === "string" && value.length <= LIMITS.topicNameCharactersMax;
	return isName ? value : invalid("topics", "has what is no topic's name");
}

/** What was given up, by topic id. */
function assignment(parameters: Arguments): Assignment {
	const room = { left: LIMITS.groupPartitionsNamedMax };
	const list = maps(parameters.value("topics"), "topics").map((map) => {
		const topicId = map.topic_id;
		if (typeof topicId !== "string") return invalid("topic_id", "is not a string");
		return { topicId, partitions: partitions(map, room, partitionNumber) };
	});
	return assignmentFrom(list);
}

/** An array of `{topic, partitions}`. */
function byTopic<Item>(
	parameters: Arguments,
	most: number,
	read: (value: DecodedValue) => Item,
): TopicPartitions<Item>[] {
	const room = { left: most };
	return maps(parameters.value("topics"), "topics").map((map) => ({
		topic: topicName(map.topic),
		partitions: partitions(map, room, read),
	}));
}

function partitions<Item>(
	map: DecodedMap,
	room: { left: number },
	read: (value: DecodedValue) => Item,
): Item[] {
	const list = map.partitions;
	if (!Array.isArray(list)) return invalid("partitions", "is not an array");
	room.left -= list.length;
	if (room.left < 0) return invalid("topics", "has too many partitions");
	return list.map(read);
}

function maps(value: DecodedValue | undefined, name: string): DecodedMap[] {
	if (!Array.isArray(value)) return invalid(name, "is not an array");
	if (value.length > LIMITS.groupPartitionsNamedMax) return invalid(name, "has too many elements");
	return value.map((each) => (isMap(each) ? each : invalid(name, "has what is no map")));
}

function partitionNumber(value: DecodedValue): number {
	return boundedInteger(value, "partition", 0, INT32_MAX);
}

function offsetToCommit(value: DecodedValue): OffsetToCommit {
	if (!isMap(value)) return invalid("partitions", "has what is no map");
	const fields = new Arguments(value);
	return {
		partition: fields.integer("partition", 0, INT32_MAX),
		offset: fields.integer("offset", 0, Number.MAX_SAFE_INTEGER),
		leaderEpoch: fields.optionalInteger("leader_epoch", -1, INT32_MAX) ?? -1,
		metadata: fields.optionalString("metadata") ?? null,
	};
}
