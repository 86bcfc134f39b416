/** Groups of the consumer protocol (KIP-848) over the Kafka protocol, in all versions. */
import { beforeAll, expect, test } from "vitest";
import type { Fields } from "./client-codec.ts";
import { pick } from "./pick.ts";
import type { RawKafkaClient } from "./raw-client.ts";
import { newTopic, useBroker } from "./use-broker.ts";

const used = useBroker();
let topicId: string;

beforeAll(async () => {
	const asked = { topics: [newTopic("orders")], timeoutMs: 60_000 };
	const created = await used.ask("CreateTopics", 7, asked);
	topicId = pick(created, "topics", 0).topicId as string;
});

const joinFields = (groupId: string, memberId: string): Fields => ({
	groupId,
	memberId,
	memberEpoch: 0,
	rebalanceTimeoutMs: 60_000,
	subscribedTopicNames: ["orders"],
	topicPartitions: [],
});

const offsetFields = (groupId: string, memberId: string, epoch: number): Fields => ({
	groupId,
	memberId,
	groupInstanceId: null,
	generationIdOrMemberEpoch: epoch,
	topics: [
		{
			name: "orders",
			partitions: [{ partitionIndex: 0, committedOffset: 5, committedLeaderEpoch: -1 }],
		},
	],
});

const commitCode = async (client: RawKafkaClient, version: number, fields: Fields) => {
	const { topics } = await client.request("OffsetCommit", version, fields);
	return ((topics as Fields[])[0]!.partitions as Fields[])[0]!.errorCode;
};

const fetchCode = async (client: RawKafkaClient, groupId: string, member: Fields) => {
	const topics = [{ name: "orders", partitionIndexes: [0] }];
	const { groups } = await client.request("OffsetFetch", 9, {
		groups: [{ groupId, ...member, topics }],
	});
	return (groups as Fields[])[0]!.errorCode;
};

test.each([0, 1])("ConsumerGroupHeartbeat v%i joins, stays and leaves", async (version) => {
	const client = await used.connect();
	const groupId = `v${version}`;
	const joined = await client.request(
		"ConsumerGroupHeartbeat",
		version,
		joinFields(groupId, version === 0 ? "" : "m"),
	);
	expect(joined).toMatchObject({
		errorCode: 0,
		errorMessage: null,
		memberEpoch: 2,
		heartbeatIntervalMs: 5_000,
		assignment: { topicPartitions: [{ topicId, partitions: [0] }] },
	});
	const memberId = joined.memberId as string;
	const member = { groupId, memberId, memberEpoch: 2 };
	const again = await client.request("ConsumerGroupHeartbeat", version, member);
	expect(again).toMatchObject({ errorCode: 0, memberId, memberEpoch: 2, assignment: null });
	const leaving = { ...member, memberEpoch: -1 };
	expect(await client.request("ConsumerGroupHeartbeat", version, leaving)).toMatchObject({
		errorCode: 0,
		memberId,
		memberEpoch: -1,
		heartbeatIntervalMs: 0,
	});
	expect(await client.request("ConsumerGroupHeartbeat", version, member)).toMatchObject({
		errorCode: 25,
		errorMessage: expect.stringContaining(memberId),
		memberId: null,
	});
});

test("members are told what their group is given, from their next heartbeat on", async () => {
	const client = await used.connect();
	const groupId = "configured";
	await client.request("ConsumerGroupHeartbeat", 1, joinFields(groupId, "m"));
	const name = "consumer.heartbeat.interval.ms";
	const configs = [{ name, configOperation: 0, value: "7000" }];
	const resources = [{ resourceType: 32, resourceName: groupId, configs }];
	const asked = { resources, validateOnly: false };
	const altered = await client.request("IncrementalAlterConfigs", 1, asked);
	expect(altered.responses).toMatchObject([{ errorCode: 0 }]);
	const heartbeat = { groupId, memberId: "m", memberEpoch: 2 };
	const answer = await client.request("ConsumerGroupHeartbeat", 1, heartbeat);
	expect(answer).toMatchObject({ errorCode: 0, heartbeatIntervalMs: 7_000 });
});

