/** Settings of the broker, described and changed by calls: the same that Kafka's tools change. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { ALL_OPTIONS } from "../../src/config/options.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { useBroker } from "../kafka/use-broker.ts";

const BROKER = 4;

const used = useBroker({ options: { "max.connections": "500" } });
let client: Client;

beforeAll(async () => {
	client = await connect(used.broker.addresses.websocket);
});
afterAll(() => client.close());
afterEach(async () => {
	const nothing = { "max.connections": null, "log.retention.ms": null };
	await client.configs.alter(nothing);
	await client.configs.alter(nothing, { level: "cluster" });
});

const entry = async (name: string) =>
	(await client.configs.describe()).find((config) => config.name === name);

/** How many connections the broker allows, as it behaves. */
async function connectionsMax(): Promise<number> {
	const text = await (await fetch(`${used.broker.addresses.http}/metrics`)).text();
	return Number(/^millrace_connections_max (\d+)$/m.exec(text)?.[1]);
}

async function ask(method: string, body?: unknown) {
	const response = await fetch(`${used.broker.addresses.http}/v1/configs`, {
		method,
		headers: { "content-type": "application/json" },
		...(body === undefined ? {} : { body: JSON.stringify(body) }),
	});
	return { status: response.status, body: JSON.parse(await response.text()) };
}

test("every option is described, by name, with what it is and how it changes", async () => {
	const configs = await client.configs.describe();
	const names = configs.map(({ name }) => name);
	expect(names).toEqual([...names].sort());
	expect(names).toEqual(expect.arrayContaining(ALL_OPTIONS.map(({ name }) => name)));
	expect(await entry("max.connections")).toEqual({
		name: "max.connections",
		value: "500",
		type: "INT",
		source: "start",
		read_only: false,
		needs_restart: false,
		doc: expect.stringMatching(/./),
		values: [
			{ name: "max.connections", value: "500", source: "start" },
			{ name: "max.connections", value: "10000", source: "default" },
		],
	});
	const ways = async (name: string) => {
		const { read_only, needs_restart, source } = (await entry(name)) ?? {};
		return { read_only, needs_restart, source };
	};
	const byDefault = { source: "default" };
	expect(await ways("data.dir")).toEqual({ ...byDefault, read_only: true, needs_restart: true });
	expect(await ways("log.level")).toMatchObject({ read_only: true, needs_restart: false });
	expect(await ways("log.retention.ms")).toMatchObject({ read_only: false, needs_restart: false });
	expect(await entry("log.retention.ms")).toMatchObject({ value: null, values: [] });
	expect(await entry("log.retention.hours")).toMatchObject({ value: "168" });
	expect(await ways("log.local.retention.ms")).toMatchObject({ read_only: true });
	// HTTP tells the same.
	expect(await ask("GET")).toEqual({ status: 200, body: { configs } });
});

test("what is changed is in force, for this broker before all, and taken back by nil", async () => {
	const configs = await client.configs.alter({ "max.connections": 400 }, { level: "cluster" });
	expect(configs.find(({ name }) => name === "max.connections")).toMatchObject({
		value: "400",
		source: "cluster",
	});
	expect(await connectionsMax()).toBe(400);
	expect(await ask("PATCH", { configs: { "max.connections": "300" } })).toMatchObject({
		status: 200,
	});
	expect(await entry("max.connections")).toMatchObject({
		value: "300",
		source: "broker",
		values: [
			{ value: "300", source: "broker" },
			{ value: "400", source: "cluster" },
			{ value: "500", source: "start" },
			{ value: "10000", source: "default" },
		],
	});
	expect(await connectionsMax()).toBe(300);
	await client.configs.alter({ "max.connections": null });
	expect(await connectionsMax()).toBe(400);
	await client.configs.alter({ "max.connections": null }, { level: "cluster" });
	expect(await connectionsMax()).toBe(500);
});

