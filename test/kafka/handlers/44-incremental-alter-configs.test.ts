/** Single settings are changed over Kafka, each resource with an outcome of its own. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { newTopic, settings, useBroker } from "../use-broker.ts";

const TOPIC = 2;
const BROKER = 4;
const LOGGER = 8;
const CLIENT_METRICS = 16;
const GROUP = 32;

const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;

type Change = readonly [name: string, configOperation: number, value: string | null];

const used = useBroker();
/** A topic of its own for every test. */
let topic = "";
let topics = 0;

beforeEach(async () => {
	topic = `topic-${topics++}`;
	const configs = settings({ "retention.ms": "1000", "cleanup.policy": "compact" });
	await used.ask("CreateTopics", 7, { topics: [newTopic(topic, { configs })], timeoutMs: 30_000 });
});

const resource = (resourceType: number, resourceName: string, ...changes: Change[]) => ({
	resourceType,
	resourceName,
	configs: changes.map(([name, configOperation, value]) => ({ name, configOperation, value })),
});

async function alter(
	resources: readonly Fields[],
	more: Fields = {},
	version = 1,
): Promise<readonly Fields[]> {
	const request = { resources, validateOnly: false, ...more };
	const answer = await used.ask("IncrementalAlterConfigs", version, request);
	return answer.responses as readonly Fields[];
}

/** The levels of loggers, by name. */
async function describeLevels(): Promise<Record<string, unknown>[]> {
	const resources = [{ resourceType: LOGGER, resourceName: "1" }];
	const { results } = await used.ask("DescribeConfigs", 4, { resources });
	return (results as Fields[]).map(({ configs }) =>
		Object.fromEntries((configs as Fields[]).map(({ name, value }) => [name, value])),
	);
}

/** The code of a change of one resource. */
async function codeOf(
	resourceType: number,
	resourceName: string,
	...changes: Change[]
): Promise<unknown> {
	const asked = resource(resourceType, resourceName, ...changes);
	const [validated] = await alter([asked], { validateOnly: true });
	const [outcome] = await alter([asked]);
	expect(validated).toEqual(outcome);
	expect(outcome).toMatchObject({ resourceType, resourceName });
	if (outcome?.errorCode === 0) expect(outcome.errorMessage).toBeNull();
	else expect(outcome?.errorMessage).toMatch(/./);
	return outcome?.errorCode;
}

/** What a topic or a group sets itself. */
async function overridesOf(
	resourceName: string,
	resourceType = TOPIC,
): Promise<Record<string, unknown>> {
	const named = { resourceType, resourceName, configurationKeys: null };
	const answer = await used.ask("DescribeConfigs", 1, { resources: [named] });
	const configs = (answer.results as readonly Fields[])[0]?.configs as readonly Fields[];
	const source = resourceType === TOPIC ? 1 : 8;
	const own = configs.filter(({ configSource }) => configSource === source);
	return Object.fromEntries(own.map(({ name, value }) => [name, value]));
}