test("from v1 on members choose their ids", async () => {
	const client = await used.connect();
	const answer = await client.request("ConsumerGroupHeartbeat", 1, joinFields("nameless", ""));
	expect(answer).toMatchObject({ errorCode: 42, memberId: null, memberEpoch: 0 });
});

test("a regular expression is resolved by the broker, and refused when it is none", async () => {
	const client = await used.connect();
	const join = (subscribedTopicRegex: string) =>
		client.request("ConsumerGroupHeartbeat", 1, {
			...joinFields("expression", "m"),
			subscribedTopicNames: null,
			subscribedTopicRegex,
		});
	expect(await join("(ord")).toMatchObject({ errorCode: 128 });
	expect(await join("ord.*")).toMatchObject({
		errorCode: 0,
		assignment: { topicPartitions: [{ topicId, partitions: [0] }] },
	});
});

test("a regular expression also matches the broker's own topics, as in Kafka", async () => {
	const client = await used.connect();
	const { topics } = await client.request("Metadata", 12, { topics: null });
	const [offsets] = (topics as Fields[]).filter(({ isInternal }) => isInternal);
	const answer = await client.request("ConsumerGroupHeartbeat", 1, {
		...joinFields("internal", "m"),
		subscribedTopicNames: null,
		subscribedTopicRegex: "__.*",
	});
	expect(pick(answer.assignment as Fields, "topicPartitions", 0).topicId).toBe(offsets?.topicId);
});

test.each([0, 1])("ConsumerGroupDescribe v%i", async (version) => {
	const client = await used.connect();
	const groupId = `described${version}`;
	await client.request("ConsumerGroupHeartbeat", 1, {
		...joinFields(groupId, "m"),
		instanceId: "one",
		rackId: "rack",
	});
	const partitions = { topicPartitions: [{ topicId, topicName: "orders", partitions: [0] }] };
	const { groups } = await client.request("ConsumerGroupDescribe", version, {
		groupIds: [groupId, "nobody's"],
		includeAuthorizedOperations: true,
	});
	expect(groups).toMatchObject([
		{
			errorCode: 0,
			groupId,
			groupState: "Stable",
			groupEpoch: 2,
			assignmentEpoch: 2,
			assignorName: "uniform",
			members: [
				{
					memberId: "m",
					instanceId: "one",
					rackId: "rack",
					memberEpoch: 2,
					clientHost: "/127.0.0.1",
					subscribedTopicNames: ["orders"],
					subscribedTopicRegex: "",
					assignment: partitions,
					targetAssignment: partitions,
					...(version >= 1 ? { memberType: 1 } : {}),
				},
			],
			authorizedOperations: 3400,
		},
		{ errorCode: 69, groupId: "nobody's", members: [] },
	]);
	const { groups: listed } = await client.request("ListGroups", 5, { typesFilter: ["Consumer"] });
	expect(listed).toContainEqual({
		groupId,
		protocolType: "consumer",
		groupState: "Stable",
		groupType: "consumer",
	});
});

test("offsets are for members with their present epoch", async () => {
	const client = await used.connect();
	const groupId = "offsets";
	await client.request("ConsumerGroupHeartbeat", 1, joinFields(groupId, "m"));
	expect(await commitCode(client, 9, offsetFields(groupId, "m", 2))).toBe(0);
	expect(await commitCode(client, 9, offsetFields(groupId, "m", 1))).toBe(113);
	expect(await commitCode(client, 8, offsetFields(groupId, "m", 2))).toBe(35);
	expect(await commitCode(client, 9, offsetFields(groupId, "x", 2))).toBe(25);
	expect(await commitCode(client, 9, offsetFields(groupId, "", -1))).toBe(25);
	expect(await fetchCode(client, groupId, { memberId: "m", memberEpoch: 2 })).toBe(0);
	expect(await fetchCode(client, groupId, { memberId: "m", memberEpoch: -1 })).toBe(113);
	expect(await fetchCode(client, groupId, { memberId: "x", memberEpoch: 2 })).toBe(25);
	expect(await fetchCode(client, groupId, { memberId: null, memberEpoch: -1 })).toBe(0);
});
