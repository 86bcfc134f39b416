/** Groups of the classic protocol and their offsets, one member at a time. */
import { encodeMessage, type Fields } from "../../kafka/client-codec.ts";
import { unknownTopic } from "./record-scenarios.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { Session, TopicNames } from "./session.ts";

/** Versions for what only prepares. */
const JOIN = 7;
const SYNC = 4;
const COMMIT = 8;
/** What a member id looks like that no broker gave out. */
const UNKNOWN_MEMBER = "nobody-12345678-1234-4234-8234-123456789abc";

const subscription = (topic: string): Buffer =>
	Buffer.concat([
		Buffer.from([0, 0]),
		encodeMessage("ConsumerProtocolSubscription", 0, { topics: [topic] }),
	]);

function joinRequest(groupId: string, more: Fields = {}): Fields {
	return {
		groupId,
		sessionTimeoutMs: 60_000,
		rebalanceTimeoutMs: 60_000,
		memberId: "",
		groupInstanceId: null,
		protocolType: "consumer",
		protocols: [{ name: "range", metadata: subscription("topic") }],
		...more,
	};
}

interface Member {
	readonly memberId: string;
	readonly generationId: number;
}

/** A member that is alone in its group, which is stable when this resolves. */
async function member(session: Session, groupId: string, more: Fields = {}): Promise<Member> {
	const first = await session.prepare("JoinGroup", JOIN, joinRequest(groupId, more));
	const memberId = first.memberId as string;
	const joined =
		first.errorCode === 0
			? first
			: await session.prepare("JoinGroup", JOIN, joinRequest(groupId, { ...more, memberId }));
	const generationId = joined.generationId as number;
	const assignments = [{ memberId, assignment: Buffer.from("its part") }];
	const synced = { groupId, memberId, generationId, groupInstanceId: null, assignments };
	const { errorCode } = await session.prepare("SyncGroup", SYNC, synced);
	if (errorCode !== 0) throw new Error(`the group is not stable: error ${errorCode}`);
	return { memberId, generationId };
}

/** Lets Kafka make and load its offsets topic, so that no group waits for it. */
async function coordinator(session: Session): Promise<void> {
	const asked = { key: "group", keyType: 0 };
	await session.untilDone(() => session.prepare("FindCoordinator", 2, asked));
	const all = { groupId: "group", topics: null };
	await session.untilDone(() => session.prepare("OffsetFetch", 5, all));
}

async function withTopic(session: Session, name: string, partitions = 2): Promise<TopicNames> {
	await coordinator(session);
	return session.topic(name, partitions);
}

const joinScenarios: Scenario[] = [
	scenario({
		api: "JoinGroup",
		name: "one member",
		prepare: coordinator,
		async run(session, version, id) {
			const join = (label: string, more: Fields) =>
				session.ask("JoinGroup", version, joinRequest(id, more), label);
			const first = await join("without a member id", {});
			const memberId = first?.memberId as string;
			const joined = first?.errorCode === 0 ? first : await join("with the id", { memberId });
			await join("again", { memberId });
			const assignments = [{ memberId, assignment: Buffer.from("part") }];
			const generationId = (joined?.generationId as number) + 1;
			const synced = { groupId: id, memberId, generationId, groupInstanceId: null, assignments };
			await session.prepare("SyncGroup", SYNC, synced);
			await join("as another type", { protocolType: "connect" });
			await join("with other protocols", { protocols: [{ name: "odd", metadata: Buffer.of(1) }] });
			await join("with an unknown id", { memberId: UNKNOWN_MEMBER });
		},
	}),
	scenario({
		api: "JoinGroup",
		name: "what cannot join",
		prepare: coordinator,
		async run(session, version, id) {
			const join = (label: string, more: Fields) =>
				session.ask("JoinGroup", version, joinRequest(id, more), label);
			await join("no group", { groupId: "" });
			await join("a session that is too short", { sessionTimeoutMs: 5_999 });
			await join("a session that is too long", { sessionTimeoutMs: 1_800_001 });
			await join("an unknown id", { memberId: UNKNOWN_MEMBER });
			await join("no protocols", { protocols: [] });
			await join("no type", { protocolType: "" });
		},
	}),
	scenario({
		api: "JoinGroup",
		name: "a static member",
		from: 5,
		prepare: coordinator,
		async run(session, version, id) {
			const groupInstanceId = "instance";
			const join = (label: string, more: Fields = {}) =>
				session.ask("JoinGroup", version, joinRequest(id, { groupInstanceId, ...more }), label);
			const first = await join("first");
			const memberId = first?.memberId as string;
			const generationId = first?.generationId as number;
			const synced = { groupId: id, memberId, generationId, groupInstanceId };
			await session.prepare("SyncGroup", SYNC, {
				...synced,
				assignments: [{ memberId, assignment: Buffer.from("part") }],
			});
			await join("comes back");
			await join("the one before", { memberId });
			const beat = { groupId: id, generationId, memberId, groupInstanceId };
			await session.ask("Heartbeat", 3, beat, "of the one before");
			await join("an empty instance", { groupId: `${id}-empty`, groupInstanceId: "" });
		},
	}),
];