describe("settings of a topic", () => {
	test.each([0, 1])("are set, and the others stay (version %i)", async (version) => {
		const changes = resource(TOPIC, topic, ["retention.ms", SET, "9223372036854775807"]);
		const done = { errorCode: 0, errorMessage: null, resourceType: TOPIC, resourceName: topic };
		expect(await alter([changes], {}, version)).toEqual([done]);
		expect(await overridesOf(topic)).toEqual({
			"retention.ms": "9223372036854775807",
			"cleanup.policy": "compact",
		});
	});

	test("go back to their defaults, also where they are there already", async () => {
		expect(await codeOf(TOPIC, topic, ["retention.ms", DELETE, null])).toBe(0);
		expect(await codeOf(TOPIC, topic, ["retention.ms", DELETE, "5"])).toBe(0);
		expect(await codeOf(TOPIC, topic, ["message.format.version", DELETE, null])).toBe(0);
		expect(await codeOf(TOPIC, topic, ["nonsense", DELETE, null])).toBe(0);
		expect(await overridesOf(topic)).toEqual({ "cleanup.policy": "compact" });
	});

	test("that are lists grow and shrink", async () => {
		const policy = async (configOperation: number, value: string) => {
			expect(await codeOf(TOPIC, topic, ["cleanup.policy", configOperation, value])).toBe(0);
			return (await overridesOf(topic))["cleanup.policy"];
		};
		expect(await policy(APPEND, "delete")).toBe("compact,delete");
		expect(await policy(APPEND, "delete,compact")).toBe("compact,delete");
		expect(await policy(SUBTRACT, "compact")).toBe("delete");
		expect(await policy(SUBTRACT, "compact")).toBe("delete");
		expect(await policy(SUBTRACT, "delete")).toBe("");
		expect(await policy(APPEND, "compact, delete")).toBe("compact,delete");
	});

	test("that are lists at their default grow from there", async () => {
		await alter([resource(TOPIC, topic, ["cleanup.policy", DELETE, null])]);
		expect(await codeOf(TOPIC, topic, ["cleanup.policy", APPEND, "compact"])).toBe(0);
		expect(await overridesOf(topic)).toMatchObject({ "cleanup.policy": "delete,compact" });
	});

	test("are changed together or not at all, and no other topic is held up", async () => {
		const other = resource(TOPIC, `topic-${topics - 2}`, ["flush.ms", SET, "7"]);
		const half = resource(TOPIC, topic, ["flush.ms", SET, "5"], ["retention.ms", SET, "x"]);
		expect(await alter([half, other])).toMatchObject([{ errorCode: 40 }, { errorCode: 0 }]);
		expect(await overridesOf(topic)).toEqual({
			"retention.ms": "1000",
			"cleanup.policy": "compact",
		});
		expect(await overridesOf(`topic-${topics - 2}`)).toMatchObject({ "flush.ms": "7" });
	});

	test("do not change when they are only validated", async () => {
		const changes = resource(TOPIC, topic, ["retention.ms", SET, "5"]);
		expect(await alter([changes], { validateOnly: true })).toMatchObject([{ errorCode: 0 }]);
		expect(await overridesOf(topic)).toMatchObject({ "retention.ms": "1000" });
	});

	test("that are appended to from many clients at once are all there", async () => {
		await alter([resource(TOPIC, topic, ["cleanup.policy", SET, ""])]);
		const append = (value: string) =>
			alter([resource(TOPIC, topic, ["cleanup.policy", APPEND, value])]);
		await Promise.all([append("compact"), append("delete"), append("compact"), append("delete")]);
		const policy = (await overridesOf(topic))["cleanup.policy"] as string;
		expect(policy.split(",").sort()).toEqual(["compact", "delete"]);
	});

	test.each<[string, Change[], number]>([
		["an unknown name", [["nonsense", SET, "1"]], 40],
		["an unknown name to append to", [["nonsense", APPEND, "1"]], 40],
		["an empty name", [["", SET, "1"]], 40],
		["a value without sense", [["retention.ms", SET, "x"]], 40],
		["an element without sense", [["cleanup.policy", APPEND, "x"]], 40],
		["what is only true otherwise", [["remote.storage.enable", SET, "true"]], 40],
		["to append to what is no list", [["retention.ms", APPEND, "1"]], 40],
		["to subtract from what is no list", [["retention.ms", SUBTRACT, "1"]], 40],
		["null to set", [["retention.ms", SET, null]], 42],
		["null to append", [["cleanup.policy", APPEND, null]], 42],
		["an unknown operation", [["retention.ms", 4, "1"]], 42],
		["a negative operation", [["retention.ms", -1, "1"]], 42],
		[
			"a setting twice",
			[
				["flush.ms", SET, "1"],
				["flush.ms", SET, "2"],
			],
			42,
		],
	])("are not changed by %s", async (_what, changes, code) => {
		expect(await codeOf(TOPIC, topic, ...changes)).toBe(code);
		expect(await overridesOf(topic)).toEqual({
			"retention.ms": "1000",
			"cleanup.policy": "compact",
		});
	});

	test("of a topic that is not there cannot be changed", async () => {
		expect(await codeOf(TOPIC, "never", ["retention.ms", SET, "1"])).toBe(3);
		expect(await codeOf(TOPIC, "", ["retention.ms", SET, "1"])).toBe(42);
		expect(await codeOf(TOPIC, "a/b", ["retention.ms", SET, "1"])).toBe(17);
	});
});

