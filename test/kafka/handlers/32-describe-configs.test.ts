/** Configurations are described over Kafka: of topics, of the broker, of groups. */
import { beforeAll, describe, expect, test } from "vitest";
import { LOG_AREAS } from "../../../src/log-levels.ts";
import type { Fields } from "../client-codec.ts";
import { pick } from "../pick.ts";
import { newTopic, settings, useBroker } from "../use-broker.ts";

const TOPIC = 2;
const BROKER = 4;
const LOGGER = 8;
const CLIENT_METRICS = 16;
const GROUP = 32;

const used = useBroker({ numPartitions: 7, options: { "log.segment.bytes": "2000000" } });

beforeAll(async () => {
	const configs = settings({ "retention.ms": "1000" });
	const topics = [newTopic("topic", { configs }), newTopic("plain")];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
});

async function describeAll(
	resources: readonly Fields[],
	more: Fields = {},
	version = 4,
): Promise<readonly Fields[]> {
	const named = resources.map((resource) => ({ configurationKeys: null, ...resource }));
	const answer = await used.ask("DescribeConfigs", version, { resources: named, ...more });
	return answer.results as readonly Fields[];
}

async function describeOne(
	resourceType: number,
	resourceName: string,
	more: Fields = {},
): Promise<Fields> {
	const [result] = await describeAll([{ resourceType, resourceName }], more);
	return result as Fields;
}

/** The settings of a result by name. */
function byName(result: Fields | undefined): Map<string, Fields> {
	const configs = result?.configs as readonly Fields[];
	return new Map(configs.map((entry) => [entry.name as string, entry]));
}

describe("a topic's configuration", () => {
	test("tells the values that the topic has and where they are from (version 1)", async () => {
		const resource = { resourceType: TOPIC, resourceName: "topic" };
		const [result] = await describeAll([resource], { includeSynonyms: true }, 1);
		expect(result).toMatchObject({ errorCode: 0, errorMessage: "", ...resource });
		const configs = byName(result);
		expect(configs.get("retention.ms")).toEqual({
			name: "retention.ms",
			value: "1000",
			readOnly: false,
			configSource: 1,
			isSensitive: false,
			synonyms: [{ name: "retention.ms", value: "1000", source: 1 }],
		});
		expect(configs.get("segment.bytes")).toMatchObject({
			value: "2000000",
			configSource: 4,
			synonyms: [
				{ name: "log.segment.bytes", value: "2000000", source: 4 },
				{ name: "log.segment.bytes", value: "1073741824", source: 5 },
			],
		});
		expect(configs.get("flush.messages")).toMatchObject({
			value: "1",
			configSource: 5,
			synonyms: [{ name: "log.flush.interval.messages", value: "1", source: 5 }],
		});
		expect(configs.get("remote.storage.enable")).toMatchObject({ readOnly: true });
	});

	test("tells types, and documentation where it is asked for", async () => {
		const resource = { resourceType: TOPIC, resourceName: "plain" };
		const [result] = await describeAll([resource], { includeDocumentation: true });
		const types = [...byName(result).values()].map(({ configType }) => configType);
		expect(new Set(types)).toEqual(new Set([1, 2, 3, 5, 6, 7]));
		const documented = byName(result).get("segment.bytes");
		expect(documented).toMatchObject({ configType: 3, synonyms: [] });
		expect(documented?.documentation).toMatch(/new segment/);
		const without = byName(await describeOne(TOPIC, "plain")).get("segment.bytes");
		expect(without).toMatchObject({ configType: 3, documentation: null });
	});

	test("is filtered by keys; no keys are all of them", async () => {
		const named = (configurationKeys: string[] | null) => ({
			resourceType: TOPIC,
			resourceName: "topic",
			configurationKeys,
		});
		const results = await describeAll([
			named(["retention.ms", "nonsense"]),
			named(["nonsense"]),
			named([]),
			named(null),
		]);
		const counts = results.map((result) => byName(result).size);
		expect(counts.slice(0, 2)).toEqual([1, 0]);
		expect(counts[2]).toBeGreaterThan(25);
		expect(counts[3]).toBe(counts[2]);
	});

	test("is told of the broker's own topics too", async () => {
		await used.ask("FindCoordinator", 4, { keyType: 0, coordinatorKeys: ["group"] });
		const configs = byName(await describeOne(TOPIC, "__consumer_offsets"));
		expect(configs.get("cleanup.policy")).toMatchObject({ value: "compact", configSource: 1 });
	});

	test.each([
		["a topic that is not there", "never", 3],
		["an empty name", "", 17],
		["a name with a slash", "a/b", 17],
	])("is refused for %s", async (_what, resourceName, errorCode) => {
		const result = await describeOne(TOPIC, resourceName);
		expect(result).toMatchObject({ errorCode, resourceType: TOPIC, resourceName, configs: [] });
		expect(result.errorMessage).toMatch(/./);
	});
});

