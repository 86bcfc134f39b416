/** Groups whose members speak both group protocols, and that go from one to the other (KIP-848). */
import { setTimeout as sleep } from "node:timers/promises";

import { encodeMessage, type Fields } from "../../kafka/client-codec.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { Session, TopicNames } from "./session.ts";

/** Versions for what only prepares, and for what is asked beside the API in question. */
const JOIN = 7;
const SYNC = 4;
const BEAT = 3;
const COMMIT = 8;
const CONSUMER = 1;
const DESCRIBE = 1;
const OWNED_VERSION = 1;
/** How long Kafka takes to commit what it has decided about a group, at most. */
const COMMITTED_MS = 3_000;
const JOINING = 0;
const LEAVING = -1;

interface Owned {
	readonly topic: string;
	readonly partitions: readonly number[];
}

const subscription = (topic: string, owned: readonly Owned[] = []): Buffer =>
	Buffer.concat([
		Buffer.from([0, OWNED_VERSION]),
		encodeMessage("ConsumerProtocolSubscription", OWNED_VERSION, {
			topics: [topic],
			ownedPartitions: owned as never,
		}),
	]);

const assignment = (
	topic: string,
	partitions: readonly number[],
	userData: Buffer | null = null,
): Buffer =>
	Buffer.concat([
		Buffer.from([0, OWNED_VERSION]),
		encodeMessage("ConsumerProtocolAssignment", OWNED_VERSION, {
			assignedPartitions: [{ topic, partitions }] as never,
			userData,
		}),
	]);

function joinRequest(groupId: string, topic: string, more: Fields = {}): Fields {
	return {
		groupId,
		sessionTimeoutMs: 60_000,
		rebalanceTimeoutMs: 60_000,
		memberId: "",
		groupInstanceId: null,
		protocolType: "consumer",
		protocols: [
			{ name: "range", metadata: subscription(topic) },
			{ name: "roundrobin", metadata: subscription(topic) },
		],
		...more,
	};
}

interface Member {
	readonly memberId: string;
	readonly generationId: number;
}

/** A member that is alone in its classic group, which is stable, and has both partitions. */
async function classicMember(
	session: Session,
	groupId: string,
	topic: TopicNames,
	more: Fields = {},
	userData: Buffer | null = null,
): Promise<Member> {
	const join = (memberId: string) =>
		session.prepare("JoinGroup", JOIN, joinRequest(groupId, topic.name, { memberId, ...more }));
	const first = await join("");
	const joined = first.errorCode === 0 ? first : await join(first.memberId as string);
	const memberId = joined.memberId as string;
	const generationId = joined.generationId as number;
	const { groupInstanceId = null } = more;
	const assigned = assignment(topic.name, [0, 1], userData);
	const assignments = [{ memberId, assignment: assigned }];
	const synced = { groupId, memberId, generationId, groupInstanceId, assignments };
	const { errorCode } = await session.prepare("SyncGroup", SYNC, synced);
	if (errorCode !== 0) throw new Error(`the group is not stable: error ${errorCode}`);
	return { memberId, generationId };
}

const consumerJoin = (groupId: string, topic: TopicNames, more: Fields = {}): Fields => ({
	groupId,
	memberId: `consumer-of-${groupId}`,
	memberEpoch: JOINING,
	rebalanceTimeoutMs: 60_000,
	subscribedTopicNames: [topic.name],
	topicPartitions: [],
	...more,
});

/** Shorthands for what members of one group say, the answers noted. */
function talk(session: Session, groupId: string, topic: TopicNames) {
	const ask = (api: string, version: number, label: string, fields: Fields) =>
		session.ask(api, version, { groupId, ...fields }, label);
	const owned = (partitions: readonly number[]) =>
		subscription(topic.name, partitions.length > 0 ? [{ topic: topic.name, partitions }] : []);
	return {
		join: (label: string, memberId: string, partitions: readonly number[], more: Fields = {}) =>
			session.ask(
				"JoinGroup",
				JOIN,
				joinRequest(groupId, topic.name, {
					memberId,
					protocols: [{ name: "range", metadata: owned(partitions) }],
					...more,
				}),
				label,
			),
		sync: (label: string, member: Fields) =>
			ask("SyncGroup", SYNC, label, { groupInstanceId: null, assignments: [], ...member }),
		beat: (label: string, member: Fields) =>
			ask("Heartbeat", BEAT, label, { groupInstanceId: null, ...member }),
		consumer: (label: string, fields: Fields) =>
			ask("ConsumerGroupHeartbeat", CONSUMER, label, {
				memberId: `consumer-of-${groupId}`,
				...fields,
			}),
		commit: (label: string, memberId: string, generation: number, version = COMMIT) =>
			ask("OffsetCommit", version, label, {
				generationIdOrMemberEpoch: generation,
				memberId,
				topics: [
					{
						...topic,
						partitions: [{ partitionIndex: 0, committedOffset: 5, committedMetadata: "" }],
					},
				],
			}),
		describe: (label: string) =>
			session.ask("ConsumerGroupDescribe", DESCRIBE, { groupIds: [groupId] }, label),
		describeClassic: (label: string) =>
			session.ask("DescribeGroups", 5, { groups: [groupId] }, label),
		owns: (partitions: readonly number[]) => [{ topicId: topic.topicId, partitions }],
	};
}

