/**
 * OffsetFetch: v1-10.
 *
 * Behavior:
 * - A partition for which nothing is committed answers offset -1, and so does a group that does not
 *   exist. There are no transactions: every offset is stable.
 *
 * Version notes:
 * - v2: null topics mean all; an error of the group at the top.  v5: leader epochs (KIP-320).
 * - v7: require stable (KIP-447).  v8: several groups (KIP-709).  v9: member and epoch (KIP-848).
 * - v10: topic ids.
 */
import type { FetchedOffset } from "../../groups/requests.ts";
import { CODES } from "../../protocol/codes.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { checkAllowed } from "../access.ts";
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	OFFSET_FETCH,
	type OffsetFetchRequest,
	type OffsetFetchResponse,
} from "../generated/09-offset-fetch.ts";
import { groupCode } from "../groups.ts";
import { findAllowedTopic } from "../topics.ts";
import { NIL_UUID } from "../wire/uuid.ts";

/** From here on one request asks for several groups. */
const GROUPS_VERSION = 8;
/** Before, an error of the group stands at each partition. */
const GROUP_ERROR_VERSION = 2;
/** The member epoch of whoever is no member. */
const EPOCH_NONE = -1;

type RequestGroup = OffsetFetchRequest["groups"][number];
type GroupTopic = NonNullable<RequestGroup["topics"]>[number];
/** A topic of the answer, in the form of the versions that answer groups. */
type AnsweredTopic = NonNullable<OffsetFetchResponse["groups"]>[number]["topics"][number];

/** What a group has committed, or what is wrong with the group. */
interface Fetched {
	readonly code: number;
	readonly topics: readonly AnsweredTopic[];
}

export const offsetFetchApi = serveApi(OFFSET_FETCH, offsetFetch);

function offsetFetch(request: OffsetFetchRequest, exchange: Exchange): OffsetFetchResponse {
	if (exchange.apiVersion >= GROUPS_VERSION) {
		const groups = request.groups.map((group) => {
			const fetched = fetchGroup(group, exchange);
			return { groupId: group.groupId, errorCode: fetched.code, topics: fetched.topics };
		});
		return { groups };
	}
	const asked = request.topics?.map((topic) => ({ ...topic, topicId: NIL_UUID })) ?? null;
	const group = {
		groupId: request.groupId,
		topics: asked,
		memberId: null,
		memberEpoch: EPOCH_NONE,
	};
	const { code, topics } = fetchGroup(group, exchange);
	const isToldByTopics = code !== CODES.NONE.code && exchange.apiVersion < GROUP_ERROR_VERSION;
	const told = isToldByTopics ? (asked ?? []).map((topic) => refuse(topic, code)) : topics;
	return {
		errorCode: code,
		topics: told.map(({ name = "", partitions }) => ({ name, partitions })),
	};
}

function fetchGroup(group: RequestGroup, exchange: Exchange): Fetched {
	const { groupId, topics, memberId, memberEpoch } = group;
	const { catalogue, groups } = exchange.host;
	const isNobody = memberId === null && memberEpoch < 0;
	const member = isNobody ? undefined : { memberId: memberId ?? "", epoch: memberEpoch };
	const found = topics?.map((topic) => findAllowedTopic(exchange, topic)) ?? null;
	const isRefused = (name: string, code: unknown) =>
		typeof code === "number" && (name === "" || code === CODES.TOPIC_AUTHORIZATION_FAILED.code);
	try {
		checkAllowed(exchange, "group", groupId);
		const asked =
			topics?.flatMap(({ name, partitionIndexes }, index) => {
				const topic = found?.[index];
				if (isRefused(name, topic)) return [];
				return { topic: nameOf(topic, name), partitions: partitionIndexes };
			}) ?? null;
		const fetched = groups.fetchOffsets({ groupId, member, topics: asked });
		const shown = fetched.filter(({ topic }) => topics !== null || exchange.allows("topic", topic));
		const answered = shown.map(({ topic, partitions }) => ({
			name: topic,
			topicId: catalogue.get(topic)?.topicId ?? NIL_UUID,
			partitions: partitions.map(respond),
		}));
		const refused = (topics ?? []).flatMap((topic, index) => {
			const code = found?.[index];
			return isRefused(topic.name, code) ? refuse(topic, code as number) : [];
		});
		return { code: CODES.NONE.code, topics: [...answered, ...refused] };
	} catch (error) {
		return { code: groupCode(error), topics: [] };
	}
}

/** A topic that was deleted may still have offsets under its name. */
function nameOf(topic: Topic | number | undefined, name: string): string {
	return typeof topic === "object" ? topic.name : name;
}

function refuse({ name, topicId, partitionIndexes }: GroupTopic, code: number): AnsweredTopic {
	return {
		name,
		topicId,
		partitions: partitionIndexes.map((partition) =>
			respond({ partition, code, offset: -1, leaderEpoch: -1, metadata: "" }),
		),
	};
}

function respond({ partition, code, offset, leaderEpoch, metadata }: FetchedOffset) {
	return {
		partitionIndex: partition,
		committedOffset: offset,
		committedLeaderEpoch: leaderEpoch,
		metadata,
		errorCode: code,
	};
}