describe("the broker's configuration", () => {
	test("tells options under Kafka's names, and which can change", async () => {
		const result = await describeOne(BROKER, "1", { includeSynonyms: true });
		const configs = byName(result);
		expect(configs.get("num.partitions")).toMatchObject({
			value: "7",
			configSource: 4,
			configType: 3,
			synonyms: [
				{ name: "num.partitions", value: "7", source: 4 },
				{ name: "num.partitions", value: "1", source: 5 },
			],
		});
		expect(configs.get("auto.create.topics.enable")).toMatchObject({
			value: "true",
			configSource: 5,
			configType: 1,
		});
		expect(configs.get("log.retention.ms")).toMatchObject({ value: null, synonyms: [] });
		expect(configs.get("log.retention.hours")).toMatchObject({ value: "168", configSource: 5 });
		expect(configs.get("log.segment.bytes")).toMatchObject({ value: "2000000", configSource: 4 });
		expect(configs.get("advertised.listeners")).toMatchObject({
			value: `PLAINTEXT://127.0.0.1:${used.port}`,
		});
		expect(configs.get("listeners")).toMatchObject({
			value: `PLAINTEXT://127.0.0.1:${used.port}`,
		});
		const changeable = [...configs.values()].filter(({ readOnly }) => readOnly === false);
		const names = changeable.map(({ name }) => name);
		expect(names).toEqual(
			expect.arrayContaining(["log.retention.hours", "log.retention.ms", "max.connections"]),
		);
		expect(names).not.toContain("num.partitions");
		expect(names).not.toContain("broker.id");
		expect([...configs.keys()]).toEqual([...configs.keys()].sort());
	});

	test("has nothing that was set for all brokers while they ran", async () => {
		expect(await describeOne(BROKER, "")).toMatchObject({ errorCode: 0, configs: [] });
	});

	test.each(["2", "-1", "x", "01"])("is not told of broker %s", async (resourceName) => {
		const result = await describeOne(BROKER, resourceName);
		expect(result).toMatchObject({ errorCode: 42, configs: [] });
	});
});

describe("other resources", () => {
	test("groups have what the broker gives them unless they have their own", async () => {
		const configs = byName(await describeOne(GROUP, "group", { includeSynonyms: true }));
		expect(configs.get("consumer.session.timeout.ms")).toMatchObject({
			value: "45000",
			configSource: 5,
			configType: 3,
			readOnly: false,
			synonyms: [{ name: "group.consumer.session.timeout.ms", value: "45000", source: 5 }],
		});
		const own = settings({ "consumer.session.timeout.ms": "50000" });
		const resources = [{ resourceType: GROUP, resourceName: "own", configs: own }];
		await used.ask("AlterConfigs", 2, { resources, validateOnly: false });
		const changed = byName(await describeOne(GROUP, "own", { includeSynonyms: true }));
		expect(changed.get("consumer.session.timeout.ms")).toMatchObject({
			value: "50000",
			configSource: 8,
			synonyms: [
				{ name: "consumer.session.timeout.ms", value: "50000", source: 8 },
				{ name: "group.consumer.session.timeout.ms", value: "45000", source: 5 },
			],
		});
		expect(await describeOne(GROUP, "")).toMatchObject({ errorCode: 42, configs: [] });
	});

	test("the broker has a logger for each area, and one for the others", async () => {
		const { errorCode, configs } = await describeOne(LOGGER, "1");
		expect(errorCode).toBe(0);
		expect((configs as Fields[]).map(({ name }) => name)).toEqual(["root", ...LOG_AREAS]);
		expect(configs).toContainEqual({
			name: "kafka",
			value: "OFF",
			readOnly: false,
			configSource: 6,
			isSensitive: false,
			synonyms: [],
			configType: 0,
			documentation: null,
		});
		expect(await describeOne(LOGGER, "2")).toMatchObject({ errorCode: 42 });
		expect(await describeOne(LOGGER, "")).toMatchObject({ errorCode: 42 });
	});

	test.each([-1, 0, 1, 3, CLIENT_METRICS, 64])("type %i has no configuration", async (type) => {
		const result = await describeOne(type, "1");
		expect(result).toMatchObject({ errorCode: 42, resourceType: type, configs: [] });
		expect(result.errorMessage).toMatch(/./);
	});
});

test("every resource of a request has an outcome of its own, in order", async () => {
	const names = ["plain", "never", "topic", "plain"];
	const results = await describeAll(
		names.map((resourceName) => ({ resourceType: TOPIC, resourceName })),
	);
	expect(results.map(({ resourceName }) => resourceName)).toEqual(names);
	expect(results.map(({ errorCode }) => errorCode)).toEqual([0, 3, 0, 0]);
	expect(await describeAll([])).toEqual([]);
});

test("hundreds of resources are answered in one response, the same as alone", async () => {
	const alone = await describeOne(TOPIC, "topic", { includeDocumentation: true });
	const resources = Array.from({ length: 300 }, () => ({
		resourceType: TOPIC,
		resourceName: "topic",
	}));
	const results = await describeAll(resources, { includeDocumentation: true });
	expect(results).toEqual(resources.map(() => alone));
});

test("a request that names more than there can be ends the connection", async () => {
	const client = await used.connect();
	const resources = Array.from({ length: 32_769 }, () => ({
		resourceType: BROKER,
		resourceName: "1",
		configurationKeys: null,
	}));
	client.send("DescribeConfigs", 1, { resources });
	await client.closed;
	expect(client.framesWaiting).toBe(0);
});

test("a client that leaves while a long answer is made does no harm", async () => {
	const client = await used.connect();
	const resources = Array.from({ length: 5_000 }, () => ({
		resourceType: BROKER,
		resourceName: "1",
		configurationKeys: null,
	}));
	client.send("DescribeConfigs", 1, { resources });
	await client.close();
	const answer = await used.ask("DescribeConfigs", 1, { resources: resources.slice(0, 1) });
	expect(pick(answer, "results", 0)).toMatchObject({ errorCode: 0 });
});
