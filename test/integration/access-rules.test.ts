/** Access rules as administrators make them, with the tool that comes with Apache Kafka. */
import { beforeAll, expect, test } from "vitest";

import { atEndOfSuite, BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { kafkaJava, MISSING_KAFKA_JAVA } from "../optional-parts.ts";
import { runTool } from "./client-programs.ts";

const TOPIC_AUTHORIZATION_FAILED = 29;

const atEnd = atEndOfSuite();
const flags = ["--kafka", "127.0.0.1:0", "--authorization-enable", "true"];
let dataDir: string;
let broker: BrokerProcess;

beforeAll(async () => {
	dataDir = temporaryDirectory(atEnd);
	broker = await BrokerProcess.start({
		dataDir,
		flags: [...flags, "--super-users", "User:root;User:ANONYMOUS"],
		atEnd,
	});
});

test("kafka-acls makes rules, shows them and takes them away", async (context) => {
	const java = kafkaJava() ?? context.skip(MISSING_KAFKA_JAVA);
	const acls = (...parameters: string[]) => {
		const bootstrap = ["--bootstrap-server", broker.kafka as string];
		return runTool([...java, "org.apache.kafka.tools.AclCommand", ...bootstrap, ...parameters]);
	};
	const prefix = ["--topic", "orders-", "--resource-pattern-type", "prefixed"];
	await acls("--add", "--allow-principal", "User:alice", "--producer", ...prefix);
	await acls("--add", "--deny-principal", "User:bob", "--operation", "Read", "--group", "billing");
	const shown = await acls("--list");
	for (const operation of ["WRITE", "DESCRIBE", "CREATE"]) {
		expect(shown).toContain(
			`principal=User:alice, host=*, operation=${operation}, permissionType=ALLOW`,
		);
	}
	expect(shown).toContain("resourceType=TOPIC, name=orders-, patternType=PREFIXED");
	expect(shown).toContain("principal=User:bob, host=*, operation=READ, permissionType=DENY");
	await acls("--remove", "--force", "--producer", "--allow-principal", "User:alice", ...prefix);
	const left = await acls("--list");
	expect(left).not.toContain("User:alice");
	expect(left).toContain("User:bob");
});

test("a broker that follows rules refuses who has none, after a restart as before", async () => {
	const client = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
	const topics = [{ name: "kept", numPartitions: 1, replicationFactor: 1 }];
	await client.request("CreateTopics", 7, { topics, timeoutMs: 30_000 });
	const rule = { resourceType: 2, resourceName: "kept", resourcePatternType: 3, host: "*" };
	const creations = [{ ...rule, principal: "User:ANONYMOUS", operation: 8, permissionType: 3 }];
	await client.request("CreateAcls", 3, { creations });
	await client.close();
	await broker.stop();
	broker = await BrokerProcess.start({ dataDir, flags, atEnd });
	const again = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
	const asked = [{ name: "kept" }, { name: "other" }];
	const described = await again.request("Metadata", 9, { topics: asked });
	expect(described.topics).toMatchObject([
		{ name: "kept", errorCode: 0 },
		{ name: "other", errorCode: TOPIC_AUTHORIZATION_FAILED },
	]);
	const partition = { topic: "kept", partitions: [{ partition: 0, partitionMaxBytes: 100 }] };
	const read = await again.request("Fetch", 12, { sessionEpoch: -1, topics: [partition] });
	expect(read.responses).toMatchObject([
		{ partitions: [{ errorCode: TOPIC_AUTHORIZATION_FAILED }] },
	]);
	await again.close();
});