const syncScenarios: Scenario[] = [
	scenario({
		api: "SyncGroup",
		name: "assignments",
		prepare: coordinator,
		async run(session, version, id) {
			const first = await session.prepare("JoinGroup", JOIN, joinRequest(id));
			const memberId = first.memberId as string;
			const joined = await session.prepare("JoinGroup", JOIN, joinRequest(id, { memberId }));
			const own = { groupId: id, memberId, generationId: joined.generationId as number };
			const assignments = [{ memberId, assignment: Buffer.from("its part") }];
			const sync = (label: string, more: Fields) =>
				session.ask("SyncGroup", version, { ...own, assignments, ...more }, label);
			await sync("an unknown member", { memberId: UNKNOWN_MEMBER });
			await sync("a later generation", { generationId: 99 });
			await sync("no group", { groupId: "" });
			await sync("an unknown group", { groupId: "unknown" });
			if (version >= 5) {
				await sync("another type", { protocolType: "connect", protocolName: "range" });
				await sync("another protocol", { protocolType: "consumer", protocolName: "odd" });
			}
			await sync(
				"the leader",
				version >= 5 ? { protocolType: "consumer", protocolName: "range" } : {},
			);
			await sync("again, without assignments", { assignments: [] });
		},
	}),
];

const heartbeatScenarios: Scenario[] = [
	scenario({
		api: "Heartbeat",
		name: "members",
		prepare: coordinator,
		async run(session, version, id) {
			const own = { groupId: id, ...(await member(session, id)) };
			const beat = (label: string, more: Fields) =>
				session.ask("Heartbeat", version, { ...own, ...more }, label);
			await beat("its own", {});
			await beat("an earlier generation", { generationId: own.generationId - 1 });
			await beat("an unknown member", { memberId: UNKNOWN_MEMBER });
			await beat("no member", { memberId: "" });
			await beat("an unknown group", { groupId: "unknown" });
			await beat("no group", { groupId: "" });
		},
	}),
];

const leaveScenarios: Scenario[] = [
	scenario({
		api: "LeaveGroup",
		name: "members",
		prepare: coordinator,
		async run(session, version, id) {
			const { memberId } = await member(session, id);
			const leave = (label: string, groupId: string, leaving: string) => {
				const members = [{ memberId: leaving, groupInstanceId: null }];
				const asked = version < 3 ? { groupId, memberId: leaving } : { groupId, members };
				return session.ask("LeaveGroup", version, asked, label);
			};
			await leave("an unknown member", id, UNKNOWN_MEMBER);
			await leave("an unknown group", "unknown", memberId);
			await leave("no group", "", memberId);
			await leave("its own", id, memberId);
			await leave("again", id, memberId);
			if (version < 3) return;
			await session.ask("LeaveGroup", version, { groupId: id, members: [] }, "nobody");
			const members = [{ memberId: "", groupInstanceId: "unknown" }];
			await session.ask("LeaveGroup", version, { groupId: id, members }, "an unknown instance");
		},
	}),
];

