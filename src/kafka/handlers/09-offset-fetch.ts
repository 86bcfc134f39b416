/**
 * OffsetFetch: v1-10.
 *
 * Behavior:
 * - A partition for which nothing is committed answers offset -1, and so does a group that does not
 *   exist. There are no transactions: every offset is stable.
 * - What a request has twice, be it a group, a topic or a partition, is answered once: metadata are
 *   long, and so is all that a group has committed.
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
import { type ServedApi, serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	OFFSET_FETCH,
	type OffsetFetchRequest,
	type OffsetFetchResponse,
} from "../generated/09-offset-fetch.ts";
import { groupCode } from "../groups.ts";
import { checkGroupCount } from "../requests.ts";
import { findAllowedTopic } from "../topics.ts";
import { type LongResponse, serveLongApi } from "../turns.ts";
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

const oneGroupApi = serveApi(OFFSET_FETCH, fetchOneGroup);
const groupsApi = serveLongApi(OFFSET_FETCH, "groups", fetchGroups);

export const offsetFetchApi: ServedApi = {
	...oneGroupApi,
	serve(reader, exchange) {
		const api = exchange.apiVersion >= GROUPS_VERSION ? groupsApi : oneGroupApi;
		return api.serve(reader, exchange);
	},
};

function fetchOneGroup(request: OffsetFetchRequest, exchange: Exchange): OffsetFetchResponse {
	const asked = request.topics?.map((topic) => ({ ...topic, topicId: NIL_UUID })) ?? null;
	const topics = asked === null ? null : distinct(asked);
	const group = { groupId: request.groupId, topics, memberId: null, memberEpoch: EPOCH_NONE };
	const fetched = fetchGroup(group, exchange);
	const { code } = fetched;
	const isToldByTopics = code !== CODES.NONE.code && exchange.apiVersion < GROUP_ERROR_VERSION;
	const told = isToldByTopics ? (topics ?? []).map((topic) => refuse(topic, code)) : fetched.topics;
	return {
		errorCode: code,
		topics: told.map(({ name = "", partitions }) => ({ name, partitions })),
	};
}

function fetchGroups(
	request: OffsetFetchRequest,
	exchange: Exchange,
): LongResponse<OffsetFetchResponse, "groups"> {
	checkGroupCount(request.groups.length);
	const byId = new Map<string, RequestGroup[]>();
	for (const group of request.groups) {
		const same = byId.get(group.groupId);
		if (same === undefined) byId.set(group.groupId, [group]);
		else same.push(group);
	}
	const groups = [...byId.values()];
	const fetchAt = (index: number) => {
		const group = merged(groups[index] as RequestGroup[]);
		const { code, topics } = fetchGroup(group, exchange);
		return { groupId: group.groupId, errorCode: code, topics };
	};
	return { rest: {}, count: groups.length, elementAt: fetchAt };
}

/** All that is asked for of one group, by the member that asks first. */
function merged(same: readonly RequestGroup[]): RequestGroup {
	const isForAll = same.some(({ topics }) => topics === null);
	const topics = isForAll ? null : distinct(same.flatMap((group) => group.topics ?? []));
	return { ...(same[0] as RequestGroup), topics };
}

/** Each topic and each of its partitions once. */
function distinct(topics: readonly GroupTopic[]): GroupTopic[] {
	const byTopic = new Map<string, { topic: GroupTopic; partitions: Set<number> }>();
	for (const topic of topics) {
		const key = `${topic.topicId} ${topic.name}`;
		const known = byTopic.get(key) ?? { topic, partitions: new Set<number>() };
		for (const partition of topic.partitionIndexes) known.partitions.add(partition);
		byTopic.set(key, known);
	}
	return Array.from(byTopic.values(), ({ topic, partitions }) => ({
		...topic,
		partitionIndexes: [...partitions],
	}));
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
