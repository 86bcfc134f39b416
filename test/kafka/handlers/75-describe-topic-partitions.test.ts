/** Topics are told over Kafka with their partitions, in pages. */
import { beforeAll, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, useBroker } from "../use-broker.ts";

const used = useBroker();

const NIL = "00000000-0000-0000-0000-000000000000";
const TOPIC_OPERATIONS = 0b1101_1111_1000;

beforeAll(async () => {
	const topics = ["a", "b", "c"].map((name) => newTopic(name, { numPartitions: 3 }));
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
});

/** The answer, with the partitions of each topic by number. */
async function describePage(
	names: readonly string[],
	responsePartitionLimit = 2_000,
	cursor: Fields | null = null,
) {
	const request = { topics: names.map((name) => ({ name })), responsePartitionLimit, cursor };
	const answer = await used.ask("DescribeTopicPartitions", 0, request);
	const topics = answer.topics as readonly Fields[];
	const pages = topics.map(({ name, errorCode, partitions }): unknown => {
		if (errorCode !== 0) return [name, errorCode];
		return [name, (partitions as readonly Fields[]).map(({ partitionIndex }) => partitionIndex)];
	});
	return { answer, topics: pages, next: answer.nextCursor as Fields | null };
}

const at = (topicName: string, partitionIndex: number) => ({ topicName, partitionIndex });

test("a partition is led by the one broker, which is in sync", async () => {
	const { answer } = await describePage(["a"]);
	const topic = pick(answer, "topics", 0);
	expect(topic).toMatchObject({
		errorCode: 0,
		name: "a",
		isInternal: false,
		topicAuthorizedOperations: TOPIC_OPERATIONS,
	});
	expect(topic.topicId).not.toBe(NIL);
	expect(pick(topic, "partitions", 2)).toEqual({
		errorCode: 0,
		partitionIndex: 2,
		leaderId: 1,
		leaderEpoch: 0,
		replicaNodes: [1],
		isrNodes: [1],
		eligibleLeaderReplicas: [],
		lastKnownElr: [],
		offlineReplicas: [],
	});
});

test("pages follow each other by their cursors, in the order of the names", async () => {
	const asked = ["c", "a", "b", "a"];
	const first = await describePage(asked, 4);
	expect(first.topics).toEqual([
		["a", [0, 1, 2]],
		["b", [0]],
	]);
	expect(first.next).toEqual(at("b", 1));
	const second = await describePage(asked, 4, first.next);
	expect(second.topics).toEqual([
		["b", [1, 2]],
		["c", [0, 1]],
	]);
	expect(second.next).toEqual(at("c", 2));
	const third = await describePage(asked, 4, second.next);
	expect(third.topics).toEqual([["c", [2]]]);
	expect(third.next).toBeNull();
});

test("a page may end with a topic", async () => {
	expect((await describePage(["a", "b"], 3)).next).toEqual(at("b", 0));
	expect((await describePage(["a", "b"], 6)).next).toBeNull();
});

test.each([0, -1])("a page of %i partitions has one", async (limit) => {
	const { topics, next } = await describePage(["a"], limit);
	expect(topics).toEqual([["a", [0]]]);
	expect(next).toEqual(at("a", 1));
});

test("no names are all topics", async () => {
	expect((await describePage([])).topics).toEqual([
		["a", [0, 1, 2]],
		["b", [0, 1, 2]],
		["c", [0, 1, 2]],
	]);
	const { topics } = await describePage([], 2_000, at("bb", 7));
	expect(topics).toEqual([["c", [0, 1, 2]]]);
});

test("no page has more than 2,000 partitions", async () => {
	const wide = newTopic("wide", { numPartitions: 2_001 });
	await used.ask("CreateTopics", 7, { topics: [wide], timeoutMs: 30_000 });
	const { answer, next } = await describePage(["wide"], 10_000);
	expect(pick(answer, "topics", 0).partitions).toHaveLength(2_000);
	expect(next).toEqual(at("wide", 2_000));
	await used.ask("DeleteTopics", 6, { topics: [{ name: "wide" }], timeoutMs: 30_000 });
});

test("what is not there has an error, in its place, and counts for nothing", async () => {
	const { answer, topics, next } = await describePage(["b", "aa", "a/b", "a"], 4);
	expect(topics).toEqual([
		["a", [0, 1, 2]],
		["a/b", 17],
		["aa", 3],
		["b", [0]],
	]);
	expect(next).toEqual(at("b", 1));
	expect(pick(answer, "topics", 2)).toMatchObject({
		topicId: NIL,
		partitions: [],
		topicAuthorizedOperations: TOPIC_OPERATIONS,
	});
	const { topics: described } = await describePage(["aa"]);
	expect(described).toEqual([["aa", 3]]);
});

test("a cursor may point behind the partitions that there are", async () => {
	const { topics } = await describePage(["a", "b"], 2_000, at("a", 9));
	expect(topics).toEqual([
		["a", []],
		["b", [0, 1, 2]],
	]);
});

test.each([
	["a topic that the request leaves out", at("b", 0)],
	["a negative partition", at("a", -1)],
])("a cursor that points to %s is refused", async (_what, cursor) => {
	const { answer, topics, next } = await describePage(["a", "c"], 2_000, cursor);
	expect(topics).toEqual([
		["a", 42],
		["c", 42],
	]);
	expect(next).toBeNull();
	expect(pick(answer, "topics", 0).topicAuthorizedOperations).toBe(-2_147_483_648);
});

test("the broker's own topics are told as such", async () => {
	await used.ask("FindCoordinator", 4, { keyType: 0, coordinatorKeys: ["group"] });
	const { answer, next } = await describePage(["__consumer_offsets"], 1);
	expect(pick(answer, "topics", 0)).toMatchObject({ errorCode: 0, isInternal: true });
	expect(next).toEqual(at("__consumer_offsets", 1));
	const unborn = await describePage(["__transaction_state"]);
	expect(pick(unborn.answer, "topics", 0)).toMatchObject({ errorCode: 3, isInternal: true });
});
