/** What the broker says of itself, of its topics and of who coordinates. */
import { NIL_UUID } from "../../../src/kafka/wire/uuid.ts";
import { pick } from "../../kafka/pick.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { TopicNames } from "./session.ts";

const UNKNOWN_ID = "12345678-1234-4234-8234-123456789abc";

const metadataScenarios: Scenario[] = [
	scenario({
		api: "Metadata",
		name: "topics by name",
		prepare: (session) => session.topic("metadata-named", 3),
		async run(session, version, _, { name }) {
			const ask = (label: string, topics: object[] | null, more: object = {}) => {
				const request = { topics, allowAutoTopicCreation: false, ...more } as never;
				return session.ask("Metadata", version, request, label);
			};
			await ask("one", [{ name }]);
			await ask("twice", [{ name }, { name }]);
			const operations = {
				includeTopicAuthorizedOperations: true,
				includeClusterAuthorizedOperations: true,
			};
			if (version >= 8) await ask("with operations", [{ name }], operations);
			if (version >= 4) await ask("an unknown one", [{ name: "unknown" }]);
			await ask("an illegal one", [{ name: "not a name" }]);
			await ask("an empty one", [{ name: "" }]);
			await ask("a long one", [{ name: "x".repeat(250) }]);
			if (version >= 1) await ask("none", []);
		},
	}),
	scenario({
		api: "Metadata",
		name: "topics made by asking for them",
		async run(session, version) {
			const topics = [{ topicId: NIL_UUID, name: `metadata-made-${version}` }];
			const request = { topics, allowAutoTopicCreation: true };
			await session.ask("Metadata", version, request, "before");
			await session.untilDone(async () => {
				const answer = await session.prepare("Metadata", version, request);
				return pick(answer, "topics", 0);
			});
			await session.ask("Metadata", version, request, "behind");
			const illegal = [{ topicId: NIL_UUID, name: "not a name" }];
			await session.ask("Metadata", version, { ...request, topics: illegal }, "an illegal one");
		},
	}),
	scenario({
		api: "Metadata",
		name: "topics by id",
		from: 12,
		prepare: (session) => session.topic("metadata-id", 2),
		async run(session, version, _, { topicId }) {
			const topics = [{ topicId, name: null }];
			await session.ask("Metadata", version, { topics }, "one");
			const unknown = [{ topicId: UNKNOWN_ID, name: null }];
			await session.ask("Metadata", version, { topics: unknown }, "unknown");
		},
	}),
];

const coordinatorScenarios: Scenario[] = [
	scenario({
		api: "FindCoordinator",
		name: "of groups",
		async prepare(session) {
			// Kafka makes its offsets topic for the first who asks, and the answer comes later.
			const asked = { key: "group", keyType: 0 };
			await session.untilDone(() => session.prepare("FindCoordinator", 2, asked));
		},
		async run(session, version) {
			const ask = (key: string, keyType = 0) => {
				const keys = version >= 4 ? { coordinatorKeys: [key] } : { key };
				return session.ask("FindCoordinator", version, { ...keys, keyType }, `${key} ${keyType}`);
			};
			await ask("group");
			await ask("");
			if (version >= 1) await ask("group", 9);
			if (version < 4) return;
			const several = { coordinatorKeys: ["one", "two", "one"], keyType: 0 };
			await session.ask("FindCoordinator", version, several, "several");
			await session.ask("FindCoordinator", version, { coordinatorKeys: [], keyType: 0 }, "none");
		},
	}),
];

const apiVersionsScenarios: Scenario[] = [
	scenario({
		api: "ApiVersions",
		name: "who may ask",
		from: 3,
		async run(session, version) {
			// What is offered is compared elsewhere: the lists differ.
			const ask = async (clientSoftwareName: string, clientSoftwareVersion: string) => {
				const asked = { clientSoftwareName, clientSoftwareVersion };
				const { errorCode } = await session.prepare("ApiVersions", version, asked);
				session.note(`${clientSoftwareName} ${clientSoftwareVersion}`, { errorCode } as never);
			};
			await ask("client", "1.0");
			await ask("", "");
			await ask("client with spaces", "1.0");
			await ask("client", "-1");
			await ask("apache-kafka-java.x", "4.3.0-a");
		},
	}),
];

