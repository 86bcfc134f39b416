/**
 * Who is refused what over the Kafka protocol: every API, asked by a client that may do nothing,
 * and by one that may do just what the table of needs says.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { ACCESS, type Needs } from "../../src/kafka/access.ts";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { ACL_OPERATION, RESOURCE_TYPE } from "../../src/security/acl.ts";
import { recordBatch } from "../record-batch.ts";
import { Policy } from "../security/policy.ts";
import type { Fields } from "./client-codec.ts";
import { useGuardedServer } from "./guarded-server.ts";
import { RawKafkaClient } from "./raw-client.ts";

const TOPIC = CODES.TOPIC_AUTHORIZATION_FAILED.code;
const GROUP = CODES.GROUP_AUTHORIZATION_FAILED.code;
const CLUSTER = CODES.CLUSTER_AUTHORIZATION_FAILED.code;
const REFUSALS = [TOPIC, GROUP, CLUSTER, CODES.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.code];

const policy = new Policy();
const server = useGuardedServer(policy);

interface Case {
	readonly version: number;
	readonly fields: () => Fields;
	/** What a client is told that may do nothing. */
	readonly denied: Fields;
	/** Operations beyond those of the table that the whole answer takes. */
	readonly more?: readonly (readonly [operation: number, resourceType: number])[];
}

const NO_RULE = {
	resourceTypeFilter: 1,
	resourceNameFilter: null,
	patternTypeFilter: 1,
	principalFilter: null,
	hostFilter: null,
	operation: 1,
	permissionType: 1,
};
const leaving = { groupId: "g", memberId: "m" };
const member = { ...leaving, generationId: 0 };
const onePartition = (more: Fields): Fields => ({ partitions: [{ partitionIndex: 0, ...more }] });
const refusedPartition = { partitions: [{ partitionIndex: 0, errorCode: TOPIC }] };
const resources = (more: Fields = {}) => [
	{ resourceType: 2, resourceName: "t", ...more },
	{ resourceType: 32, resourceName: "g", ...more },
	{ resourceType: 4, resourceName: "1", ...more },
];
const refusedResources = [{ errorCode: TOPIC }, { errorCode: GROUP }, { errorCode: CLUSTER }];

