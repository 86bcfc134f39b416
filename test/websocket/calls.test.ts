import { describe, expect, test } from "vitest";

import type { DecodedMap } from "../../src/protocol/reader.ts";
import { serve, TRANSPORTS } from "./harness.ts";

describe.each(TRANSPORTS)("calls over %s", (transport) => {
	const at = serve(transport);

	test("a topic is created, described, altered, grown, listed and deleted", async () => {
		const client = await at.client();
		const configs = { "retention.ms": "9223372036854775807", "flush.messages": "1000" };
		const created = await client.call("topics.create", { name: "orders", partitions: 2, configs });
		expect(created).toMatchObject({
			created: true,
			topic: { name: "orders", partitions: 2, durability: "written" },
		});
		const { topic } = await client.call("topics.describe", { name: "orders" });
		expect((topic as DecodedMap).configs).toContainEqual(
			expect.objectContaining({
				name: "retention.ms",
				value: "9223372036854775807",
				source: "topic",
			}),
		);
		const altered = await client.call("topics.alter", {
			name: "orders",
			configs: { "flush.messages": null, "max.message.bytes": "5000" },
		});
		expect(altered).toMatchObject({ topic: { durability: "flushed", max_message_bytes: 5_000 } });
		const grown = await client.call("topics.add_partitions", { name: "orders", partitions: 4 });
		expect(grown).toMatchObject({ topic: { partitions: 4 } });
		const listed = await client.call("topics.list");
		expect(listed).toMatchObject({ more: false, topics: [{ name: "orders", partitions: 4 }] });
		const { topic_id } = topic as DecodedMap;
		expect(await client.call("topics.delete", { name: "orders" })).toMatchObject({ topic_id });
		await expect(client.call("topics.describe", { name: "orders" })).rejects.toThrow(
			"UNKNOWN_TOPIC_OR_PARTITION",
		);
	});

	test("the list is given page by page", async () => {
		const client = await at.client();
		for (const name of ["page-a", "page-b", "page-c"]) await client.call("topics.create", { name });
		const first = await client.call("topics.list", { after: "page-", limit: 2 });
		expect(first).toMatchObject({ more: true, topics: [{ name: "page-a" }, { name: "page-b" }] });
		const rest = await client.call("topics.list", { after: "page-b", limit: 2 });
		expect(rest).toMatchObject({ more: false, topics: [{ name: "page-c" }] });
	});

	test("topics that a broker keeps for itself are listed on request only", async () => {
		const client = await at.client();
		const name = "__consumer_offsets";
		await at.catalogue.create({ name, isInternal: true });
		const names = async (parameters: { internal?: boolean }) =>
			((await client.call("topics.list", parameters)).topics as DecodedMap[]).map(
				({ name }) => name,
			);
		expect(await names({})).not.toContain("__consumer_offsets");
		expect(await names({ internal: true })).toContain("__consumer_offsets");
	});

	test("topics that a broker keeps for itself are not the clients' to change", async () => {
		const client = await at.client();
		await at.catalogue.create({ name: "__transaction_state", isInternal: true });
		const name = "__transaction_state";
		for (const call of ["topics.create", "topics.delete", "topics.add_partitions"]) {
			await expect(client.call(call, { name, partitions: 2 })).rejects.toThrow(
				"INVALID_TOPIC_EXCEPTION",
			);
		}
		expect(await client.produce(name, ["value"])).toEqual([[17, 0, -1, -1]]);
	});

	test("creating what exists is an error, or an answer where that was asked for", async () => {
		const client = await at.client();
		await client.call("topics.create", { name: "twice" });
		await expect(client.call("topics.create", { name: "twice" })).rejects.toThrow(
			"TOPIC_ALREADY_EXISTS",
		);
		const again = await client.call("topics.create", { name: "twice", if_not_exists: true });
		expect(again).toMatchObject({ created: false, topic: { name: "twice" } });
	});

	test("validate_only says what would be refused and changes nothing", async () => {
		const client = await at.client();
		const parameters = { name: "only-checked", validate_only: true };
		expect(await client.call("topics.create", parameters)).toMatchObject({ created: false });
		await expect(
			client.call("topics.create", { ...parameters, configs: { "retention.mss": "1" } }),
		).rejects.toThrow("INVALID_CONFIG");
		await expect(client.call("topics.describe", { name: "only-checked" })).rejects.toThrow();
	});

	test.each([
		["topics.create", { name: "../etc" }, "INVALID_TOPIC_EXCEPTION"],
		["topics.create", { name: "a/b" }, "INVALID_TOPIC_EXCEPTION"],
		["topics.create", { name: ".." }, "INVALID_TOPIC_EXCEPTION"],
		["topics.create", { name: "x".repeat(250) }, "INVALID_TOPIC_EXCEPTION"],
		["topics.create", { name: "" }, "INVALID_TOPIC_EXCEPTION"],
		["topics.create", {}, "INVALID_ARGUMENT"],
		["topics.create", { name: 5 }, "INVALID_ARGUMENT"],
		["topics.create", { name: "t", partitions: 0 }, "INVALID_ARGUMENT"],
		["topics.create", { name: "t", partitions: 1.5 }, "INVALID_ARGUMENT"],
		["topics.create", { name: "t", partitions: 1e9 }, "INVALID_ARGUMENT"],
		["topics.create", { name: "t", configs: { "no.such.name": "1" } }, "INVALID_CONFIG"],
		["topics.create", { name: "t", configs: { "retention.ms": 5 } }, "INVALID_ARGUMENT"],
		["topics.create", { name: "t", configs: ["retention.ms"] }, "INVALID_ARGUMENT"],
		["topics.delete", { name: "no-such-topic" }, "UNKNOWN_TOPIC_OR_PARTITION"],
		["topics.list", { limit: 0 }, "INVALID_ARGUMENT"],
		[
			"offsets.list",
			{ topic: "no-such-topic", partition: 0, at: "latest" },
			"UNKNOWN_TOPIC_OR_PARTITION",
		],
		["offsets.list", { topic: true, partition: 0, at: "latest" }, "INVALID_ARGUMENT"],
	])("%s of %j is refused with %s", async (name, parameters, code) => {
		const client = await at.client();
		await expect(client.call(name, parameters)).rejects.toThrow(code);
	});

	test("open creates a topic, unless it is told not to", async () => {
		const client = await at.client();
		expect(await client.error(2, 1, "automatic", { create: false })).toBe(3);
		expect(await client.answer(2, 1, "automatic")).toMatchObject({
			alias: 0,
			partitions: 1,
			durability: "flushed",
			topic_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
		});
		expect(await client.error(2, 1, "not/a/name")).toBe(17);
	});

	test("offsets of a partition and of a topic", async () => {
		const client = await at.client();
		const topic = await at.topic(2);
		const now = Date.now();
		client.send(3, 1, 2, [
			[
				topic,
				1,
				-1,
				0,
				[
					["a", null, now],
					["b", null, now + 1_000],
				],
			],
		]);
		await client.reply(1);
		const list = (at_: unknown) =>
			client.call("offsets.list", { topic, partition: 1, at: at_ as string });
		expect(await list("earliest")).toMatchObject({ offset: 0, timestamp_ms: null });
		expect(await list("latest")).toMatchObject({ offset: 2, timestamp_ms: null });
		const found = { offset: 1, timestamp_ms: now + 1_000 };
		expect(await list({ timestamp_ms: now + 500 })).toMatchObject(found);
		expect(await list({ timestamp_ms: now + 5_000 })).toMatchObject({ offset: null });
		await expect(list("middle")).rejects.toThrow("INVALID_ARGUMENT");
		expect(await client.call("offsets.describe", { topic })).toMatchObject({
			partitions: [
				{ partition: 0, log_start: 0, high_watermark: 0 },
				{ partition: 1, log_start: 0, high_watermark: 2, log_end: 2 },
			],
		});
	});

	test("the cluster and what recovery found", async () => {
		const client = await at.client();
		expect(await client.call("cluster.describe")).toMatchObject({
			cluster_id: at.storage.clusterId,
			brokers: [{ id: 0 }],
		});
		expect(await client.call("verify.status")).toMatchObject({ clean: true, findings: [] });
	});
});
