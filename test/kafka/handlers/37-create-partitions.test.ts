/** Topics grow over Kafka, each with an outcome of its own. */
import { beforeAll, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, useBroker } from "../use-broker.ts";

const used = useBroker();

beforeAll(async () => {
	const topics = ["grown", "fixed"].map((name) => newTopic(name, { numPartitions: 2 }));
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
});

async function grow(
	topics: readonly Fields[],
	more: Fields = {},
	version = 3,
): Promise<readonly Fields[]> {
	const request = { timeoutMs: 30_000, validateOnly: false, ...more };
	const named = topics.map((topic) => ({ assignments: null, ...topic }));
	const answer = await used.ask("CreatePartitions", version, { topics: named, ...request });
	return answer.results as readonly Fields[];
}

async function partitionsOf(name: string): Promise<number> {
	const answer = await used.ask("Metadata", 12, { topics: [{ name }] });
	return (pick(answer, "topics", 0).partitions as readonly unknown[]).length;
}

test.each([0, 3])(
	"a topic has its new partitions when the answer comes (version %i)",
	async (version) => {
		const count = (await partitionsOf("grown")) + 2;
		const answer = await grow([{ name: "grown", count }], {}, version);
		expect(answer).toEqual([{ name: "grown", errorCode: 0, errorMessage: null }]);
		expect(await partitionsOf("grown")).toBe(count);
	},
);

test("new partitions are assigned to the broker", async () => {
	const count = (await partitionsOf("grown")) + 2;
	const assignments = [{ brokerIds: [1] }, { brokerIds: [1] }];
	expect(await grow([{ name: "grown", count, assignments }])).toMatchObject([{ errorCode: 0 }]);
	expect(await partitionsOf("grown")).toBe(count);
});

test("what is only validated does not grow", async () => {
	const topics = [{ name: "fixed", count: 9 }];
	expect(await grow(topics, { validateOnly: true })).toMatchObject([{ errorCode: 0 }]);
	expect(await partitionsOf("fixed")).toBe(2);
});

test.each([
	["as many as there are", { count: 2 }, 37],
	["fewer than there are", { count: 1 }, 37],
	["none", { count: 0 }, 37],
	["a negative number", { count: -1 }, 37],
	["more than a topic can have", { count: 10_001 }, 37],
	["fewer assigned than added", { count: 4, assignments: [{ brokerIds: [1] }] }, 39],
	[
		"more assigned than added",
		{ count: 3, assignments: [{ brokerIds: [1] }, { brokerIds: [1] }] },
		39,
	],
	["none assigned", { count: 3, assignments: [] }, 39],
	["a broker that there is not", { count: 3, assignments: [{ brokerIds: [2] }] }, 39],
	["a broker twice", { count: 3, assignments: [{ brokerIds: [1, 1] }] }, 39],
	["no broker", { count: 3, assignments: [{ brokerIds: [] }] }, 39],
])("refused are %s", async (_what, fields, code) => {
	const refused = [{ errorCode: code, errorMessage: expect.stringMatching(/./) }];
	expect(await grow([{ name: "fixed", ...fields }])).toMatchObject(refused);
	const validated = await grow([{ name: "fixed", ...fields }], { validateOnly: true });
	expect(validated).toMatchObject(refused);
	expect(await partitionsOf("fixed")).toBe(2);
});

test("a topic that is not there has no message", async () => {
	const unknown = { errorCode: 3, errorMessage: null };
	const answer = await grow([
		{ name: "never", count: 5 },
		{ name: "a/b", count: 5 },
	]);
	expect(answer).toEqual([
		{ name: "never", ...unknown },
		{ name: "a/b", ...unknown },
	]);
});

test("a topic that a request has twice is refused once, and the rest is done", async () => {
	const count = (await partitionsOf("grown")) + 1;
	const twice = { name: "fixed", count: 5 };
	expect(await grow([twice, twice, { name: "grown", count }])).toMatchObject([
		{ name: "grown", errorCode: 0 },
		{ name: "fixed", errorCode: 42 },
	]);
	expect(await partitionsOf("fixed")).toBe(2);
});

test("the broker's own topics stay as they are", async () => {
	await used.ask("FindCoordinator", 4, { keyType: 0, coordinatorKeys: ["group"] });
	expect(await grow([{ name: "__consumer_offsets", count: 51 }])).toMatchObject([
		{ errorCode: 17 },
	]);
	expect(await partitionsOf("__consumer_offsets")).toBe(50);
});

test("without time nothing grows", async () => {
	const answer = await grow([{ name: "fixed", count: 5 }], { timeoutMs: 0 });
	expect(answer).toEqual([{ name: "fixed", errorCode: 7, errorMessage: null }]);
	expect(await partitionsOf("fixed")).toBe(2);
});