/** By API key, a request that names the topic t and the group g. */
const CASES: ReadonlyMap<number, Case> = new Map<number, Case>([
	[
		0,
		{
			version: 12,
			fields: () => ({
				transactionalId: null,
				acks: -1,
				timeoutMs: 60_000,
				topicData: [
					{ name: "t", partitionData: [{ index: 0, records: recordBatch([Buffer.from("x")]) }] },
				],
			}),
			denied: { responses: [{ partitionResponses: [{ index: 0, errorCode: TOPIC }] }] },
		},
	],
	[
		1,
		{
			version: 12,
			fields: () => ({
				maxBytes: 1_000,
				sessionEpoch: -1,
				topics: [{ topic: "t", partitions: [{ partition: 0, partitionMaxBytes: 1_000 }] }],
			}),
			denied: {
				responses: [{ topic: "t", partitions: [{ partitionIndex: 0, errorCode: TOPIC }] }],
			},
		},
	],
	[
		2,
		{
			version: 7,
			fields: () => ({ topics: [{ name: "t", ...onePartition({ timestamp: -1 }) }] }),
			denied: { topics: [{ name: "t", ...refusedPartition }] },
		},
	],
	[
		3,
		{
			version: 9,
			fields: () => ({ topics: [{ name: "t" }], includeClusterAuthorizedOperations: true }),
			denied: {
				topics: [{ name: "t", errorCode: TOPIC, partitions: [] }],
				clusterAuthorizedOperations: 0,
			},
		},
	],
	[
		8,
		{
			version: 8,
			fields: () => ({
				groupId: "g",
				generationIdOrMemberEpoch: -1,
				topics: [{ name: "t", ...onePartition({ committedOffset: 0 }) }],
			}),
			denied: { topics: [{ name: "t", partitions: [{ partitionIndex: 0, errorCode: GROUP }] }] },
		},
	],
	[
		9,
		{
			version: 8,
			fields: () => ({
				groups: [{ groupId: "g", topics: [{ name: "t", partitionIndexes: [0] }] }],
			}),
			denied: { groups: [{ groupId: "g", errorCode: GROUP, topics: [] }] },
		},
	],
	[
		10,
		{
			version: 4,
			fields: () => ({ keyType: 0, coordinatorKeys: ["g"] }),
			denied: { coordinators: [{ key: "g", errorCode: GROUP, nodeId: -1 }] },
		},
	],
	[
		11,
		{
			version: 7,
			fields: () => ({ ...leaving, protocolType: "consumer" }),
			denied: { errorCode: GROUP },
		},
	],
	[12, { version: 4, fields: () => member, denied: { errorCode: GROUP } }],
	[13, { version: 2, fields: () => leaving, denied: { errorCode: GROUP } }],
	[14, { version: 4, fields: () => member, denied: { errorCode: GROUP } }],
	[
		15,
		{
			version: 5,
			fields: () => ({ groups: ["g"], includeAuthorizedOperations: true }),
			denied: { groups: [{ groupId: "g", errorCode: GROUP }] },
		},
	],
	[16, { version: 4, fields: () => ({}), denied: { errorCode: 0, groups: [] } }],
	[
		19,
		{
			version: 7,
			fields: () => ({
				topics: [{ name: "new", numPartitions: 1, replicationFactor: 1 }],
				timeoutMs: 60_000,
				validateOnly: true,
			}),
			denied: { topics: [{ name: "new", errorCode: TOPIC }] },
			more: [[ACL_OPERATION.describeConfigs, RESOURCE_TYPE.topic]],
		},
	],
	[
		20,
		{
			version: 6,
			fields: () => ({ topics: [{ name: "gone" }], timeoutMs: 60_000 }),
			denied: { responses: [{ name: "gone", errorCode: TOPIC }] },
		},
	],
	[
		21,
		{
			version: 2,
			fields: () => ({
				topics: [{ name: "t", ...onePartition({ offset: 0 }) }],
				timeoutMs: 60_000,
			}),
			denied: { topics: [{ name: "t", ...refusedPartition }] },
		},
	],
	[
		22,
		{
			version: 4,
			fields: () => ({ transactionalId: null, producerId: -1, producerEpoch: -1 }),
			denied: { errorCode: CLUSTER },
		},
	],
	[
		23,
		{
			version: 3,
			fields: () => ({
				topics: [{ topic: "t", partitions: [{ partition: 0, leaderEpoch: 0 }] }],
			}),
			denied: { topics: [{ topic: "t", partitions: [{ partition: 0, errorCode: TOPIC }] }] },
		},
	],
	[29, { version: 3, fields: () => NO_RULE, denied: { errorCode: CLUSTER, resources: [] } }],
	[
		30,
		{
			version: 3,
			fields: () => ({
				creations: [
					{
						resourceType: 2,
						resourceName: "t",
						resourcePatternType: 3,
						principal: "User:a",
						host: "*",
						operation: 3,
						permissionType: 3,
					},
				],
			}),
			denied: { results: [{ errorCode: CLUSTER }] },
		},
	],
	[
		31,
		{
			version: 3,
			fields: () => ({ filters: [NO_RULE] }),
			denied: { filterResults: [{ errorCode: CLUSTER, matchingAcls: [] }] },
		},
	],
	[
		32,
		{
			version: 4,
			fields: () => ({ resources: resources() }),
			denied: { results: refusedResources },
		},
	],
	[
		33,
		{
			version: 2,
			fields: () => ({ resources: resources({ configs: [] }), validateOnly: true }),
			denied: { responses: refusedResources },
		},
	],
	[
		35,
		{ version: 4, fields: () => ({ topics: null }), denied: { errorCode: CLUSTER, results: [] } },
	],
	[
		37,
		{
			version: 3,
			fields: () => ({
				topics: [{ name: "t", count: 2, assignments: null }],
				timeoutMs: 60_000,
				validateOnly: true,
			}),
			denied: { results: [{ name: "t", errorCode: TOPIC }] },
		},
	],
	[
		42,
		{
			version: 2,
			fields: () => ({ groupsNames: ["g"] }),
			denied: { results: [{ groupId: "g", errorCode: GROUP }] },
		},
	],
	[
		43,
		{
			version: 2,
			fields: () => ({ topicPartitions: [{ topic: "t", partitions: [0] }] }),
			denied: {
				errorCode: CLUSTER,
				replicaElectionResults: [{ partitionResult: [{ errorCode: CLUSTER }] }],
			},
		},
	],
	[
		44,
		{
			version: 1,
			fields: () => ({ resources: resources({ configs: [] }), validateOnly: true }),
			denied: { responses: refusedResources },
		},
	],
	[
		45,
		{
			version: 0,
			fields: () => ({
				timeoutMs: 60_000,
				topics: [{ name: "t", ...onePartition({ replicas: null }) }],
			}),
			denied: { errorCode: CLUSTER },
		},
	],
	[
		46,
		{
			version: 0,
			fields: () => ({ timeoutMs: 60_000, topics: null }),
			denied: { errorCode: CLUSTER },
		},
	],
	[
		47,
		{
			version: 0,
			fields: () => ({ groupId: "g", topics: [{ name: "t", ...onePartition({}) }] }),
			denied: { errorCode: GROUP, topics: [] },
		},
	],
	[
		48,
		{
			version: 1,
			fields: () => ({ components: [], strict: false }),
			denied: { errorCode: CLUSTER, entries: null },
		},
	],
	[
		49,
		{
			version: 1,
			fields: () => ({
				entries: [
					{
						entity: [{ entityType: "user", entityName: "u" }],
						ops: [{ key: "producer_byte_rate", value: 0, remove: true }],
					},
				],
				validateOnly: false,
			}),
			denied: { entries: [{ errorCode: CLUSTER }] },
		},
	],
	[
		50,
		{
			version: 0,
			fields: () => ({ users: null }),
			denied: { errorCode: CLUSTER, results: [] },
		},
	],
	[
		51,
		{
			version: 0,
			fields: () => ({
				deletions: [],
				upsertions: [
					{
						name: "u",
						mechanism: 1,
						iterations: 4_096,
						salt: Buffer.from("salt"),
						saltedPassword: Buffer.alloc(32),
					},
				],
			}),
			denied: { results: [{ user: "u", errorCode: CLUSTER }] },
		},
	],
	[55, { version: 0, fields: () => ({ topics: [] }), denied: { errorCode: CLUSTER, topics: [] } }],
	[
		60,
		{
			version: 0,
			fields: () => ({ includeClusterAuthorizedOperations: true }),
			denied: { errorCode: 0, clusterAuthorizedOperations: 0 },
		},
	],
	[
		61,
		{
			version: 0,
			fields: () => ({ topics: [{ name: "t", partitionIndexes: [0] }] }),
			denied: { topics: [{ name: "t", ...refusedPartition }] },
		},
	],
	[
		68,
		{
			version: 1,
			fields: () => ({
				groupId: "g2",
				memberId: "m",
				memberEpoch: 0,
				rebalanceTimeoutMs: 1_000,
				subscribedTopicNames: ["t"],
				topicPartitions: [],
			}),
			denied: { errorCode: GROUP },
		},
	],
	[
		69,
		{
			version: 1,
			// Its member of the case before is subscribed to the topic.
			fields: () => ({ groupIds: ["g2"] }),
			denied: { groups: [{ groupId: "g2", errorCode: GROUP, members: [] }] },
		},
	],
	[
		74,
		{
			version: 1,
			fields: () => ({ resourceTypes: [] }),
			denied: { errorCode: CLUSTER, configResources: [] },
		},
	],
	[
		75,
		{
			version: 0,
			fields: () => ({ topics: [{ name: "t" }], responsePartitionLimit: 10, cursor: null }),
			denied: { topics: [{ name: "t", errorCode: TOPIC, partitions: [] }] },
		},
	],
]);

