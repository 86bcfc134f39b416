/**
 * Access rules, and what they refuse: both brokers allow what no rule speaks of, so that each
 * scenario forbids what is its own and disturbs no other.
 */
import type { Fields } from "../../kafka/client-codec.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { Session } from "./session.ts";

const ANY = 1;
const TOPIC = 2;
const GROUP = 3;
const LITERAL = 3;
const PREFIXED = 4;
const READ = 3;
const WRITE = 4;
const ALL = 2;
const ALLOW = 3;
/** Resources of these have rules, and none for who asks. */
const NOBODY = "User:nobody";

const rule = (more: Fields): Fields => ({
	resourceType: TOPIC,
	resourcePatternType: LITERAL,
	principal: NOBODY,
	host: "*",
	operation: ALL,
	permissionType: ALLOW,
	...more,
});

const filter = (more: Fields = {}): Fields => ({
	resourceTypeFilter: ANY,
	resourceNameFilter: null,
	patternTypeFilter: ANY,
	principalFilter: null,
	hostFilter: null,
	operation: ANY,
	permissionType: ANY,
	...more,
});

async function forbid(session: Session, topics: string[], groups: string[] = []): Promise<void> {
	const creations = [
		...topics.map((resourceName) => rule({ resourceName })),
		...groups.map((resourceName) => rule({ resourceName, resourceType: GROUP })),
	];
	await create(session, creations);
}

let marks = 0;

/**
 * Makes rules, and waits until the broker follows them: Kafka does so a while after it has
 * answered, in the order of the changes, so a rule about nothing is made behind them, and seen.
 */
async function create(session: Session, creations: readonly Fields[]): Promise<void> {
	marks += 1;
	const resourceName = `marker-${marks}`;
	await session.prepare("CreateAcls", 3, { creations });
	await session.prepare("CreateAcls", 3, { creations: [rule({ resourceName })] });
	await session.untilDone(async () => {
		const asked = filter({ resourceNameFilter: resourceName, patternTypeFilter: LITERAL });
		const { resources } = await session.prepare("DescribeAcls", 3, asked);
		return { errorCode: (resources as readonly Fields[]).length === 1 ? 0 : -1 };
	});
}

const partition = (more: Fields = {}): Fields => ({ partitions: [{ partitionIndex: 0, ...more }] });

const ruleScenarios: Scenario[] = [
	scenario({
		api: "CreateAcls",
		name: "rules",
		async run(session, version, id) {
			const create = (label: string, more: Fields) =>
				session.ask("CreateAcls", version, { creations: [rule(more)] }, label);
			const resourceName = id;
			await create("one", { resourceName });
			await create("again", { resourceName });
			await create("of a prefix", { resourceName, resourcePatternType: PREFIXED });
			await create("without a name", { resourceName: "" });
			await create("of nobody's kind", { resourceName, principal: "nobody" });
			await create("of another cluster", { resourceName, resourceType: 4 });
		},
	}),
	scenario({
		api: "DescribeAcls",
		name: "by filters",
		needs: ["CreateAcls"],
		async run(session, version, id) {
			await create(session, [
				rule({ resourceName: `${id}-1` }),
				rule({ resourceName: `${id}-2`, operation: READ }),
			]);
			const ask = (label: string, more: Fields) =>
				session.ask("DescribeAcls", version, filter(more) as never, label);
			await ask("a name", { resourceNameFilter: `${id}-1` });
			await ask("a name and an operation", { resourceNameFilter: `${id}-2`, operation: READ });
			await ask("another operation", { resourceNameFilter: `${id}-2`, operation: WRITE });
			await ask("another principal", { resourceNameFilter: `${id}-1`, principalFilter: "User:x" });
			await ask("all that a name falls under", {
				resourceNameFilter: `${id}-1`,
				patternTypeFilter: 2,
			});
		},
	}),
	scenario({
		api: "DeleteAcls",
		name: "by filters",
		needs: ["CreateAcls"],
		async run(session, version, id) {
			await session.prepare("CreateAcls", 3, { creations: [rule({ resourceName: id })] });
			const filters = [
				filter({ resourceNameFilter: id }),
				filter({ resourceNameFilter: `${id}-no` }),
			];
			await session.ask("DeleteAcls", version, { filters } as never, "two filters");
			await session.ask("DeleteAcls", version, { filters } as never, "again");
		},
	}),
];

