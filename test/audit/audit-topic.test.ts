/** What a broker notes in `__audit`, of all protocols, and what it never does. */
import { expect, onTestFinished, test } from "vitest";

import { AuditTopic } from "../../src/audit/audit-topic.ts";
import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { PLAN_CODE, PLAN_STRIDE } from "../../src/storage/layout.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { TopicCatalogue } from "../../src/topics/catalogue.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { kafkaPortOf, newTopic, settings } from "../kafka/use-broker.ts";

const PASSWORD = "correct horse battery staple";

async function started(options: Record<string, string> = {}) {
	const broker = await startBroker({
		memory: true,
		options: { "audit.log.enable": "true", ...options },
	});
	onTestFinished(() => broker.close());
	const client = await connect(broker.addresses.websocket);
	onTestFinished(() => client.close());
	const kafka = await RawKafkaClient.connect(kafkaPortOf(broker));
	onTestFinished(() => kafka.close());
	return { broker, client, kafka };
}

type Started = Awaited<ReturnType<typeof started>>;
type Event = Record<string, string | number>;

/** Reads events until there is one that matches. */
async function eventsUntil({ client }: Started, isLast: (event: Event) => boolean) {
	const events: Event[] = [];
	const consumer = client.consumer({ topics: ["__audit"], from: "earliest", codec: "json" });
	for await (const { value } of consumer) {
		const event = value as Event;
		events.push(event);
		if (isLast(event)) break;
	}
	await consumer.close();
	return events;
}

const briefly = ({ protocol, operation, resource, outcome }: Event) =>
	[protocol, operation, resource, outcome].join(" ");

test("administration is noted, whatever the protocol, and secrets are not", async () => {
	const used = await started();
	const { kafka, client } = used;
	const topics = [newTopic("a"), newTopic("b")];
	await kafka.request("CreateTopics", 7, { topics, timeoutMs: 9_000, validateOnly: true });
	await kafka.request("CreateTopics", 7, { topics, timeoutMs: 9_000 });
	await kafka.request("CreatePartitions", 3, {
		topics: [{ name: "a", count: 2, assignments: null }],
		timeoutMs: 9_000,
	});
	await kafka.request("IncrementalAlterConfigs", 1, {
		resources: [
			{
				resourceType: 2,
				resourceName: "a",
				configs: [{ ...settings({ "retention.ms": "1" })[0], configOperation: 0 }],
			},
		],
	} as Fields);
	const saltedPassword = Buffer.alloc(32, PASSWORD);
	const salt = Buffer.from("the salt of the test");
	await kafka.request("AlterUserScramCredentials", 0, {
		deletions: [],
		upsertions: [{ name: "alice", mechanism: 1, iterations: 4_096, salt, saltedPassword }],
	} as Fields);
	await kafka.request("AlterClientQuotas", 1, {
		entries: [
			{
				entity: [{ entityType: "user", entityName: "alice" }],
				ops: [{ key: "producer_byte_rate", value: 1_000_000, remove: false }],
			},
		],
		validateOnly: false,
	} as Fields);
	await client.topics.create("c");
	const headers = { "content-type": "application/json" };
	const body = JSON.stringify({ name: "d" });
	const { http } = used.broker.addresses;
	expect((await fetch(`${http}/v1/topics`, { method: "POST", headers, body })).status).toBe(200);
	await client.users.set("bob", PASSWORD);
	await client.users.delete("bob");
	await client.configs.alter({ "max.connections": 100 });
	await client.configs.alter({ "max.connections": 200 }, { validateOnly: true });
	await client.topics.delete("b");
	const events = await eventsUntil(used, ({ operation }) => operation === "topics.delete");
	expect(events.map(briefly)).toEqual([
		"kafka CreateTopics topic a done",
		"kafka CreateTopics topic b done",
		"kafka CreatePartitions topic a done",
		"kafka IncrementalAlterConfigs topic a done",
		"kafka AlterUserScramCredentials user alice done",
		"kafka AlterClientQuotas quotas of user alice done",
		"websocket topics.create topic c done",
		"http topics.create topic d done",
		"websocket users.set user bob done",
		"websocket users.delete user bob done",
		"websocket configs.alter cluster kafka-cluster, settings of level broker: max.connections done",
		"websocket topics.delete topic b done",
	]);
	expect(events[0]).toMatchObject({ principal: "User:ANONYMOUS", address: "127.0.0.1" });
	const text = JSON.stringify(events);
	for (const secret of [PASSWORD.slice(0, 9), saltedPassword.toString("base64"), "the salt"]) {
		expect(text).not.toContain(secret);
	}
});