beforeAll(async () => {
	await server.catalogue.create({ name: "t", partitions: 1 });
});

async function ask(apiKey: number, fields: Fields, version: number): Promise<Fields> {
	const client = await RawKafkaClient.connect(server.port);
	try {
		const name = SERVED_APIS.get(apiKey)?.facts.name as string;
		return await client.request(name, version, fields);
	} finally {
		await client.close();
	}
}

/** Every code in an answer that says who may not do something. */
function refusalsIn(value: unknown): number[] {
	if (typeof value !== "object" || value === null) return [];
	return Object.entries(value).flatMap(([key, inner]) =>
		/errorCode$/i.test(key) && REFUSALS.includes(inner) ? [inner] : refusalsIn(inner),
	);
}

/** "operation type" of everything that an API needs. */
function needed(needs: Needs, more: Case["more"] = []): string[] {
	const kinds = Object.keys(needs) as (keyof Needs)[];
	return [
		...kinds.map((kind) => `${needs[kind]} ${RESOURCE_TYPE[kind]}`),
		...more.map(([operation, resourceType]) => `${operation} ${resourceType}`),
	];
}

test("every API says what it needs, and is in the matrix if that is anything", () => {
	const served = [...SERVED_APIS.keys()];
	expect(served.filter((key) => !ACCESS.has(key))).toEqual([]);
	const guarded = served.filter((key) => Object.keys(ACCESS.get(key) ?? {}).length > 0);
	expect([...CASES.keys()]).toEqual(guarded);
});

