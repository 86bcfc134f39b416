/** Groups of the consumer protocol (KIP-848). */
import { setTimeout as sleep } from "node:timers/promises";

import type { Fields } from "../../kafka/client-codec.ts";
import { type Scenario, scenario } from "./scenario.ts";

const JOINING = 0;
const LEAVING = -1;
const LEAVING_FOR_NOW = -2;
/** Within so many milliseconds of one assignment Kafka makes no other. */
const ASSIGNED_MS_MAX = 1_000;

const heartbeatOf = (groupId: string, memberId: string, topic: string): Fields => ({
	groupId,
	memberId,
	memberEpoch: JOINING,
	rebalanceTimeoutMs: 60_000,
	subscribedTopicNames: [topic],
	topicPartitions: [],
});

/** Member ids are the members' own from version 1 on, and made by the broker before. */
const ownId = (version: number, id: string): string => (version === 0 ? "" : `member-of-${id}`);

export const consumerProtocolScenarios: readonly Scenario[] = [
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "one member",
		prepare: (session) => session.topicForGroups("consumer-protocol"),
		async run(session, version, id, topic) {
			const beat = (label: string, fields: Fields) =>
				session.ask("ConsumerGroupHeartbeat", version, fields, label);
			const joining = heartbeatOf(id, ownId(version, id), topic.name);
			const joined = await beat("joins", joining);
			const memberId = (joined?.memberId as string | null) ?? "";
			const memberEpoch = joined?.memberEpoch as number;
			const own = { groupId: id, memberId };
			const topicPartitions = [{ topicId: topic.topicId, partitions: [0, 1] }];
			await beat("has what it was given", { ...own, memberEpoch, topicPartitions });
			await beat("nothing new", { ...own, memberEpoch });
			await beat("an epoch ahead", { ...own, memberEpoch: memberEpoch + 5 });
			await beat("an unknown member", { ...own, memberId: "nobody", memberEpoch: 1 });
			await beat("an unknown group", { ...own, groupId: "unknown", memberEpoch: 1 });
			await beat("leaves", { ...own, memberEpoch: LEAVING });
			await beat("leaves again", { ...own, memberEpoch: LEAVING });
		},
	}),
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "more members than partitions",
		waits: true,
		prepare: (session) => session.topicForGroups("consumer-protocol-idle"),
		async run(session, version, id, topic) {
			const held = (...partitions: number[]) => [{ topicId: topic.topicId, partitions }];
			/** Heartbeats with the id and the epoch that the member was told last. */
			const member = (name: string) => {
				const memberId = version === 0 ? "" : `member-${name}-of-${id}`;
				let fieldsNext = heartbeatOf(id, memberId, topic.name);
				return async (what: string, fields: Fields = {}) => {
					const asked = { ...fieldsNext, ...fields };
					const label = `${name} ${what}`;
					const answer = await session.ask("ConsumerGroupHeartbeat", version, asked, label);
					const { memberId: idTold = null, memberEpoch = LEAVING } = answer as Fields;
					fieldsNext = { groupId: id, memberId: idTold ?? memberId, memberEpoch };
				};
			};
			const [a, b, c] = [member("a"), member("b"), member("c")];
			await a("joins");
			await a("has both", { topicPartitions: held(0, 1) });
			await sleep(ASSIGNED_MS_MAX);
			await b("joins");
			await a("learns of b");
			await b("waits");
			await a("gave one up", { topicPartitions: held(0) });
			await b("gets one");
			await b("has one", { topicPartitions: held(1) });
			await sleep(ASSIGNED_MS_MAX);
			await c("joins");
			await c("is idle");
			await a("goes on");
			await sleep(ASSIGNED_MS_MAX);
			await a("leaves", { memberEpoch: LEAVING });
			await c("takes over");
		},
	}),
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "what is refused",
		prepare: (session) => session.topicForGroups("consumer-protocol-refused"),
		async run(session, version, id, topic) {
			const joining = heartbeatOf(id, ownId(version, id), topic.name);
			const beat = (label: string, more: Fields) =>
				session.ask("ConsumerGroupHeartbeat", version, { ...joining, ...more }, label);
			await beat("no group", { groupId: "" });
			await beat("no member id and an epoch", { memberId: "", memberEpoch: 1 });
			await beat("an impossible epoch", { memberEpoch: -9 });
			await beat("an unknown assignor", { serverAssignor: "odd" });
			await beat("an empty instance", { instanceId: "" });
			await beat("no rebalance timeout", { rebalanceTimeoutMs: -1 });
			await beat("partitions before it has any", {
				topicPartitions: [{ topicId: topic.topicId, partitions: [0] }],
			});
			await beat("no subscription", { subscribedTopicNames: null });
			if (version === 0) return;
			const by = (subscribedTopicRegex: string): Fields => ({
				subscribedTopicNames: null,
				subscribedTopicRegex,
			});
			await beat("a bad pattern", by("a["));
			await beat("a pattern that only looks like RE2's", by("(?x)a # b"));
			await beat("a pattern repeated twice", by("a**"));
			await beat("a pattern that only RE2 knows", by("\\Qa.b\\E[a&&b]\\<"));
		},
	}),
	scenario({
		api: "ConsumerGroupHeartbeat",
		name: "a static member",
		prepare: (session) => session.topicForGroups("consumer-protocol-static"),
		async run(session, version, id, topic) {
			const beat = (label: string, fields: Fields) =>
				session.ask("ConsumerGroupHeartbeat", version, fields, label);
			const instanceId = "instance";
			const joining = { ...heartbeatOf(id, ownId(version, id), topic.name), instanceId };
			const joined = await beat("joins", joining);
			const memberId = (joined?.memberId as string | null) ?? "";
			await beat("another with its instance", { ...joining, memberId: `${ownId(version, id)}x` });
			const leaving = { groupId: id, memberId, instanceId, memberEpoch: LEAVING_FOR_NOW };
			await beat("leaves for now", leaving);
			await beat("comes back", { ...joining, memberId: `${ownId(version, id)}y` });
		},
	}),
	scenario({
		api: "ConsumerGroupDescribe",
		name: "states",
		prepare: (session) => session.topicForGroups("consumer-protocol-described"),
		async run(session, version, id, topic) {
			const describe = (label: string, groupIds: string[], more: Fields = {}) =>
				session.ask("ConsumerGroupDescribe", version, { groupIds, ...more }, label);
			await describe("unknown", [`${id}-unknown`]);
			await describe("no group", [""]);
			const joining = heartbeatOf(id, `member-of-${id}`, topic.name);
			const joined = await session.prepare("ConsumerGroupHeartbeat", 1, joining);
			await describe("a member", [id], { includeAuthorizedOperations: true });
			await describe("one twice", [id, id]);
			const memberId = joined.memberId as string;
			const left = { groupId: id, memberId, memberEpoch: LEAVING };
			await session.prepare("ConsumerGroupHeartbeat", 1, left);
			await describe("nobody", [id]);
		},
	}),
];
