/** Options of the broker are set over Kafka while it runs, as Kafka's own tools do it. */
import { join } from "node:path";
import { expect, test } from "vitest";

import { type Broker, type StartBrokerOptions, startBroker } from "../../src/index.ts";
import { temporaryDirectory } from "../broker-process.ts";
import type { Fields } from "./client-codec.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf, newTopic } from "./use-broker.ts";

const [TOPIC, BROKER] = [2, 4];
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3];

type Change = readonly [name: string, configOperation: number, value: string | null];

async function withBroker(
	options: StartBrokerOptions,
	work: (client: RawKafkaClient, broker: Broker) => Promise<void>,
): Promise<void> {
	const broker = await startBroker({ websocket: "127.0.0.1:0", ...options });
	const client = await RawKafkaClient.connect(kafkaPortOf(broker));
	await work(client, broker);
	await client.close();
	await broker.close();
}

async function set(client: RawKafkaClient, name: string, ...changes: Change[]): Promise<void> {
	const configs = changes.map(([option, configOperation, value]) => ({
		name: option,
		configOperation,
		value,
	}));
	const resources = [{ resourceType: BROKER, resourceName: name, configs }];
	const request = { resources, validateOnly: false };
	const { responses } = await client.request("IncrementalAlterConfigs", 1, request);
	expect(responses).toMatchObject([{ errorCode: 0, errorMessage: null }]);
}

/** One setting with its synonyms as "SOURCE name=value". */
async function described(
	client: RawKafkaClient,
	resourceType: number,
	resourceName: string,
	name: string,
) {
	const resources = [{ resourceType, resourceName, configurationKeys: [name] }];
	const request = { resources, includeSynonyms: true };
	const { results } = await client.request("DescribeConfigs", 4, request);
	const [result] = results as readonly [Fields];
	const [config] = result.configs as readonly Fields[];
	if (config === undefined) return undefined;
	const synonyms = (config.synonyms as readonly Fields[]).map(
		(synonym) => `${synonym.source} ${synonym.name}=${synonym.value}`,
	);
	const { value, configSource, readOnly } = config;
	return { value, configSource, readOnly, synonyms };
}

test("what is set for the broker wins over the cluster, the start and the default", async () => {
	const options = { memory: true, options: { "log.retention.hours": "5" } };
	await withBroker(options, async (client) => {
		await client.request("CreateTopics", 7, { topics: [newTopic("t")], timeoutMs: 30_000 });
		await set(client, "", ["log.retention.ms", SET, "7000000"], ["max.connections", SET, "50"]);
		await set(client, "1", ["log.retention.ms", SET, "+5000000"]);
		const synonyms = [
			"2 log.retention.ms=5000000",
			"3 log.retention.ms=7000000",
			"4 log.retention.hours=5",
			"5 log.retention.hours=168",
		];
		const own = { value: "5000000", configSource: 2, readOnly: false, synonyms };
		expect(await described(client, BROKER, "1", "log.retention.ms")).toEqual(own);
		expect(await described(client, TOPIC, "t", "retention.ms")).toEqual(own);
		expect(await described(client, BROKER, "", "log.retention.ms")).toEqual({
			value: "7000000",
			configSource: 3,
			readOnly: false,
			synonyms: ["3 log.retention.ms=7000000"],
		});
		expect(await described(client, BROKER, "", "log.retention.hours")).toBeUndefined();
		await set(client, "1", ["log.retention.ms", DELETE, null]);
		expect(await described(client, TOPIC, "t", "retention.ms")).toMatchObject({
			value: "7000000",
			configSource: 3,
		});
		await set(client, "", ["log.retention.ms", DELETE, null]);
		expect(await described(client, TOPIC, "t", "retention.ms")).toMatchObject({
			value: "18000000",
		});
		expect(await described(client, BROKER, "1", "max.connections")).toEqual({
			value: "50",
			configSource: 3,
			readOnly: false,
			synonyms: ["3 max.connections=50", "5 max.connections=10000"],
		});
	});
});

test("a lower limit of connections counts at once", async () => {
	await withBroker({ memory: true }, async (client, broker) => {
		await set(client, "1", ["max.connections", SET, "1"]);
		const refused = await RawKafkaClient.connect(kafkaPortOf(broker));
		await expect(refused.request("ApiVersions", 0)).rejects.toThrow();
		await set(client, "1", ["max.connections", SET, "2"]);
		const taken = await RawKafkaClient.connect(kafkaPortOf(broker));
		await taken.request("ApiVersions", 0);
		await taken.close();
	});
});

test("lists grow and shrink at each level from its own, or from the default", async () => {
	await withBroker({ memory: true }, async (client) => {
		const policy = (name: string) => described(client, BROKER, name, "log.cleanup.policy");
		const change = (name: string, operation: number, value: string) =>
			set(client, name, ["log.cleanup.policy", operation, value]);
		await change("1", SET, "compact");
		await change("", APPEND, "compact");
		expect(await policy("")).toMatchObject({ value: "delete,compact" });
		expect(await policy("1")).toMatchObject({ value: "compact" });
		await change("", SUBTRACT, "delete");
		expect(await policy("")).toMatchObject({ value: "compact" });
		await set(client, "1", ["log.cleanup.policy", DELETE, null]);
		await change("1", APPEND, "delete");
		expect(await policy("1")).toMatchObject({ value: "delete" });
		await change("1", APPEND, "compact");
		expect(await policy("1")).toMatchObject({ value: "delete,compact" });
	});
});

test("what was set is there after a restart, and wins over the file", async () => {
	const dataDir = join(temporaryDirectory(), "data");
	await withBroker({ dataDir }, async (client) => {
		await client.request("CreateTopics", 7, { topics: [newTopic("t")], timeoutMs: 30_000 });
		await set(client, "1", ["log.segment.bytes", SET, "2000000"]);
		await set(client, "", ["max.connections", SET, "77"]);
	});
	const options = { dataDir, maxConnections: 60, options: { "log.segment.bytes": "3000000" } };
	await withBroker(options, async (client) => {
		expect(await described(client, TOPIC, "t", "segment.bytes")).toMatchObject({
			value: "2000000",
			configSource: 2,
		});
		expect(await described(client, BROKER, "1", "max.connections")).toMatchObject({
			synonyms: ["3 max.connections=77", "4 max.connections=60", "5 max.connections=10000"],
		});
		await set(client, "1", ["log.segment.bytes", DELETE, null]);
	});
	await withBroker({ dataDir }, async (client) => {
		expect(await described(client, TOPIC, "t", "segment.bytes")).toMatchObject({
			value: "1073741824",
			configSource: 5,
		});
	});
});