describe("other resources", () => {
	test.each(["1", ""])("what needs a restart cannot be set for broker %j", async (name) => {
		expect(await codeOf(BROKER, name, ["num.partitions", SET, "3"])).toBe(42);
		expect(await codeOf(BROKER, name, ["log.level", SET, "debug"])).toBe(42);
		expect(await codeOf(BROKER, name, ["log.retention.ms", SET, "x"])).toBe(42);
		expect(await codeOf(BROKER, name, ["max.connections", SET, "0"])).toBe(42);
		expect(await codeOf(BROKER, name, ["max.connections", APPEND, "1"])).toBe(40);
		expect(await codeOf(BROKER, name, ["nonsense", APPEND, "3"])).toBe(42);
		expect(await codeOf(BROKER, name, ["num.partitions", DELETE, null])).toBe(0);
		expect(await codeOf(BROKER, name)).toBe(0);
	});

	test("other brokers are not this one", async () => {
		expect(await codeOf(BROKER, "2", ["num.partitions", SET, "3"])).toBe(42);
		expect(await codeOf(BROKER, "x")).toBe(42);
	});

	test("loggers have levels, which go back to what the configuration says", async () => {
		expect(await codeOf(LOGGER, "1")).toBe(0);
		expect(await codeOf(LOGGER, "1", ["kafka", SET, "FATAL"], ["root", SET, "ERROR"])).toBe(0);
		const [levels] = await describeLevels();
		expect(levels).toMatchObject({ root: "ERROR", kafka: "FATAL", groups: "ERROR" });
		expect(await codeOf(LOGGER, "1", ["kafka", DELETE, null], ["root", DELETE, null])).toBe(0);
		const [restored] = await describeLevels();
		expect(restored).toMatchObject({ root: "OFF", kafka: "OFF", groups: "OFF" });
	});

	test.each<[string, string, Change, number]>([
		["a logger that there is not", "1", ["nothing", SET, "INFO"], 40],
		["taking it back", "1", ["nothing", DELETE, null], 40],
		["a level in small letters", "1", ["kafka", SET, "info"], 40],
		["OFF, which is only told", "1", ["kafka", SET, "OFF"], 40],
		["no level", "1", ["kafka", SET, null], 42],
		["a list", "1", ["kafka", APPEND, "INFO"], 42],
		["another broker", "2", ["kafka", SET, "INFO"], 42],
		["all brokers", "", ["kafka", SET, "INFO"], 42],
	])("of loggers, %s is refused, and nothing changes", async (_, name, change, code) => {
		const before = await describeLevels();
		expect(await codeOf(LOGGER, name, ["groups", SET, "DEBUG"], change)).toBe(code);
		expect(await describeLevels()).toEqual(before);
	});

	test("groups have values of their own, and go back to the broker's", async () => {
		const session = "consumer.session.timeout.ms";
		const heartbeat = "consumer.heartbeat.interval.ms";
		expect(await codeOf(GROUP, "group", [session, SET, " 50000 "], [heartbeat, SET, "6000"])).toBe(
			0,
		);
		expect(await overridesOf("group", GROUP)).toEqual({ [session]: "50000", [heartbeat]: "6000" });
		expect(await codeOf(GROUP, "group", [session, DELETE, null])).toBe(0);
		expect(await codeOf(GROUP, "group", ["nonsense", DELETE, null])).toBe(0);
		expect(await overridesOf("group", GROUP)).toEqual({ [heartbeat]: "6000" });
		const only = resource(GROUP, "group", [heartbeat, SET, "7000"]);
		expect(await alter([only], { validateOnly: true })).toMatchObject([{ errorCode: 0 }]);
		expect(await overridesOf("group", GROUP)).toEqual({ [heartbeat]: "6000" });
		expect(await overridesOf("another", GROUP)).toEqual({});
	});

	test.each<[string, string, Change[], number]>([
		["a number below its bounds", "group", [["consumer.session.timeout.ms", SET, "1"]], 40],
		["a number above its bounds", "group", [["consumer.heartbeat.interval.ms", SET, "15001"]], 40],
		["no number", "group", [["consumer.session.timeout.ms", SET, "x"]], 40],
		["half a number", "group", [["consumer.session.timeout.ms", SET, "50000.5"]], 40],
		["an unknown name", "group", [["nonsense", SET, "1"]], 40],
		["what is no list", "group", [["consumer.session.timeout.ms", APPEND, "1"]], 40],
		["null", "group", [["consumer.session.timeout.ms", SET, null]], 42],
		["no group", "", [["consumer.session.timeout.ms", SET, "50000"]], 42],
		["a long group", "x".repeat(8_193), [["consumer.session.timeout.ms", SET, "50000"]], 24],
	])("groups are not given %s", async (_what, group, changes, code) => {
		const before = await overridesOf("group", GROUP);
		expect(await codeOf(GROUP, group, ...changes)).toBe(code);
		expect(await overridesOf("group", GROUP)).toEqual(before);
	});

	test("of the changes of a group all are made or none", async () => {
		const good = ["consumer.session.timeout.ms", SET, "55000"] as const;
		const bad = ["consumer.heartbeat.interval.ms", SET, "1"] as const;
		expect(await codeOf(GROUP, "half", good, bad)).toBe(40);
		expect(await overridesOf("half", GROUP)).toEqual({});
	});

	test.each([-1, 0, 1, 3, CLIENT_METRICS, 64])("type %i has no configuration", async (type) => {
		expect(await codeOf(type, "1", ["name", SET, "1"])).toBe(42);
	});
});

test("a resource that a request has twice is refused each time", async () => {
	const twice = [
		resource(TOPIC, topic, ["flush.ms", SET, "1"]),
		resource(BROKER, "1"),
		resource(TOPIC, topic, ["retention.ms", SET, "2"]),
	];
	expect(await alter(twice)).toMatchObject([
		{ resourceType: TOPIC, errorCode: 42 },
		{ resourceType: BROKER, errorCode: 0 },
		{ resourceType: TOPIC, errorCode: 42 },
	]);
	expect(await overridesOf(topic)).toMatchObject({ "retention.ms": "1000" });
	expect(await alter([])).toEqual([]);
});