describe.each([...CASES])("API %i", (key, { version, fields, denied, more }) => {
	const needs = ACCESS.get(key) as Needs;

	test("refuses who may do nothing and serves who may do just that", async () => {
		policy.asked.clear();
		policy.allows = () => false;
		expect(await ask(key, fields(), version)).toMatchObject(denied);
		const allowed = needed(needs, more);
		policy.allows = (operation, resourceType) => allowed.includes(`${operation} ${resourceType}`);
		expect(refusalsIn(await ask(key, fields(), version))).toEqual([]);
		// There are no transactions yet: who names one is refused whatever the rules say.
		const { transactionalId: _, ...others } = needs;
		for (const need of needed(others)) expect(policy.asked).toContain(need);
	});
});

describe("what may not be seen", () => {
	const hide = (name: string) => {
		policy.allows = (_operation, _resourceType, asked) => asked !== name;
	};

	beforeAll(async () => {
		await server.catalogue.create({ name: "hidden", partitions: 1 });
	});

	test("is left out where all topics are asked for, and refused where it is named", async () => {
		hide("hidden");
		const all = await ask(3, { topics: null }, 9);
		expect((all.topics as readonly Fields[]).map(({ name }) => name)).not.toContain("hidden");
		const pages = await ask(75, { topics: [], responsePartitionLimit: 10, cursor: null }, 0);
		expect((pages.topics as readonly Fields[]).map(({ name }) => name)).not.toContain("hidden");
		const topicId = server.catalogue.get("hidden")?.topicId as string;
		const byId = await ask(3, { topics: [{ topicId, name: null }] }, 12);
		expect(byId.topics).toMatchObject([{ errorCode: TOPIC, name: null, topicId }]);
	});

	test("is refused whether it exists or not", async () => {
		for (const name of ["hidden", "never"]) {
			hide(name);
			const topics = [{ name, partitions: [{ partitionIndex: 0, timestamp: -1 }] }];
			const answer = await ask(2, { topics }, 7);
			expect(answer.topics).toMatchObject([{ partitions: [{ errorCode: TOPIC }] }]);
		}
	});

	test("is not created by who may not create it", async () => {
		policy.allows = (operation) => operation !== ACL_OPERATION.create;
		const topics = [{ name: "uncreated" }];
		const answer = await ask(3, { topics, allowAutoTopicCreation: true }, 9);
		expect(answer.topics).toMatchObject([{ name: "uncreated", errorCode: TOPIC }]);
		expect(server.catalogue.get("uncreated")).toBeUndefined();
	});

	test("does not show in what groups have committed, topic by topic", async () => {
		hide("hidden");
		const topics = ["t", "hidden"].map((name) => ({
			name,
			partitions: [{ partitionIndex: 0, committedOffset: 0 }],
		}));
		const request = { groupId: "seen", generationIdOrMemberEpoch: -1, topics };
		const committed = await ask(8, request, 8);
		expect(committed.topics).toMatchObject([
			{ name: "t", partitions: [{ errorCode: 0 }] },
			{ name: "hidden", partitions: [{ errorCode: TOPIC }] },
		]);
		policy.allows = () => true;
		await ask(8, request, 8);
		hide("hidden");
		const fetched = await ask(9, { groups: [{ groupId: "seen", topics: null }] }, 8);
		expect(fetched.groups).toMatchObject([{ topics: [{ name: "t" }] }]);
	});

	test("is not among the operations that a client is told", async () => {
		policy.allows = (operation) => operation !== ACL_OPERATION.write;
		const request = { topics: [{ name: "t" }], includeTopicAuthorizedOperations: true };
		const { topics } = await ask(3, request, 9);
		const [topic] = topics as readonly Fields[];
		const bits = topic?.topicAuthorizedOperations as number;
		expect(bits & (1 << ACL_OPERATION.write)).toBe(0);
		expect(bits & (1 << ACL_OPERATION.read)).not.toBe(0);
	});
});

