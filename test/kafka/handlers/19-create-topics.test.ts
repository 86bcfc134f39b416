/** Topics are created over Kafka, each with an outcome of its own. */
import { describe, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, settings, useBroker } from "../use-broker.ts";

const used = useBroker({ numPartitions: 3 });

const NIL = "00000000-0000-0000-0000-000000000000";

/** What the topics were answered with, in the order of their names. */
async function create(
	topics: readonly Fields[],
	more: Fields = {},
	version = 7,
): Promise<readonly Fields[]> {
	const answer = await used.ask("CreateTopics", version, { topics, timeoutMs: 30_000, ...more });
	const outcomes = [...(answer.topics as readonly Fields[])];
	return outcomes.sort((left, right) => ((left.name as string) < (right.name as string) ? -1 : 1));
}

async function codeOf(topic: Fields, more: Fields = {}): Promise<unknown> {
	const [outcome] = await create([topic], more);
	expect(outcome).toMatchObject({ topicId: NIL, numPartitions: -1, configs: [] });
	return outcome?.errorCode;
}

async function partitionsOf(name: string): Promise<number> {
	const topics = [{ name }];
	const answer = await used.ask("Metadata", 12, { topics, allowAutoTopicCreation: false });
	return (pick(answer, "topics", 0).partitions as readonly unknown[]).length;
}

describe("a topic that is created", () => {
	test.each([2, 7])("is there when the answer comes (version %i)", async (version) => {
		const name = `created-${version}`;
		const [outcome] = await create([newTopic(name, { numPartitions: 2 })], {}, version);
		expect(outcome).toMatchObject({ name, errorCode: 0, errorMessage: null });
		expect(await partitionsOf(name)).toBe(2);
	});

	test("is described in the answer", async () => {
		const configs = settings({ "retention.ms": "9223372036854775807" });
		const [outcome] = await create([newTopic("described", { configs })]);
		expect(outcome).toMatchObject({ numPartitions: 1, replicationFactor: 1 });
		expect(outcome?.topicId).not.toBe(NIL);
		const answered = outcome?.configs as readonly Fields[];
		expect(answered).toContainEqual({
			name: "retention.ms",
			value: "9223372036854775807",
			readOnly: false,
			configSource: 1,
			isSensitive: false,
		});
		expect(answered).toContainEqual({
			name: "remote.storage.enable",
			value: "false",
			readOnly: true,
			configSource: 5,
			isSensitive: false,
		});
	});

	test.each([2, 7])(
		"has the broker's partitions and replicas for -1 (version %i)",
		async (version) => {
			const name = `by-default-${version}`;
			const topic = newTopic(name, { numPartitions: -1, replicationFactor: -1 });
			expect(await create([topic], {}, version)).toMatchObject([{ errorCode: 0 }]);
			expect(await partitionsOf(name)).toBe(3);
		},
	);

	test("has the partitions that are assigned to the broker", async () => {
		const assignments = [0, 1].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] }));
		const counts = { numPartitions: -1, replicationFactor: -1 };
		const topic = newTopic("assigned", { ...counts, assignments });
		expect(await create([topic])).toMatchObject([{ errorCode: 0, numPartitions: 2 }]);
	});

	test("has the last value of a setting that is given twice", async () => {
		const configs = [...settings({ "flush.ms": "1" }), ...settings({ "flush.ms": "2" })];
		const [outcome] = await create([newTopic("twice", { configs })]);
		const answered = outcome?.configs as readonly Fields[];
		expect(answered.find(({ name }) => name === "flush.ms")).toMatchObject({ value: "2" });
	});

	test("is not there when it is only validated", async () => {
		const topics = [newTopic("validated", { numPartitions: 2 }), newTopic("a/b")];
		const outcomes = await create(topics, { validateOnly: true });
		expect(outcomes).toMatchObject([
			{ name: "a/b", errorCode: 17 },
			{ name: "validated", errorCode: 0, numPartitions: 2 },
		]);
		const [again] = await create([newTopic("validated")], { validateOnly: true }, 2);
		expect(again).toMatchObject({ errorCode: 0 });
	});
});