test("defaults of topics change those that do not set it themselves", async () => {
	await client.topics.create("plain");
	await client.configs.alter({ "log.retention.ms": 1_000n });
	const { configs } = await client.topics.describe("plain");
	expect(configs.find(({ name }) => name === "retention.ms")).toMatchObject({
		value: "1000",
		source: "broker",
	});
});

test("Kafka's tools and calls see what the other has set", async () => {
	const change = { name: "max.connections", configOperation: 0, value: "350" };
	await used.ask("IncrementalAlterConfigs", 1, {
		resources: [{ resourceType: BROKER, resourceName: "1", configs: [change] }],
		validateOnly: false,
	});
	expect(await entry("max.connections")).toMatchObject({ value: "350", source: "broker" });
	await client.configs.alter({ "max.connections": 360 });
	const { results } = await used.ask("DescribeConfigs", 4, {
		resources: [
			{ resourceType: BROKER, resourceName: "1", configurationKeys: ["max.connections"] },
		],
	});
	expect((results as Fields[])[0]?.configs).toMatchObject([{ value: "360", configSource: 2 }]);
});

test.each([
	["no.such.option", "1", "there is no option no.such.option"],
	["retention.ms", "1", "the default of retention.ms is log.retention.ms"],
	["data.dir", "/tmp", "it needs a restart"],
	["log.level", "debug", "by the configuration file alone"],
	["log.local.retention.ms", "-2", "can only be as it is"],
	["max.connections", "many", "is not a whole number"],
	["no.such.option", null, "there is no option no.such.option"],
])("%s = %s is refused, with all that comes with it", async (name, value, told) => {
	const change = { "log.retention.ms": "5", [name]: value };
	await expect(client.configs.alter(change)).rejects.toMatchObject({
		code: "INVALID_REQUEST",
		message: expect.stringContaining(told),
	});
	expect(await ask("PATCH", { configs: change })).toMatchObject({
		status: 400,
		body: { name: "INVALID_REQUEST", detail: expect.stringContaining(told) },
	});
	expect(await entry("log.retention.ms")).toMatchObject({ value: null, source: "default" });
});

test("what does not go together is refused, over Kafka's protocol too", async () => {
	const least = "group.min.session.timeout.ms";
	const most = "group.max.session.timeout.ms";
	const changes = { [least]: "20000", [most]: "10000" };
	await expect(client.configs.alter(changes)).rejects.toMatchObject({
		code: "INVALID_REQUEST",
		message: expect.stringContaining(`${least} is above ${most}`),
	});
	expect((await ask("PATCH", { configs: changes })).status).toBe(400);
	const configs = Object.entries(changes).map(([name, value]) => ({
		...{ name, value, configOperation: 0 },
	}));
	const { responses } = await used.ask("IncrementalAlterConfigs", 1, {
		resources: [{ resourceType: BROKER, resourceName: "", configs }],
		validateOnly: false,
	});
	expect(responses).toMatchObject([
		{ errorCode: 42, errorMessage: expect.stringContaining(least) },
	]);
	expect(await entry(least)).toMatchObject({ source: "default" });
});

test("what is only checked changes nothing", async () => {
	await client.configs.alter({ "max.connections": 300 }, { validateOnly: true });
	expect(await connectionsMax()).toBe(500);
	const wrong = client.configs.alter({ "max.connections": "x" }, { validateOnly: true });
	await expect(wrong).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});

test("what is of the wrong form is refused, and not repeated whole", async () => {
	const wrong: unknown[] = [
		{},
		{ configs: [] },
		{ configs: { "max.connections": 300 } },
		{ configs: {}, level: "topic" },
		{ configs: {}, for: "all" },
	];
	for (const body of wrong) {
		expect(await ask("PATCH", body)).toMatchObject({ status: 400 });
	}
	const { status, body } = await ask("PATCH", { configs: { ["x".repeat(100_000)]: "1" } });
	expect(status).toBe(400);
	expect(body.detail.length).toBeLessThan(1_000);
	expect(await connectionsMax()).toBe(500);
});
