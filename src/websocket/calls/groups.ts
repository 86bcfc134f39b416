/** groups.list, .describe, .reset_offsets, .delete */
import { MillraceError } from "../../errors.ts";
import type { GroupDescription } from "../../groups/description.ts";
import {
	type ResetScope,
	type ResetTarget,
	resetOffsets,
} from "../../groups/offsets/offset-reset.ts";
import type { GroupSummary } from "../../groups/requests.ts";
import { LIMITS } from "../../limits.ts";
import { type CallAnswer, GROUPS_LISTED_MAX } from "../../protocol/calls.ts";
import { CODES } from "../../protocol/codes.ts";
import { Arguments, invalid, isMap } from "../arguments.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";

export function listGroups(session: Session, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after") ?? "";
	const limit = parameters.optionalInteger("limit", 1, GROUPS_LISTED_MAX) ?? GROUPS_LISTED_MAX;
	const { groups, more } = session.host.groups.listGroupsAfter(after, limit);
	return { groups: groups.map((group) => ({ ...summarized(group) })), more };
}

export async function describeGroup(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const description = await session.host.groups.describeGroup(parameters.string("group"));
	return { group: described(description) };
}

export async function resetGroupOffsets(
	session: Session,
	parameters: Arguments,
): Promise<AnswerMap> {
	const moves = await resetOffsets(session.host, {
		groupId: parameters.string("group"),
		scopes: scopes(parameters),
		target: target(parameters),
		isDryRun: parameters.boolean("dry_run", false),
	});
	return {
		moves: moves.map((move) => ({ ...move })),
	} satisfies CallAnswer<"groups.reset_offsets">;
}

export async function deleteGroup(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const group = parameters.string("group");
	const [deleted] = await session.host.groups.deleteGroups([group]);
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
