/**
 * What one broker answers to requests about a cluster: who leads, who votes, what moves. Handlers
 * 43, 45, 46, 55, 60.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, useBroker } from "../use-broker.ts";

const used = useBroker();

const SOME_MESSAGE = expect.stringMatching(/./);

beforeAll(async () => {
	const topics = [newTopic("topic", { numPartitions: 2 }), newTopic("other")];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
});

describe("an election of leaders", () => {
	const elect = (version: number, fields: Fields) =>
		used.ask("ElectLeaders", version, { timeoutMs: 1_000, ...fields });
	const topicPartitions = [
		{ topic: "topic", partitions: [0, 2] },
		{ topic: "never", partitions: [0] },
	];
	const outcomes = (code: number, unknown = code) => [
		{
			topic: "topic",
			partitionResult: [
				{ partitionId: 0, errorCode: code, errorMessage: SOME_MESSAGE },
				{ partitionId: 2, errorCode: unknown, errorMessage: SOME_MESSAGE },
			],
		},
		{
			topic: "never",
			partitionResult: [{ partitionId: 0, errorCode: unknown, errorMessage: SOME_MESSAGE }],
		},
	];

	test("is not needed (version 0)", async () => {
		const answer = await elect(0, { topicPartitions });
		expect(answer).toEqual({ throttleTimeMs: 0, replicaElectionResults: outcomes(84, 3) });
	});

	test.each([0, 1])("is not needed (version 2, election type %i)", async (electionType) => {
		const answer = await elect(2, { electionType, topicPartitions });
		expect(answer).toMatchObject({ errorCode: 0, replicaElectionResults: outcomes(84, 3) });
	});

	test("of all partitions elects none", async () => {
		const answer = await elect(2, { electionType: 0, topicPartitions: null });
		expect(answer).toMatchObject({
			errorCode: 0,
			replicaElectionResults: [
				{ topic: "other", partitionResult: [] },
				{ topic: "topic", partitionResult: [] },
			],
		});
	});

	test("of an unknown type is refused", async () => {
		const answer = await elect(2, { electionType: 5, topicPartitions });
		expect(answer).toMatchObject({ errorCode: 42, replicaElectionResults: outcomes(42) });
	});
});

describe("a reassignment", () => {
	async function reassign(
		partitionIndex: number,
		replicas: number[] | null,
		{ version = 1, topic = "topic", timeoutMs = 1_000 } = {},
	): Promise<Fields> {
		const topics = [{ name: topic, partitions: [{ partitionIndex, replicas }] }];
		const answer = await used.ask("AlterPartitionReassignments", version, { topics, timeoutMs });
		const outcome = pick(answer, "responses", 0, "partitions", 0);
		expect(outcome).toMatchObject({ partitionIndex });
		expect(answer.errorCode).toBe(outcome.errorCode === 7 ? 7 : 0);
		return outcome;
	}

	test.each([0, 1])("to the one broker is done already (version %i)", async (version) => {
		const outcome = await reassign(0, [1], { version });
		expect(outcome).toMatchObject({ errorCode: 0, errorMessage: null });
	});

	test("to anywhere else is refused", async () => {
		for (const replicas of [[2], [1, 2], [1, 1], [], [-1]]) {
			const outcome = await reassign(0, replicas);
			expect(outcome).toMatchObject({ errorCode: 39, errorMessage: SOME_MESSAGE });
		}
	});

	test("cannot be cancelled, since there is none", async () => {
		expect(await reassign(0, null)).toMatchObject({ errorCode: 85, errorMessage: null });
	});

	test("of what is not there is refused", async () => {
		for (const replicas of [[1], null]) {
			expect(await reassign(2, replicas)).toMatchObject({ errorCode: 3 });
			expect(await reassign(-1, replicas)).toMatchObject({ errorCode: 3 });
			expect(await reassign(0, replicas, { topic: "never" })).toMatchObject({ errorCode: 3 });
		}
	});

	test("without time is not done in time", async () => {
		const outcome = await reassign(0, [1], { timeoutMs: 0 });
		expect(outcome).toMatchObject({ errorCode: 7, errorMessage: null });
	});

	test("is never under way", async () => {
		const nothing = { errorCode: 0, errorMessage: null, topics: [] };
		const asked = [{ name: "topic", partitionIndexes: [0, 9] }];
		for (const topics of [null, asked, []]) {
			const answer = await used.ask("ListPartitionReassignments", 0, { topics, timeoutMs: 1_000 });
			expect(answer).toMatchObject(nothing);
		}
	});
});

describe("the quorum", () => {
	const METADATA = { topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] };
	const describeQuorum = (topics: readonly Fields[], version = 2) =>
		used.ask("DescribeQuorum", version, { topics });

	test.each([0, 1, 2])("is the one broker (version %i)", async (version) => {
		const answer = await describeQuorum([METADATA], version);
		expect(answer.errorCode).toBe(0);
		const partition = pick(answer, "topics", 0, "partitions", 0);
		expect(partition).toMatchObject({ errorCode: 0, leaderId: 1, observers: [] });
		const end = partition.highWatermark;
		expect(end).toBeGreaterThan(0);
		expect(partition.currentVoters).toMatchObject([{ replicaId: 1, logEndOffset: end }]);
		if (version === 2) expect(answer.nodes).toEqual([{ nodeId: 1, listeners: [] }]);
		const fetchedMs = pick(partition, "currentVoters", 0).lastFetchTimestamp as number | undefined;
		if (version >= 1) expect(Math.abs(Date.now() - (fetchedMs ?? 0))).toBeLessThan(600_000);
	});

	test("has seen every change", async () => {
		const endOf = async () =>
			pick(await describeQuorum([METADATA]), "topics", 0, "partitions", 0).highWatermark as number;
		const before = await endOf();
		await used.ask("CreateTopics", 7, { topics: [newTopic("change")], timeoutMs: 30_000 });
		expect(await endOf()).toBeGreaterThan(before);
	});

	test.each([
		["a topic", [{ topicName: "topic", partitions: [{ partitionIndex: 0 }] }]],
		["another partition", [{ ...METADATA, partitions: [{ partitionIndex: 1 }] }]],
		[
			"more partitions",
			[{ ...METADATA, partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }] }],
		],
		["more topics", [METADATA, { topicName: "topic", partitions: [{ partitionIndex: 0 }] }]],
	])("is not that of %s", async (_what, topics) => {
		const answer = await describeQuorum(topics);
		expect(answer).toMatchObject({ errorCode: 0, nodes: [] });
		const partitions = (answer.topics as readonly Fields[]).flatMap(
			({ partitions: asked }) => asked as readonly Fields[],
		);
		expect(partitions.length).toBe(topics.flatMap(({ partitions: asked }) => asked).length);
		for (const partition of partitions) {
			expect(partition).toMatchObject({ errorCode: 3, errorMessage: SOME_MESSAGE });
		}
	});

	test("is empty where nothing is asked for", async () => {
		expect(await describeQuorum([])).toMatchObject({ errorCode: 0, topics: [], nodes: [] });
	});
});

describe("the cluster", () => {
	const describeCluster = (version: number, fields: Fields = {}) =>
		used.ask("DescribeCluster", version, { includeClusterAuthorizedOperations: false, ...fields });

	test.each([0, 1, 2])("is the one broker (version %i)", async (version) => {
		const answer = await describeCluster(version);
		expect(answer).toMatchObject({
			errorCode: 0,
			errorMessage: null,
			clusterId: used.broker.clusterId,
			controllerId: 1,
			clusterAuthorizedOperations: -2_147_483_648,
		});
		const broker = { brokerId: 1, host: "127.0.0.1", port: used.port, rack: null };
		expect(answer.brokers).toEqual([version === 2 ? { ...broker, isFenced: false } : broker]);
	});

	test("tells what the client may do where it asks", async () => {
		const answer = await describeCluster(0, { includeClusterAuthorizedOperations: true });
		expect(answer.clusterAuthorizedOperations).toBe(0b1_1111_1010_0000);
	});

	test.each([
		["controllers", 2, 114],
		["nothing known", 0, 115],
		["nothing known", 7, 115],
	])("has no endpoints of %s (%i)", async (_what, endpointType, errorCode) => {
		const answer = await describeCluster(1, { endpointType });
		expect(answer).toMatchObject({
			errorCode,
			errorMessage: SOME_MESSAGE,
			endpointType: 1,
			clusterId: "",
			controllerId: -1,
			brokers: [],
		});
	});
});