function commitRequest(
	groupId: string,
	topic: TopicNames,
	part: Fields = {},
	more: Fields = {},
): Fields {
	const partition = {
		partitionIndex: 0,
		committedOffset: 5,
		committedMetadata: "metadata",
		...part,
	};
	return {
		groupId,
		generationIdOrMemberEpoch: -1,
		memberId: "",
		topics: [{ ...topic, partitions: [partition] }],
		...more,
	};
}

const commitScenarios: Scenario[] = [
	scenario({
		api: "OffsetCommit",
		name: "without members",
		prepare: (session) => withTopic(session, "commit-alone"),
		async run(session, version, id, topic) {
			const commit = (label: string, part: Fields, more: Fields = {}, of: TopicNames = topic) =>
				session.ask("OffsetCommit", version, commitRequest(id, of, part, more), label);
			await commit("an offset", {});
			await commit("no metadata", { committedMetadata: null });
			await commit("long metadata", { committedMetadata: "x".repeat(4_097) });
			await commit("a negative offset", { committedOffset: -1 });
			await commit("a partition that is not there", { partitionIndex: 9 });
			await commit("an unknown topic", {}, {}, unknownTopic);
			await commit("no group", {}, { groupId: "" });
			await commit("a generation without a member", {}, { generationIdOrMemberEpoch: 1 });
			await commit("an unknown member", {}, { memberId: UNKNOWN_MEMBER });
			await session.ask("OffsetCommit", version, { groupId: id, topics: [] }, "nothing");
		},
	}),
	scenario({
		api: "OffsetCommit",
		name: "of a member",
		prepare: (session) => withTopic(session, "commit-member"),
		async run(session, version, id, topic) {
			const { memberId, generationId } = await member(session, id);
			const commit = (label: string, more: Fields) => {
				const own = { memberId, generationIdOrMemberEpoch: generationId, ...more };
				return session.ask("OffsetCommit", version, commitRequest(id, topic, {}, own), label);
			};
			await commit("its own", {});
			await commit("an earlier generation", { generationIdOrMemberEpoch: generationId - 1 });
			await commit("another member", { memberId: UNKNOWN_MEMBER });
			await commit("nobody", { memberId: "", generationIdOrMemberEpoch: -1 });
		},
	}),
];

const fetchScenarios: Scenario[] = [
	scenario({
		api: "OffsetFetch",
		name: "committed and not",
		async prepare(session) {
			const topic = await withTopic(session, "offset-fetch");
			await session.prepare("OffsetCommit", COMMIT, commitRequest("fetched", topic));
			return topic;
		},
		async run(session, version, _, topic) {
			const fetch = (label: string, groupId: string, topics: Fields[] | null) => {
				const asked = version < 8 ? { groupId, topics } : { groups: [{ groupId, topics }] };
				return session.ask("OffsetFetch", version, asked as Fields, label);
			};
			const { name, topicId } = topic;
			const named = version < 8 ? { name } : { name, topicId };
			await fetch("two partitions", "fetched", [{ ...named, partitionIndexes: [0, 1] }]);
			await fetch("one that is not there", "fetched", [{ ...named, partitionIndexes: [9] }]);
			const other = version < 8 ? { name: "unknown" } : unknownTopic;
			await fetch("an unknown topic", "fetched", [{ ...other, partitionIndexes: [0] }] as Fields[]);
			await fetch("an unknown group", "unknown", [{ ...named, partitionIndexes: [0] }]);
			await fetch("no group", "", [{ ...named, partitionIndexes: [0] }]);
			await fetch("no topics", "fetched", []);
			if (version >= 2) await fetch("all topics", "fetched", null);
			if (version >= 2) await fetch("all topics of nobody", "unknown", null);
		},
	}),
	scenario({
		api: "OffsetFetch",
		name: "what is named twice",
		async prepare(session) {
			const topic = await withTopic(session, "offset-fetch-twice");
			await session.prepare("OffsetCommit", COMMIT, commitRequest("fetched-twice", topic));
			return topic;
		},
		async run(session, version, _, { name, topicId }) {
			const groupId = "fetched-twice";
			const partitions = { name, partitionIndexes: [0, 0] };
			const group = { groupId, topics: [{ name, topicId, partitionIndexes: [0] }] };
			const asked =
				version < 8 ? { groupId, topics: [partitions] } : { groups: [group, group] as Fields[] };
			await session.ask("OffsetFetch", version, asked);
		},
	}),
];