const initProducerIdScenarios: Scenario[] = [
	scenario({
		api: "InitProducerId",
		name: "without transactions",
		async prepare(session) {
			// Kafka takes a block of ids for the first who asks, and the answer comes later.
			const asked = { transactionalId: null, transactionTimeoutMs: 60_000 };
			await session.untilDone(() => session.prepare("InitProducerId", 4, asked));
		},
		async run(session, version) {
			const ask = (label: string, transactionalId: string | null, more: object = {}) => {
				const asked = { transactionalId, transactionTimeoutMs: 60_000, ...more } as never;
				return session.ask("InitProducerId", version, asked, label);
			};
			await ask("a new one", null);
			await ask("no timeout", null, { transactionTimeoutMs: 0 });
			await ask("an empty transactional id", "");
			if (version < 3) return;
			await ask("a known one", null, { producerId: 1, producerEpoch: 0 });
			await ask("half of one", null, { producerId: 1, producerEpoch: -1 });
		},
	}),
];

const epochScenarios: Scenario[] = [
	scenario({
		api: "OffsetForLeaderEpoch",
		name: "epochs",
		prepare: (session) => session.topic("leader-epochs"),
		async run(session, version, _, { name }) {
			const ask = (label: string, topic: string, part: object) => {
				const defaults = { partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 };
				const topics = [{ topic, partitions: [{ ...defaults, ...part }] }];
				const asked = { replicaId: -1, topics } as never;
				return session.ask("OffsetForLeaderEpoch", version, asked, label);
			};
			await ask("a later one", name, { leaderEpoch: 1_000_000 });
			await ask("a later current one", name, { currentLeaderEpoch: 1_000_000 });
			await ask("another partition", name, { partition: 7 });
			await ask("another topic", "unknown", {});
		},
	}),
];

const describeClusterScenarios: Scenario[] = [
	scenario({
		api: "DescribeCluster",
		name: "the cluster",
		async run(session, version) {
			await session.ask("DescribeCluster", version, {});
			const withOperations = { includeClusterAuthorizedOperations: true };
			await session.ask("DescribeCluster", version, withOperations, "with operations");
			if (version < 1) return;
			await session.ask("DescribeCluster", version, { endpointType: 2 }, "of controllers");
			await session.ask("DescribeCluster", version, { endpointType: 9 }, "of nothing");
		},
	}),
];

const describeTopicPartitionsScenarios: Scenario[] = [
	scenario({
		api: "DescribeTopicPartitions",
		name: "topics",
		prepare: (session) => session.topic("describe-partitions", 3),
		async run(session, version, _, { name }: TopicNames) {
			const ask = (label: string, names: string[], more: object = {}) => {
				const topics = names.map((topic) => ({ name: topic }));
				const asked = { topics, responsePartitionLimit: 100, ...more } as never;
				return session.ask("DescribeTopicPartitions", version, asked, label);
			};
			await ask("one", [name]);
			await ask("two of its partitions", [name], { responsePartitionLimit: 2 });
			const cursor = { topicName: name, partitionIndex: 2 };
			await ask("the rest of them", [name], { cursor });
			await ask("unknown", ["unknown"]);
			await ask("illegal", ["not a name"]);
		},
	}),
];

export const clusterScenarios: readonly Scenario[] = [
	...metadataScenarios,
	...coordinatorScenarios,
	...apiVersionsScenarios,
	...initProducerIdScenarios,
	...epochScenarios,
	...describeClusterScenarios,
	...describeTopicPartitionsScenarios,
];