test("rules are kept, told and removed over the protocol", async () => {
	policy.allows = () => true;
	const rule = {
		resourceType: RESOURCE_TYPE.topic,
		resourceName: "kept",
		principal: "User:alice",
		host: "*",
		operation: ACL_OPERATION.read,
		permissionType: 3,
	};
	const creations = [
		{ ...rule, resourcePatternType: 4 },
		{ ...rule, resourcePatternType: 2 },
		{ ...rule, resourcePatternType: 3, operation: ACL_OPERATION.write },
		{ ...rule, resourcePatternType: 4, operation: ACL_OPERATION.write },
	];
	const created = await ask(30, { creations }, 3);
	const { code } = CODES.INVALID_REQUEST;
	expect((created.results as readonly Fields[]).map(({ errorCode }) => errorCode)).toEqual([
		0,
		code,
		0,
		0,
	]);
	const filter = { ...NO_RULE, resourceNameFilter: "kept" };
	const described = await ask(29, filter, 3);
	expect(described.resources).toMatchObject([
		{ resourceName: "kept", patternType: 3, acls: [{ operation: 4 }] },
		{ resourceName: "kept", patternType: 4, acls: [{ operation: 3 }, { operation: 4 }] },
	]);
	const filters = [
		{ ...filter, operation: ACL_OPERATION.write },
		{ ...filter, operation: 99 },
	];
	const deleted = await ask(31, { filters }, 3);
	expect(deleted.filterResults).toMatchObject([
		{ errorCode: 0, matchingAcls: [{ patternType: 3 }, { patternType: 4 }] },
		{ errorCode: code, matchingAcls: [] },
	]);
	const left = await ask(29, filter, 3);
	expect(left.resources).toMatchObject([{ patternType: 4, acls: [{ operation: 3 }] }]);
});