const describeScenarios: Scenario[] = [
	scenario({
		api: "DescribeGroups",
		name: "states",
		prepare: (session) => withTopic(session, "describe-groups"),
		async run(session, version, id, topic) {
			const describe = (label: string, groups: string[], more: Fields = {}) =>
				session.ask("DescribeGroups", version, { groups, ...more }, label);
			await describe("unknown", [`${id}-unknown`]);
			await describe("no group", [""]);
			await session.prepare("OffsetCommit", COMMIT, commitRequest(`${id}-empty`, topic));
			await describe("only offsets", [`${id}-empty`]);
			await member(session, id);
			await describe("a member", [id]);
			await describe("two", [id, `${id}-empty`]);
			await describe("one twice", [id, id]);
			if (version >= 3) await describe("operations", [id], { includeAuthorizedOperations: true });
		},
	}),
	scenario({
		api: "ListGroups",
		name: "groups of two states",
		async prepare(session) {
			const topic = await withTopic(session, "list-groups");
			await session.prepare("OffsetCommit", COMMIT, commitRequest("listed-empty", topic));
			await member(session, "listed-stable");
		},
		async run(session, version) {
			const list = async (label: string, filters: Fields) => {
				const answer = await session.prepare("ListGroups", version, filters);
				const groups = (answer.groups as readonly Fields[]).filter(({ groupId }) =>
					String(groupId).startsWith("listed-"),
				);
				groups.sort((left, right) => (String(left.groupId) < String(right.groupId) ? -1 : 1));
				session.note(label, { ...answer, groups });
			};
			await list("all", {});
			if (version < 4) return;
			await list("stable ones", { statesFilter: ["Stable"] });
			await list("of no state", { statesFilter: ["Sleeping"] });
			if (version < 5) return;
			await list("classic ones", { typesFilter: ["classic"] });
			await list("of no type", { typesFilter: ["odd"] });
		},
	}),
];

const deleteScenarios: Scenario[] = [
	scenario({
		api: "DeleteGroups",
		name: "with and without members",
		prepare: (session) => withTopic(session, "delete-groups"),
		async run(session, version, id, topic) {
			await session.prepare("OffsetCommit", COMMIT, commitRequest(`${id}-empty`, topic));
			await member(session, id);
			const remove = (label: string, ...groupsNames: string[]) =>
				session.ask("DeleteGroups", version, { groupsNames }, label);
			await remove("without members", `${id}-empty`);
			await remove("again", `${id}-empty`);
			await remove("with a member", id);
			await remove("unknown and nameless", `${id}-unknown`, "");
		},
	}),
	scenario({
		api: "OffsetDelete",
		name: "with and without members",
		prepare: (session) => withTopic(session, "offset-delete"),
		async run(session, version, id, topic) {
			const forget = (label: string, groupId: string, name = topic.name, partitionIndex = 0) => {
				const topics = [{ name, partitions: [{ partitionIndex }] }];
				return session.ask("OffsetDelete", version, { groupId, topics }, label);
			};
			await session.prepare("OffsetCommit", COMMIT, commitRequest(`${id}-empty`, topic));
			await forget("without members", `${id}-empty`);
			await forget("again", `${id}-empty`);
			await forget("a partition that is not there", `${id}-empty`, topic.name, 9);
			await forget("an unknown topic", `${id}-empty`, "unknown");
			await forget("an unknown group", `${id}-unknown`);
			await forget("no group", "");
			const protocols = [{ name: "range", metadata: subscription(topic.name) }];
			await member(session, id, { protocols });
			await forget("subscribed", id);
			await forget("not subscribed", id, "other");
		},
	}),
];

export const groupScenarios: readonly Scenario[] = [
	...joinScenarios,
	...syncScenarios,
	...heartbeatScenarios,
	...leaveScenarios,
	...commitScenarios,
	...fetchScenarios,
	...describeScenarios,
	...deleteScenarios,
];
