/** Classic groups over the Kafka protocol, at their oldest and newest versions. */
import { beforeAll, describe, expect, test } from "vitest";
import { decodeResponse, type Fields } from "./client-codec.ts";
import { pick } from "./pick.ts";
import type { RawKafkaClient } from "./raw-client.ts";
import { useBroker } from "./use-broker.ts";

const used = useBroker();

beforeAll(async () => {
	await used.ask("Metadata", 9, { topics: [{ name: "orders" }] });
});

const joinFields = (groupId: string, memberId = ""): Fields => ({
	groupId,
	// Longer than any test runs: nobody is out because the machine is busy.
	sessionTimeoutMs: 600_000,
	rebalanceTimeoutMs: 600_000,
	memberId,
	groupInstanceId: null,
	protocolType: "consumer",
	protocols: [{ name: "range", metadata: Buffer.from("what it says about itself") }],
	reason: null,
});

/** Joins as the only member and syncs; resolves to what requests of members carry. */
async function becomeOnlyMember(client: RawKafkaClient, groupId: string): Promise<Fields> {
	const sentAway = await client.request("JoinGroup", 9, joinFields(groupId));
	expect(sentAway).toMatchObject({ errorCode: 79, generationId: -1 });
	const memberId = sentAway.memberId as string;
	const joined = await client.request("JoinGroup", 9, joinFields(groupId, memberId));
	expect(joined).toMatchObject({ errorCode: 0, generationId: 1, leader: memberId });
	const member = { groupId, memberId, generationId: 1, groupInstanceId: null };
	const assignments = [{ memberId, assignment: Buffer.from("all of it") }];
	const synced = await client.request("SyncGroup", 5, {
		...member,
		protocolType: "consumer",
		protocolName: "range",
		assignments,
	});
	expect(synced).toMatchObject({ errorCode: 0, protocolType: "consumer", protocolName: "range" });
	expect(Buffer.from(synced.assignment as Uint8Array).toString()).toBe("all of it");
	return member;
}

const commitFields = (
	{ generationId = -1, ...member }: Fields,
	committedOffset: number,
): Fields => ({
	...member,
	generationIdOrMemberEpoch: generationId,
	retentionTimeMs: -1,
	topics: [
		{
			name: "orders",
			partitions: [
				{
					partitionIndex: 0,
					committedOffset,
					committedLeaderEpoch: -1,
					committedMetadata: "noted",
				},
			],
		},
	],
});

const groupRequest = (groupId: string): Fields => ({
	groups: [{ groupId, topics: [{ name: "orders", partitionIndexes: [0, 1] }] }],
	requireStable: false,
});

describe("a member of a group", () => {
	test("joins, syncs, beats, commits and leaves", async () => {
		const client = await used.connect();
		const member = await becomeOnlyMember(client, "one");
		expect(await client.request("Heartbeat", 4, member)).toMatchObject({ errorCode: 0 });
		const committed = await client.request("OffsetCommit", 8, commitFields(member, 7));
		expect(pick(committed, "topics", 0, "partitions", 0)).toMatchObject({ errorCode: 0 });
		const fetched = await client.request("OffsetFetch", 8, groupRequest("one"));
		expect(pick(fetched, "groups", 0)).toMatchObject({ groupId: "one", errorCode: 0 });
		expect(pick(fetched, "groups", 0, "topics", 0, "partitions")).toMatchObject([
			{ partitionIndex: 0, committedOffset: 7, metadata: "noted", errorCode: 0 },
			{ partitionIndex: 1, committedOffset: -1, errorCode: 0 },
		]);
		const described = await client.request("DescribeGroups", 5, { groups: ["one"] });
		expect(pick(described, "groups", 0)).toMatchObject({
			errorCode: 0,
			groupState: "Stable",
			protocolType: "consumer",
			protocolData: "range",
		});
		const leaving = { memberId: member.memberId as string, groupInstanceId: null };
		const members = [{ ...leaving, reason: "done" }];
		const left = await client.request("LeaveGroup", 5, { groupId: "one", members });
		expect(pick(left, "members", 0)).toMatchObject({ errorCode: 0 });
		expect(await client.request("Heartbeat", 4, member)).toMatchObject({ errorCode: 25 });
	});

	test("of another generation can neither beat nor commit", async () => {
		const client = await used.connect();
		const member = await becomeOnlyMember(client, "generations");
		const old = { ...member, generationId: 0 };
		expect(await client.request("Heartbeat", 0, old)).toMatchObject({ errorCode: 22 });
		const committed = await client.request("OffsetCommit", 2, commitFields(old, 7));
		expect(pick(committed, "topics", 0, "partitions", 0)).toMatchObject({ errorCode: 22 });
	});

	test("in the oldest versions is taken at once, and described in their form", async () => {
		const client = await used.connect();
		const joined = await client.request("JoinGroup", 0, joinFields("oldest"));
		expect(joined).toMatchObject({ errorCode: 0, generationId: 1, protocolName: "range" });
		const memberId = joined.memberId as string;
		const member = { groupId: "oldest", memberId };
		const assignments = [{ memberId, assignment: Buffer.from("all") }];
		const synced = await client.request("SyncGroup", 0, {
			...member,
			generationId: 1,
			assignments,
		});
		expect(synced).toMatchObject({ errorCode: 0 });
		expect(await client.request("LeaveGroup", 0, member)).toMatchObject({ errorCode: 0 });
		const described = await client.request("DescribeGroups", 0, { groups: ["oldest", "none"] });
		expect(pick(described, "groups", 0)).toMatchObject({ groupState: "Empty" });
		expect(pick(described, "groups", 1)).toMatchObject({ errorCode: 0, groupState: "Dead" });
	});
});

