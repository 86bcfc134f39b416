/** What can be described is listed over Kafka. */
import { beforeAll, expect, test } from "vitest";
import { newTopic, useBroker } from "../use-broker.ts";

const TOPIC = 2;
const BROKER = 4;
const LOGGER = 8;
const CLIENT_METRICS = 16;
const GROUP = 32;

const used = useBroker();

beforeAll(async () => {
	const topics = [newTopic("one"), newTopic("two")];
	await used.ask("CreateTopics", 7, { topics, timeoutMs: 30_000 });
});

const list = (...resourceTypes: number[]) => used.ask("ListConfigResources", 1, { resourceTypes });

const named = (resourceType: number, ...names: string[]) =>
	names.map((resourceName) => ({ resourceName, resourceType }));

test("version 0 is about subscriptions of client metrics, of which there are none", async () => {
	const answer = await used.ask("ListConfigResources", 0);
	expect(answer).toMatchObject({ errorCode: 0, configResources: [] });
});

test("everything is listed where no type is named", async () => {
	expect(await list()).toMatchObject({
		errorCode: 0,
		configResources: [...named(LOGGER, "1"), ...named(BROKER, "1"), ...named(TOPIC, "one", "two")],
	});
});

test("types are listed that are named", async () => {
	expect((await list(TOPIC)).configResources).toEqual(named(TOPIC, "one", "two"));
	expect((await list(BROKER, BROKER)).configResources).toEqual(named(BROKER, "1"));
	expect((await list(CLIENT_METRICS, GROUP)).configResources).toEqual([]);
});

test("groups are listed while they have a configuration of their own", async () => {
	const alter = (resourceName: string, value: string | null) => {
		const name = "consumer.session.timeout.ms";
		const configs = [{ name, configOperation: value === null ? 1 : 0, value }];
		const resources = [{ resourceType: GROUP, resourceName, configs }];
		return used.ask("IncrementalAlterConfigs", 1, { resources, validateOnly: false });
	};
	await alter("second", "50000");
	await alter("first", "50000");
	expect((await list(GROUP)).configResources).toEqual(named(GROUP, "first", "second"));
	await alter("second", null);
	expect((await list(GROUP)).configResources).toEqual(named(GROUP, "first"));
});

test.each([0, 1, 64])("an unknown type (%i) is unsupported, and all with it", async (type) => {
	expect(await list(TOPIC, type)).toMatchObject({ errorCode: 35, configResources: [] });
});
