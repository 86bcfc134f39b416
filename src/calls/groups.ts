/** groups.list, .describe, .reset_offsets, .delete */

import { MillraceError } from "../errors.ts";
import type { GroupDescription } from "../groups/description.ts";
import { type ResetScope, type ResetTarget, resetOffsets } from "../groups/offsets/offset-reset.ts";
import type { GroupSummary } from "../groups/requests.ts";
import { LIMITS } from "../limits.ts";
import { type CallAnswer, GROUPS_LISTED_MAX } from "../protocol/calls.ts";
import { CODES } from "../protocol/codes.ts";
import { ACL_OPERATION, CLUSTER_NAME } from "../security/acl.ts";
import { mayUse, refuse } from "./access.ts";
import { Arguments, invalid, isMap } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

const { describe, read } = ACL_OPERATION;

export function listGroups(caller: Caller, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after") ?? "";
	const limit = parameters.optionalInteger("limit", 1, GROUPS_LISTED_MAX) ?? GROUPS_LISTED_MAX;
	const isForAll = mayUse(caller, "cluster", describe, CLUSTER_NAME);
	const isShown = (groupId: string) => isForAll || mayUse(caller, "group", describe, groupId);
	const { groups, more } = caller.host.groups.listGroupsAfter(after, limit, isShown);
	return { groups: groups.map((group) => ({ ...summarized(group) })), more };
}

export async function describeGroup(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const description = await caller.host.groups.describeGroup(parameters.string("group"));
	const isShown = ({ topic }: { topic: string }) => mayUse(caller, "topic", describe, topic);
	return {
		group: described({
			...description,
			members: description.members.map((member) => ({
				...member,
				assignment: member.assignment?.filter(isShown) ?? null,
			})),
			partitions: description.partitions.filter(isShown),
		}),
	};
}

export async function resetGroupOffsets(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const groupId = parameters.string("group");
	const asked = scopes(parameters);
	if (asked.length === 0) checkCommitted(caller, groupId);
	const moves = await resetOffsets(caller.host, {
		groupId,
		scopes: asked,
		target: target(parameters),
		isDryRun: parameters.boolean("dry_run", false),
	});
	return {
		moves: moves.map((move) => ({ ...move })),
	} satisfies CallAnswer<"groups.reset_offsets">;
}

/** Throws TOPIC_AUTHORIZATION_FAILED unless all that a group has committed may be read. */
function checkCommitted(caller: Caller, groupId: string): void {
	for (const { topic } of caller.host.groups.fetchOffsets({ groupId, topics: null })) {
		if (!mayUse(caller, "topic", read, topic)) refuse("topic", topic);
	}
}

export async function deleteGroup(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const group = parameters.string("group");
	const [deleted] = await caller.host.groups.deleteGroups([group]);
	if (deleted !== undefined && deleted.code !== CODES.NONE.code) {
		throw MillraceError.fromNumber(deleted.code, group);
	}
	return {};
}

function scopes(parameters: Arguments): ResetScope[] {
	const topic = parameters.optionalString("topic");
	const partition = parameters.optionalInteger("partition", 0, LIMITS.topicPartitionsMax) ?? null;
	if (topic !== undefined) return [{ topic, partition }];
	return partition === null ? [] : invalid("partition", "needs a topic");
}

function target(parameters: Arguments): ResetTarget {
	const to = parameters.value("to");
	if (to === "earliest" || to === "latest") return { kind: to };
	if (to !== undefined && isMap(to)) {
		const most = Number.MAX_SAFE_INTEGER;
		const fields = new Arguments(to);
		const offset = fields.optionalInteger("offset", 0, most);
		if (offset !== undefined) return { kind: "offset", offset };
		const timestampMs = fields.optionalInteger("timestamp_ms", 0, most);
		if (timestampMs !== undefined) return { kind: "timestamp", timestampMs };
		const records = fields.optionalInteger("shift", -most, most);
		if (records !== undefined) return { kind: "shift", records };
	}
	return invalid("to", "is none of earliest, latest, {offset}, {timestamp_ms}, {shift}");
}

function summarized({ groupId, type, state, protocolType }: GroupSummary) {
	return { group: groupId, type, state, protocol_type: protocolType };
}

function described(description: GroupDescription): AnswerMap {
	return {
		...summarized(description),
		members: description.members.map((member) => ({
			member_id: member.memberId,
			instance_id: member.groupInstanceId,
			client_id: member.clientId,
			client_host: member.clientHost,
			assignment:
				member.assignment?.map(({ topic, partitions }) => ({
					topic,
					partitions: [...partitions],
				})) ?? null,
		})),
		partitions: description.partitions.map(({ topic, partition, memberId, committed, lag }) => ({
			topic,
			partition,
			member_id: memberId,
			committed: committed?.offset ?? null,
			log_start: lag?.logStart ?? null,
			high_watermark: lag?.highWatermark ?? null,
			lag: lag?.records ?? null,
			lag_ms: lag?.ms ?? null,
		})),
	} satisfies CallAnswer<"groups.describe">["group"];
}