describe("offsets without members", () => {
	const alone: Fields = { groupId: "alone", memberId: "", groupInstanceId: null };

	test("are committed and fetched in the oldest versions, and with errors at the top", async () => {
		const client = await used.connect();
		const committed = await client.request("OffsetCommit", 2, commitFields(alone, 3));
		expect(pick(committed, "topics", 0, "partitions", 0)).toMatchObject({ errorCode: 0 });
		const topics = [{ name: "orders", partitionIndexes: [0] }];
		const fetched = await client.request("OffsetFetch", 1, { groupId: "alone", topics });
		expect(pick(fetched, "topics", 0, "partitions", 0)).toMatchObject({ committedOffset: 3 });
		const all = await client.request("OffsetFetch", 2, { groupId: "alone", topics: null });
		expect(all).toMatchObject({ errorCode: 0 });
		expect(pick(all, "topics", 0, "partitions", 0)).toMatchObject({ committedOffset: 3 });
	});

	test("are known by topic id from version 10 on", async () => {
		const client = await used.connect();
		const described = await client.request("Metadata", 12, { topics: [{ name: "orders" }] });
		const topicId = pick(described, "topics", 0).topicId as string;
		const unknown = "00000000-0000-4000-8000-000000000001";
		const { topics, ...rest } = commitFields({ ...alone, groupId: "by id" }, 5);
		const [topic] = topics as Fields[];
		const ids = [
			{ ...topic, topicId },
			{ ...topic, topicId: unknown },
		];
		const committed = await client.request("OffsetCommit", 10, { ...rest, topics: ids });
		expect(pick(committed, "topics", 0, "partitions", 0)).toMatchObject({ errorCode: 0 });
		expect(pick(committed, "topics", 1, "partitions", 0)).toMatchObject({ errorCode: 100 });
		const asked = [topicId, unknown].map((id) => ({ topicId: id, partitionIndexes: [0] }));
		const fetched = await client.request("OffsetFetch", 10, {
			groups: [{ groupId: "by id", memberId: null, memberEpoch: -1, topics: asked }],
		});
		const [known, missing] = pick(fetched, "groups", 0).topics as Fields[];
		expect(known).toMatchObject({ topicId, partitions: [{ committedOffset: 5, errorCode: 0 }] });
		expect(missing).toMatchObject({ topicId: unknown, partitions: [{ errorCode: 100 }] });
	});
});

test("groups are listed by state, lose offsets, and are deleted", async () => {
	const client = await used.connect();
	const member = await becomeOnlyMember(client, "ends");
	await client.request("OffsetCommit", 8, commitFields(member, 1));
	const names = async (statesFilter: string[]) => {
		const listed = await client.request("ListGroups", 5, { statesFilter, typesFilter: [] });
		return (listed.groups as Fields[]).map(({ groupId }) => groupId);
	};
	expect(await names(["Stable"])).toContain("ends");
	expect(await names(["Empty"])).not.toContain("ends");
	const nonEmpty = await client.request("DeleteGroups", 2, { groupsNames: ["ends", "nobody"] });
	expect(nonEmpty.results).toMatchObject([{ errorCode: 68 }, { errorCode: 69 }]);
	await client.request("LeaveGroup", 0, {
		groupId: "ends",
		memberId: member.memberId as string,
	});
	const topics = [{ name: "orders", partitions: [{ partitionIndex: 0 }] }];
	const lost = await client.request("OffsetDelete", 0, { groupId: "ends", topics });
	expect(lost).toMatchObject({ errorCode: 0 });
	const deleted = await client.request("DeleteGroups", 0, { groupsNames: ["ends"] });
	expect(deleted.results).toMatchObject([{ groupId: "ends" }]);
	expect(await names([])).not.toContain("ends");
});

test("a message quotes no more of a group's name than is read", async () => {
	const client = await used.connect();
	const name = "g".repeat(32_767);
	const answer = await client.request("DescribeGroups", 6, { groups: [name] });
	expect(pick(answer, "groups", 0)).toMatchObject({ groupId: name, errorCode: 69 });
	expect(pick(answer, "groups", 0).errorMessage).toMatch(/^.{999}…$/);
});

test("who says nothing more does not wait for other members", async () => {
	const [client, other] = [await used.connect(), await used.connect()];
	const groupId = "half-closed";
	await becomeOnlyMember(client, groupId);
	// The group waits for the first, who does not join again.
	const { memberId } = await other.request("JoinGroup", 9, joinFields(groupId));
	other.send("JoinGroup", 9, joinFields(groupId, memberId as string));
	other.socket.end();
	const { fields } = decodeResponse("JoinGroup", 9, await other.frame());
	expect(fields).toMatchObject({ errorCode: 27, memberId });
	await other.closed;
});