/** What is asked about a topic and a group. */
const ABOUT: readonly (readonly [
	api: string,
	version: number,
	of: (topic: string, group: string) => Fields,
])[] = [
	[
		"ListOffsets",
		7,
		(name) => ({ replicaId: -1, topics: [{ name, ...partition({ timestamp: -1 }) }] }),
	],
	[
		"OffsetCommit",
		8,
		(name, groupId) => ({
			groupId,
			generationIdOrMemberEpoch: -1,
			topics: [{ name, ...partition({ committedOffset: 0, committedMetadata: "" }) }],
		}),
	],
	[
		"OffsetFetch",
		8,
		(name, groupId) => ({ groups: [{ groupId, topics: [{ name, partitionIndexes: [0] }] }] }),
	],
	["OffsetFetch", 1, (name, groupId) => ({ groupId, topics: [{ name, partitionIndexes: [0] }] })],
	["OffsetDelete", 0, (name, groupId) => ({ groupId, topics: [{ name, ...partition() }] })],
	["FindCoordinator", 3, (_, key) => ({ keyType: 0, key })],
	["Heartbeat", 4, (_, groupId) => ({ groupId, memberId: "m", generationId: 0 })],
	["SyncGroup", 4, (_, groupId) => ({ groupId, memberId: "m", generationId: 0 })],
	["LeaveGroup", 2, (_, groupId) => ({ groupId, memberId: "m" })],
	["LeaveGroup", 4, (_, groupId) => ({ groupId, members: [{ memberId: "m" }] })],
	["DescribeGroups", 5, (_, groupId) => ({ groups: [groupId], includeAuthorizedOperations: true })],
	["ConsumerGroupDescribe", 1, (_, groupId) => ({ groupIds: [groupId] })],
	["DeleteGroups", 2, (_, groupId) => ({ groupsNames: [groupId] })],
	[
		"OffsetForLeaderEpoch",
		3,
		(topic) => ({
			replicaId: -1,
			topics: [{ topic, partitions: [{ partition: 0, leaderEpoch: 0, currentLeaderEpoch: -1 }] }],
		}),
	],
	["DescribeProducers", 0, (name) => ({ topics: [{ name, partitionIndexes: [0] }] })],
	[
		"DescribeTopicPartitions",
		0,
		(name) => ({ topics: [{ name }], responsePartitionLimit: 10, cursor: null }),
	],
	[
		"CreatePartitions",
		3,
		(name) => ({
			topics: [{ name, count: 9, assignments: null }],
			timeoutMs: 120_000,
			validateOnly: true,
		}),
	],
	[
		"DeleteRecords",
		2,
		(name) => ({ topics: [{ name, ...partition({ offset: 0 }) }], timeoutMs: 120_000 }),
	],
];

const refusalScenarios: Scenario[] = [
	scenario({
		api: "Metadata",
		name: "what rules forbid",
		from: 8,
		needs: ["CreateAcls", "DescribeAcls", ...new Set(ABOUT.map(([api]) => api))],
		async run(session, version, id) {
			const [hidden, shown, missing] = [`${id}-hidden`, `${id}-shown`, `${id}-missing`];
			await session.topic(hidden, 1);
			await session.topic(shown, 1);
			const group = `${id}-group`;
			await forbid(session, [hidden, missing], [group]);
			// One by one: Kafka answers them in an order of its own.
			for (const [label, name] of Object.entries({ hidden, missing, shown })) {
				const operations = { includeTopicAuthorizedOperations: true };
				const asked = { topics: [{ name }], allowAutoTopicCreation: false, ...operations };
				await session.ask("Metadata", version, asked as never, label);
			}
		},
	}),
	...ABOUT.map(([api, version, of]) =>
		scenario({
			api,
			name: "what rules forbid",
			from: version,
			to: version,
			needs: ["CreateAcls", "DescribeAcls"],
			async run(session, _version, id) {
				const [hidden, missing, group] = [`${id}-hidden`, `${id}-missing`, `${id}-group`];
				await session.topic(hidden, 1);
				await forbid(session, [hidden, missing], [group]);
				await session.ask(api, version, of(hidden, group) as never, "topic and group");
				await session.ask(api, version, of(missing, group) as never, "a topic that is not there");
				await session.ask(api, version, of(hidden, `${id}-free`) as never, "the topic");
			},
		}),
	),
];

export const aclScenarios: readonly Scenario[] = [...ruleScenarios, ...refusalScenarios];
