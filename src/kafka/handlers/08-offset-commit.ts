/**
 * OffsetCommit: v2-10.
 *
 * Behavior:
 * - Answered once the offsets are as durable as the offsets topic promises.
 * - What is wrong with the member or its generation is answered for every partition; what is wrong
 *   with a partition for it alone.
 *
 * Version notes:
 * - v2-4: retention time.  v6: leader epochs (KIP-320).  v7: static members (KIP-345).
 * - v9: GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH (KIP-848).  v10: topic ids (KIP-848).
 */
import type { OffsetToCommit, TopicPartitions } from "../../groups/requests.ts";
import { CODES } from "../../protocol/codes.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import { offsetsSet } from "../audited.ts";
import type { Exchange } from "../exchange.ts";
import {
	OFFSET_COMMIT,
	type OffsetCommitRequest,
	type OffsetCommitResponse,
} from "../generated/08-offset-commit.ts";
import { groupCode } from "../groups.ts";
import { NIL_UUID } from "../wire/uuid.ts";

/** From here on clients tell a group that is gone from a generation that is over. */
const GROUP_ID_NOT_FOUND_VERSION = 9;
const RETENTION_UNSAID = -1;

type RequestTopic = OffsetCommitRequest["topics"][number];
type ResponseTopic = OffsetCommitResponse["topics"][number];

export const offsetCommitApi = serveApi(OFFSET_COMMIT, offsetCommit, (request, { topics }) =>
	offsetsSet(request, topics),
);

async function offsetCommit(
	request: OffsetCommitRequest,
	exchange: Exchange,
): Promise<OffsetCommitResponse> {
	const { host, apiVersion } = exchange;
	const { groupId, memberId, groupInstanceId, retentionTimeMs } = request;
	const topics = request.topics.map((topic) => ({ topic, ...admit(topic, exchange) }));
	try {
		checkAllowed(exchange, "group", groupId);
		const committed = await host.groups.commitOffsets({
			groupId,
			memberId,
			groupInstanceId,
			generation: request.generationIdOrMemberEpoch,
			retentionMs: retentionTimeMs === RETENTION_UNSAID ? null : retentionTimeMs,
			knowsGroupIdNotFound: apiVersion >= GROUP_ID_NOT_FOUND_VERSION,
			topics: topics.flatMap(({ topic, name, code }) =>
				code === CODES.NONE.code ? toCommit(topic, name) : [],
			),
		});
		let next = 0;
		return {
			topics: topics.map(({ topic, code }) => {
				if (code !== CODES.NONE.code) return respond(topic, () => code);
				const codes = committed[next++]?.partitions;
				return respond(topic, (at) => codes?.[at]?.code ?? CODES.UNKNOWN_SERVER_ERROR.code);
			}),
		};
	} catch (error) {
		const code = groupCode(error);
		return { topics: request.topics.map((topic) => respond(topic, () => code)) };
	}
}

/** The name of a topic, and the code that refuses it, if any does. */
function admit(topic: RequestTopic, exchange: Exchange): { name: string; code: number } {
	const isNamed = topic.topicId === NIL_UUID;
	const name = isNamed ? topic.name : exchange.host.catalogue.byId(topic.topicId)?.name;
	if (name === undefined) return { name: "", code: CODES.UNKNOWN_TOPIC_ID.code };
	const isAllowed = exchange.allows("topic", name);
	return { name, code: (isAllowed ? CODES.NONE : CODES.TOPIC_AUTHORIZATION_FAILED).code };
}

function toCommit({ partitions }: RequestTopic, topic: string): TopicPartitions<OffsetToCommit> {
	return {
		topic,
		partitions: partitions.map((each) => ({
			partition: each.partitionIndex,
			offset: each.committedOffset,
			leaderEpoch: each.committedLeaderEpoch,
			metadata: each.committedMetadata,
		})),
	};
}

/** `codeAt` gives the code of the partition at an index. */
function respond(
	{ name, topicId, partitions }: RequestTopic,
	codeAt: (index: number) => number,
): ResponseTopic {
	return {
		name,
		topicId,
		partitions: partitions.map(({ partitionIndex }, at) => ({
			partitionIndex,
			errorCode: codeAt(at),
		})),
	};
}
