/** Configurations of topics are replaced over Kafka as a whole. */
import { beforeEach, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { newTopic, settings, useBroker } from "../use-broker.ts";

const TOPIC = 2;
const BROKER = 4;
const LOGGER = 8;
const GROUP = 32;

const used = useBroker();

beforeEach(async () => {
	await used.ask("DeleteTopics", 6, { topics: [{ name: "topic" }], timeoutMs: 30_000 });
	const configs = settings({ "retention.ms": "1000", "cleanup.policy": "compact" });
	const topics = [newTopic("topic", { configs })];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
});

async function alter(
	resources: readonly Fields[],
	validateOnly = false,
	version = 2,
): Promise<readonly Fields[]> {
	const answer = await used.ask("AlterConfigs", version, { resources, validateOnly });
	return answer.responses as readonly Fields[];
}

const resource = (
	resourceType: number,
	resourceName: string,
	configs: Record<string, string | null>,
) => ({ resourceType, resourceName, configs: settings(configs) });

async function overrides(): Promise<Record<string, unknown>> {
	const named = { resourceType: TOPIC, resourceName: "topic", configurationKeys: null };
	const answer = await used.ask("DescribeConfigs", 1, { resources: [named] });
	const configs = (answer.results as readonly Fields[])[0]?.configs as readonly Fields[];
	const own = configs.filter(({ configSource }) => configSource === 1);
	return Object.fromEntries(own.map(({ name, value }) => [name, value]));
}

test.each([0, 2])("what is not named goes back to its default (version %i)", async (version) => {
	const changes = resource(TOPIC, "topic", { "retention.ms": "5", "flush.ms": "7" });
	const done = { errorCode: 0, errorMessage: null, resourceType: TOPIC, resourceName: "topic" };
	expect(await alter([changes], false, version)).toEqual([done]);
	expect(await overrides()).toEqual({ "retention.ms": "5", "flush.ms": "7" });
	expect(await alter([resource(TOPIC, "topic", {})])).toEqual([done]);
	expect(await overrides()).toEqual({});
});

test("nothing changes when it is only validated, or refused", async () => {
	const before = { "retention.ms": "1000", "cleanup.policy": "compact" };
	const good = resource(TOPIC, "topic", { "retention.ms": "5" });
	expect(await alter([good], true)).toMatchObject([{ errorCode: 0 }]);
	for (const [configs, errorCode] of [
		[{ nonsense: "1" }, 40],
		[{ "retention.ms": "x" }, 40],
		[{ "retention.ms": null }, 42],
	] as const) {
		const outcomes = await alter([resource(TOPIC, "topic", configs)]);
		expect(outcomes).toMatchObject([{ errorCode, errorMessage: expect.stringMatching(/./) }]);
	}
	const twice = {
		...resource(TOPIC, "topic", {}),
		configs: [...settings({ "flush.ms": "1" }), ...settings({ "flush.ms": "2" })],
	};
	expect(await alter([twice])).toMatchObject([{ errorCode: 42 }]);
	expect(await alter([good, good])).toMatchObject([{ errorCode: 42 }, { errorCode: 42 }]);
	expect(await overrides()).toEqual(before);
});

test.each([
	["a topic that is not there", TOPIC, "never", 3],
	["a topic without a name", TOPIC, "", 42],
	["an impossible topic", TOPIC, "a/b", 17],
	["the broker", BROKER, "1", 42],
	["all brokers", BROKER, "", 42],
	["another broker", BROKER, "2", 42],
	["a logger", LOGGER, "1", 42],
	["all groups", GROUP, "", 42],
	["an unknown type", 64, "1", 42],
])("%s cannot be altered", async (_what, resourceType, resourceName, errorCode) => {
	const configs = { "num.partitions": "3" };
	const outcomes = await alter([resource(resourceType, resourceName, configs)]);
	expect(outcomes).toMatchObject([{ errorCode, resourceType, resourceName }]);
});

test("what a group sets itself is replaced, too", async () => {
	const describeGroup = async () => {
		const named = { resourceType: GROUP, resourceName: "group", configurationKeys: null };
		const answer = await used.ask("DescribeConfigs", 1, { resources: [named] });
		const configs = (answer.results as readonly Fields[])[0]?.configs as readonly Fields[];
		return configs.map(({ value, configSource }) => [value, configSource]);
	};
	const [session, heartbeat] = ["consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"];
	await alter([resource(GROUP, "group", { [heartbeat]: "6000" })]);
	const changes = resource(GROUP, "group", { [session]: "50000" });
	expect(await alter([changes])).toMatchObject([{ errorCode: 0, errorMessage: null }]);
	expect(await describeGroup()).toEqual([
		["5000", 5],
		["50000", 8],
	]);
	expect(await alter([resource(GROUP, "group", {})])).toMatchObject([{ errorCode: 0 }]);
	expect(await describeGroup()).toEqual([
		["5000", 5],
		["45000", 5],
	]);
});

test("to set nothing for the broker is done already", async () => {
	expect(await alter([resource(BROKER, "1", {})])).toMatchObject([{ errorCode: 0 }]);
});