test("what is refused is noted, too, and logins without what was typed", async () => {
	const used = await started({
		"kafka.security.protocol": "SASL_PLAINTEXT",
		"authorization.enable": "true",
		"super.users": "User:ANONYMOUS",
	});
	const { broker, kafka } = used;
	await broker.users.setPassword("alice", PASSWORD);
	await kafka.request("SaslHandshake", 1, { mechanism: "PLAIN" });
	const authBytes = Buffer.from(`\0alice\0${PASSWORD}`);
	await kafka.request("SaslAuthenticate", 2, { authBytes });
	const topics = [newTopic("a")];
	await kafka.request("CreateTopics", 7, { topics, timeoutMs: 9_000 });
	await kafka.request("DescribeAcls", 3, {
		...{ resourceTypeFilter: 1, resourceNameFilter: null, patternTypeFilter: 1 },
		...{ principalFilter: null, hostFilter: null, operation: 1, permissionType: 1 },
	});
	const guess = await RawKafkaClient.connect(kafkaPortOf(broker));
	onTestFinished(() => guess.close());
	await guess.request("SaslHandshake", 1, { mechanism: "PLAIN" });
	await guess.request("SaslAuthenticate", 2, { authBytes: Buffer.from("\0typed here\0too") });
	const events = await eventsUntil(used, ({ operation }) => operation === "login");
	expect(events.map(briefly)).toEqual([
		"kafka CreateTopics topic a TOPIC_AUTHORIZATION_FAILED",
		"kafka DescribeAcls  CLUSTER_AUTHORIZATION_FAILED",
		" login  credentials",
	]);
	expect(events[0]).toMatchObject({ principal: "User:alice", count: 1 });
	expect(JSON.stringify(events)).not.toMatch(/typed|too|horse/);
});

test("nobody writes to it, and nobody deletes it", async () => {
	const { kafka, client } = await started();
	await client.topics.create("a");
	await expect(client.producer().send({ topic: "__audit", value: "x" })).rejects.toMatchObject({
		code: "INVALID_TOPIC_EXCEPTION",
	});
	const topics = [{ name: "__audit", topicId: "00000000-0000-0000-0000-000000000000" }];
	const deleted = await kafka.request("DeleteTopics", 6, { topics, timeoutMs: 9_000 });
	expect(deleted.responses).toMatchObject([{ errorCode: 17 }]);
});

test("without the option there is none", async () => {
	const { client } = await started({ "audit.log.enable": "false" });
	await client.topics.create("a");
	const { length } = await client.topics.list({ internal: true });
	expect(length).toBe(1);
});

test("what is told of an append is what became of that one, not of the one before", async () => {
	const plan = new Float64Array(PLAN_STRIDE);
	const taken: number[] = [];
	/** Whether another thread does the last append, and the next one. */
	const appends = { last: false, next: false };
	let token = 0;
	const storage = {
		plan,
		get isElsewhere() {
			return appends.last;
		},
		nextConnection: () => 1,
		decodeProduce: () => undefined,
		append: () => {
			appends.last = appends.next;
			return ++token;
		},
		onToken: (_: number, done: (code: number) => void) => queueMicrotask(() => done(0)),
		takeAppended: (of: number) => {
			taken.push(of);
			plan[PLAN_CODE] = CODES.DISK_FULL.code;
		},
	};
	const catalogue = { create: async () => ({ topic: { handle: 1 } }) };
	const topic = await AuditTopic.open(
		storage as unknown as Storage,
		catalogue as unknown as TopicCatalogue,
	);
	appends.next = true;
	await expect(topic.append(["first"])).rejects.toMatchObject({ code: "DISK_FULL" });
	appends.next = false;
	await topic.append(["second"]);
	expect(taken).toEqual([1]);
});