describe("refused are", () => {
	test("a topic that is there, whatever else is wrong with the request", async () => {
		await create([newTopic("present")]);
		expect(await codeOf(newTopic("present"))).toBe(36);
		const wrong = { replicationFactor: 3, configs: settings({ nonsense: "1" }) };
		expect(await codeOf(newTopic("present", wrong))).toBe(36);
		const [outcome] = await create([newTopic("present")], {}, 2);
		expect(outcome).toMatchObject({ errorCode: 36, errorMessage: expect.stringMatching(/./) });
	});

	test("a topic that the request has twice, once, and no other", async () => {
		const topics = [newTopic("double"), newTopic("double"), newTopic("single")];
		expect(await create(topics)).toMatchObject([
			{ name: "double", errorCode: 42 },
			{ name: "single", errorCode: 0 },
		]);
		expect(await create([newTopic("double")])).toMatchObject([{ errorCode: 0 }]);
	});

	test.each([
		["an empty name", newTopic(""), 17],
		["a name with a slash", newTopic("a/b"), 17],
		["a long name", newTopic("x".repeat(250)), 17],
		["Kafka's metadata log", newTopic("__cluster_metadata"), 42],
		["the broker's own topic", newTopic("__consumer_offsets"), 17],
		["no partitions", newTopic("refused", { numPartitions: 0 }), 37],
		["a negative number of partitions", newTopic("refused", { numPartitions: -2 }), 37],
		["two replicas", newTopic("refused", { replicationFactor: 2 }), 38],
		["no replicas", newTopic("refused", { replicationFactor: 0 }), 38],
		["an unknown setting", newTopic("refused", { configs: settings({ nonsense: "1" }) }), 40],
		[
			"a setting that is not true",
			newTopic("refused", { configs: settings({ "remote.storage.enable": "true" }) }),
			40,
		],
		[
			"a value without sense",
			newTopic("refused", { configs: settings({ "retention.ms": "x" }) }),
			40,
		],
		["no value", newTopic("refused", { configs: settings({ "retention.ms": null }) }), 40],
		[
			"more partitions than one request creates",
			newTopic("refused", { numPartitions: 10_001 }),
			44,
		],
	])("%s", async (_what, topic, code) => {
		expect(await codeOf(topic)).toBe(code);
		expect(await codeOf(topic, { validateOnly: true })).toBe(code);
	});

	test("names that differ by . and _ alone, in one request too", async () => {
		await create([newTopic("near.by")]);
		expect(await codeOf(newTopic("near_by"))).toBe(17);
		const outcomes = await create([newTopic("one.by"), newTopic("one_by")]);
		expect(outcomes).toMatchObject([
			{ name: "one.by", errorCode: 0 },
			{ name: "one_by", errorCode: 17 },
		]);
	});

	test("all topics of a request that has too many partitions", async () => {
		const topics = [
			newTopic("half-a", { numPartitions: 6_000 }),
			newTopic("half-b", { numPartitions: 6_000 }),
			newTopic("small"),
		];
		const refused = [{ errorCode: 44 }, { errorCode: 44 }, { errorCode: 44 }];
		expect(await create(topics, { validateOnly: true })).toMatchObject(refused);
	});

	test.each([
		["a broker that there is not", [{ partitionIndex: 0, brokerIds: [2] }], 39],
		["a broker twice", [{ partitionIndex: 0, brokerIds: [1, 1] }], 39],
		["no broker", [{ partitionIndex: 0, brokerIds: [] }], 39],
		["a gap", [0, 2].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] })), 39],
		["a partition twice", [0, 0].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] })), 39],
		["a negative partition", [{ partitionIndex: -1, brokerIds: [1] }], 39],
	])("an assignment of %s", async (_what, assignments, code) => {
		const counts = { numPartitions: -1, replicationFactor: -1 };
		expect(await codeOf(newTopic("refused", { ...counts, assignments }))).toBe(code);
	});

	test("an assignment beside a number of partitions or replicas", async () => {
		const assignments = [{ partitionIndex: 0, brokerIds: [1] }];
		expect(await codeOf(newTopic("refused", { assignments, replicationFactor: -1 }))).toBe(42);
		expect(await codeOf(newTopic("refused", { assignments, numPartitions: -1 }))).toBe(42);
	});

	test("topics for which there is no time", async () => {
		const [outcome] = await create([newTopic("late")], { timeoutMs: 0 });
		expect(outcome).toMatchObject({ errorCode: 7, errorMessage: null });
		expect(await create([newTopic("late")])).toMatchObject([{ errorCode: 0 }]);
	});
});

test("a request without topics has an answer without topics", async () => {
	expect(await create([])).toEqual([]);
});

test("a request that names more than there can be ends the connection", async () => {
	const client = await used.connect();
	client.send("CreateTopics", 2, { topics: Array.from({ length: 32_769 }, () => newTopic("x")) });
	await client.closed;
	expect(client.framesWaiting).toBe(0);
});
