/** Topics are deleted over Kafka by name or by id, each with an outcome of its own. */
import { expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { newTopic, useBroker } from "../use-broker.ts";

const used = useBroker();

const NIL = "00000000-0000-0000-0000-000000000000";

/** Creates topics; answers their ids. */
async function create(...names: string[]): Promise<string[]> {
	const topics = names.map((name) => newTopic(name));
	const answer = await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
	return (answer.topics as readonly Fields[]).map(({ errorCode, topicId }) => {
		expect(errorCode).toBe(0);
		return topicId as string;
	});
}

async function remove(topics: readonly Fields[], more: Fields = {}): Promise<readonly Fields[]> {
	const answer = await used.ask("DeleteTopics", 6, { topics, timeoutMs: 30_000, ...more });
	return answer.responses as readonly Fields[];
}

/** Fails unless the topic is there. */
async function expectPresent(name: string, isPresent: boolean): Promise<void> {
	const topics = [{ name }];
	const answer = await used.ask("Metadata", 12, { topics, allowAutoTopicCreation: false });
	expect(answer.topics).toMatchObject([{ name, errorCode: isPresent ? 0 : 3 }]);
}

test.each([1, 5])("a topic is gone when the answer comes (version %i)", async (version) => {
	await create("gone");
	const request = { topicNames: ["gone", "never", "a/b"], timeoutMs: 30_000 };
	const { responses } = await used.ask("DeleteTopics", version, request);
	expect(responses).toMatchObject([
		{ name: "gone", errorCode: 0 },
		{ name: "never", errorCode: 3 },
		{ name: "a/b", errorCode: 3 },
	]);
	if (version >= 5) {
		const messages = (responses as readonly Fields[]).map(({ errorMessage }) => errorMessage);
		expect(messages).toEqual([null, expect.stringMatching(/./), expect.stringMatching(/./)]);
	}
	await expectPresent("gone", false);
});

test("a topic is deleted by name or by id, and its name is free", async () => {
	const [named, numbered] = await create("named", "numbered");
	const both = [{ name: "named" }, { name: null, topicId: numbered as string }];
	expect(await remove(both)).toEqual([
		{ name: "named", topicId: named, errorCode: 0, errorMessage: null },
		{ name: "numbered", topicId: numbered, errorCode: 0, errorMessage: null },
	]);
	const [again] = await create("named");
	expect(again).not.toBe(named);
});

test("what is not there has the error of how it was named", async () => {
	const topicId = "11111111-2222-3333-4444-555555555555";
	expect(await remove([{ name: "never" }, { name: null, topicId }])).toMatchObject([
		{ name: "never", topicId: NIL, errorCode: 3, errorMessage: expect.stringMatching(/./) },
		{ name: null, topicId, errorCode: 100, errorMessage: expect.stringMatching(/./) },
	]);
});

test("a topic with both a name and an id, or with neither, is refused", async () => {
	const [topicId] = await create("half");
	const topics = [
		{ name: "half", topicId: topicId as string },
		{ name: null, topicId: NIL },
	];
	expect(await remove(topics)).toMatchObject([
		{ name: "half", topicId, errorCode: 42 },
		{ name: null, topicId: NIL, errorCode: 42 },
	]);
	await expectPresent("half", true);
});

test("what a request has twice is refused once, and the rest is done", async () => {
	const [one, two] = (await create("one", "two", "three")) as [string, string];
	const byName = { name: "one" };
	const byId = { name: null, topicId: two };
	expect(await remove([byName, byName, byId, byId, { name: "three" }])).toMatchObject([
		{ name: "one", errorCode: 42 },
		{ name: null, topicId: two, errorCode: 42 },
		{ name: "three", errorCode: 0 },
	]);
	expect(await remove([byName, { name: null, topicId: one }])).toMatchObject([
		{ name: "one", topicId: one, errorCode: 42 },
	]);
	await expectPresent("one", true);
	await expectPresent("two", true);
	await expectPresent("three", false);
});

test("the broker's own topics stay", async () => {
	await used.ask("FindCoordinator", 4, { keyType: 0, coordinatorKeys: ["group"] });
	expect(await remove([{ name: "__consumer_offsets" }])).toMatchObject([{ errorCode: 17 }]);
	await expectPresent("__consumer_offsets", true);
});

test("without time nothing is deleted", async () => {
	await create("late");
	const answer = await remove([{ name: "late" }], { timeoutMs: 0 });
	expect(answer).toEqual([{ name: "late", topicId: NIL, errorCode: 7, errorMessage: null }]);
	await expectPresent("late", true);
});

test("a request without topics has an answer without topics", async () => {
	expect(await remove([])).toEqual([]);
});