const epochOf = (answer: Fields | null): number =>
	(answer?.generationId ?? answer?.memberEpoch) as number;

export const migrationScenarios: readonly Scenario[] = [
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "a classic group goes over and back",
		from: 1,
		prepare: (session) => session.topicForGroups("migration-both-ways"),
		async run(session, _, id, topic) {
			const { memberId, generationId } = await classicMember(session, id, topic);
			const say = talk(session, id, topic);
			const joined = await say.consumer("joins", consumerJoin(id, topic));
			await say.describe("of both protocols");
			await say.describeClassic("of both protocols");
			await say.commit("by its generation", memberId, generationId);
			await say.commit("by another generation", memberId, generationId + 1);
			await say.sync("before it has joined again", { memberId, generationId });
			await say.beat("of the classic member", { memberId, generationId });
			const again = await say.join("of the classic member", memberId, [0, 1]);
			let generation = epochOf(again);
			await say.describe("it is to give up");
			await say.beat("while it is to give up", { memberId, generationId: generation });
			await say.sync("what it keeps", { memberId, generationId: generation });
			await say.sync("of an old generation", { memberId, generationId: generation + 7 });
			await say.sync("of nobody", { memberId: "nobody", generationId: generation });
			const other = { memberId: `consumer-of-${id}`, generationId: epochOf(joined) };
			await say.sync("of the other protocol", other);
			await say.beat("of the other protocol", other);
			const kept = await say.join("with what it keeps", memberId, [0]);
			generation = epochOf(kept);
			await say.sync("the same again", { memberId, generationId: generation });
			await say.beat("nothing new", { memberId, generationId: generation });
			const epoch = epochOf(joined);
			await say.consumer("gets its part", { memberEpoch: epoch, topicPartitions: [] });
			await say.describe("settled");
			await say.commit("after that", memberId, generation);
			await say.consumer("leaves", { memberEpoch: LEAVING });
			await say.describe("is classic again");
			await say.describeClassic("is classic again");
			await say.beat("of whom is left", { memberId, generationId: generation });
			const last = await say.join("of whom is left", memberId, [0], {
				protocols: joinRequest(id, topic.name).protocols as never,
			});
			const assignments = [{ memberId, assignment: assignment(topic.name, [0, 1]) }];
			await say.sync("of whom is left", {
				memberId,
				generationId: epochOf(last),
				assignments: assignments as never,
			});
			await say.describeClassic("stable");
		},
	}),
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "classic members join a consumer group",
		from: 1,
		prepare: (session) => session.topicForGroups("migration-joins"),
		async run(session, _, id, topic) {
			const say = talk(session, id, topic);
			const joined = await say.consumer("joins", consumerJoin(id, topic));
			const owned = say.owns([0, 1]);
			await say.consumer("has both", { memberEpoch: epochOf(joined), topicPartitions: owned });
			const asked = joinRequest(id, topic.name);
			await say.join("as another type", "", [], { protocolType: "connect" });
			await say.join("without protocols", "", [], { protocols: [] });
			const refused = await session.ask("JoinGroup", JOIN, asked, "without a member id");
			const memberId = refused?.memberId as string;
			const member = await say.join("with the id", memberId, []);
			const generationId = epochOf(member);
			await say.join("with protocols that others do not have", "", [], {
				protocols: [{ name: "odd", metadata: subscription(topic.name) }] as never,
				groupInstanceId: "odd",
			});
			await say.sync("nothing yet", { memberId, generationId });
			await say.beat("waits for its part", { memberId, generationId });
			const given = await say.consumer("gives up", {
				memberEpoch: epochOf(joined),
				topicPartitions: owned,
			});
			await say.beat("still waits", { memberId, generationId });
			await say.consumer("has given up", {
				memberEpoch: epochOf(given),
				topicPartitions: say.owns([0]),
			});
			await say.beat("may have its part", { memberId, generationId });
			const again = await say.join("for its part", memberId, []);
			await say.sync("its part", { memberId, generationId: epochOf(again) });
			await say.beat("has it", { memberId, generationId: epochOf(again) });
			await say.describe("settled");
			await say.join("under an id that nobody gave out", "odd-id", []);
			await session.ask(
				"LeaveGroup",
				3,
				{
					groupId: id,
					members: [
						{ memberId, groupInstanceId: null },
						{ memberId: "nobody", groupInstanceId: null },
						{ memberId: "", groupInstanceId: "nobody" },
					],
				},
				"two that are and one that is not",
			);
			await say.describe("without who left");
			await session.ask(
				"LeaveGroup",
				2,
				{ groupId: id, memberId: `consumer-of-${id}` },
				"of the consumer protocol",
			);
			await say.describeClassic("the last of the other protocol left");
		},
	}),
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "static members change their protocol",
		from: 1,
		prepare: (session) => session.topicForGroups("migration-static"),
		async run(session, _, id, topic) {
			const instance = "instance";
			const say = talk(session, id, topic);
			const member = await classicMember(session, id, topic, { groupInstanceId: instance });
			const joined = await say.consumer("in its place", {
				...consumerJoin(id, topic),
				instanceId: instance,
			});
			await say.describe("the new one");
			await say.beat("of the one before", { ...member, groupInstanceId: instance } as never);
			await say.consumer("has both", {
				instanceId: instance,
				memberEpoch: epochOf(joined),
				topicPartitions: say.owns([0, 1]),
			});
			const other = await say.join("back in its place", "", [], { groupInstanceId: instance });
			await say.describe("no consumer group");
			await say.describeClassic("classic again");
			const memberId = other?.memberId as string;
			const mine = { memberId, generationId: epochOf(other), groupInstanceId: instance };
			await say.sync("of the new one", mine);
			await say.beat("of the new one", mine);
			await say.consumer("of the one before", {
				instanceId: instance,
				memberEpoch: epochOf(joined),
			});
		},
	}),
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "classic groups that stay what they are",
		from: 1,
		prepare: (session) => session.topicForGroups("migration-refused"),
		async run(session, _, id, topic) {
			const protocols = [{ name: "range", metadata: subscription(topic.name) }];
			await classicMember(session, id, topic, { protocolType: "other", protocols } as never);
			await talk(session, id, topic).consumer("of another type", consumerJoin(id, topic));
			const odd = `${id}-odd`;
			const garbage = [{ name: "range", metadata: Buffer.from([0, 0, 9]) }];
			await classicMember(session, odd, topic, { protocols: garbage } as never);
			await talk(session, odd, topic).consumer("of garbage", consumerJoin(odd, topic));
			for (const [name, userData] of [
				["empty", Buffer.alloc(0)],
				["custom", Buffer.of(1, 2, 3)],
			] as const) {
				const custom = `${id}-${name}`;
				await classicMember(session, custom, topic, {}, userData);
				const joining = consumerJoin(custom, topic);
				await talk(session, custom, topic).consumer(`with ${name} data of an assignor`, joining);
			}
			const rebalancing = `${id}-rebalancing`;
			const first = await session.prepare("JoinGroup", 3, joinRequest(rebalancing, topic.name));
			const say = talk(session, rebalancing, topic);
			await say.consumer("before the first sync", consumerJoin(rebalancing, topic));
			const memberId = first.memberId as string;
			await say.beat("joined before", { memberId, generationId: first.generationId as number });
			await say.describe("joined before");
			await say.consumer("a member that is none", { memberId: "nobody", memberEpoch: 3 });
		},
	}),
	scenario({
		api: "JoinGroup",
		name: "a consumer group without members",
		waits: true,
		prepare: (session) => session.topicForGroups("migration-empty"),
		async run(session, version, id, topic) {
			const say = talk(session, id, topic);
			await session.prepare("ConsumerGroupHeartbeat", 1, consumerJoin(id, topic));
			const left = { groupId: id, memberId: `consumer-of-${id}`, memberEpoch: LEAVING };
			await session.prepare("ConsumerGroupHeartbeat", 1, left);
			const known = joinRequest(id, topic.name, { memberId: "nobody" });
			await session.ask("JoinGroup", version, known, "under an id");
			await session.ask("JoinGroup", version, joinRequest(id, topic.name), "without an id");
			// Kafka describes what is committed, and answers a join that is refused before that is.
			await sleep(COMMITTED_MS);
			await say.describe("is classic");
			await say.describeClassic("is classic");
		},
	}),
	scenario({
		api: "JoinGroup",
		name: "a group of the consumer protocol",
		prepare: (session) => session.topicForGroups("migration-versions"),
		async run(session, version, id, topic) {
			await session.prepare("ConsumerGroupHeartbeat", 1, consumerJoin(id, topic));
			const join = (label: string, more: Fields = {}) =>
				session.ask("JoinGroup", version, joinRequest(id, topic.name, more), label);
			const first = await join("without an id");
			if (first?.errorCode !== 0)
				await join("with the id", { memberId: first?.memberId as string });
			await join("garbage", { protocols: [{ name: "range", metadata: Buffer.of(1) }] as never });
		},
	}),
];
