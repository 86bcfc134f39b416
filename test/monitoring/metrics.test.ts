import { describe, expect, onTestFinished, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { METRICS } from "../../src/metrics.ts";
import { newTopic, useBroker } from "../kafka/use-broker.ts";
import { seriesOf } from "./series.ts";

const used = useBroker();
const scrape = async () => {
	const answer = await fetch(`${used.broker.addresses.http}/metrics`);
	expect(answer.status).toBe(200);
	expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
	return seriesOf(await answer.text());
};

describe("the table of metrics", () => {
	test("names follow Prometheus' conventions", () => {
		for (const [name, { type, unit, help }] of Object.entries(METRICS)) {
			expect(name).toMatch(/^millrace_[a-z]+(_[a-z]+)*$/);
			expect(help).toMatch(/\.$/);
			const stem = name.replace(/_total$/, "");
			expect(stem !== name, name).toBe(type === "counter");
			if (unit !== "") expect(stem).toMatch(new RegExp(`_${unit}$`));
		}
	});

	test("labels are few, and none that clients make up", () => {
		const labels = new Set(Object.values(METRICS).flatMap(({ labels }) => [...labels]));
		expect([...labels].sort()).toEqual([
			"code",
			"group",
			"mechanism",
			"method",
			"operation",
			"protocol",
			"quota",
			"reason",
			"route",
			"state",
			"status",
			"topic",
			"type",
			"version",
		]);
	});
});

describe("a scrape", () => {
	test("has every metric of the table, and those of the process", async () => {
		const { families } = await scrape();
		for (const [name, { type }] of Object.entries(METRICS)) expect(families.get(name)).toBe(type);
		for (const name of ["process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds"]) {
			expect(families.has(name)).toBe(true);
		}
	});

	test("counts what is asked over HTTP by route, not by what clients make up", async () => {
		const { http } = used.broker.addresses;
		await fetch(`${http}/v1/topics`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: '{"name": "over-http"}',
		});
		await fetch(`${http}/v1/topics/over-http`);
		await fetch(`${http}/v1/topics/none`);
		await fetch(`${http}/made/up`);
		await fetch(`${http}/v1/topics`, { method: "REPORT" });
		const text = await (await fetch(`${http}/metrics`)).text();
		const { value } = seriesOf(text);
		const requests = (route: string, method: string, status: string) =>
			value("millrace_http_requests_total", { route, method, status });
		expect(requests("/v1/topics", "POST", "2xx")).toBe(1);
		expect(requests("/v1/topics/{name}", "GET", "2xx")).toBe(1);
		expect(requests("/v1/topics/{name}", "GET", "4xx")).toBe(1);
		expect(requests("(other)", "GET", "4xx")).toBe(1);
		expect(requests("/v1/topics", "(other)", "4xx")).toBe(1);
		const created = { route: "/v1/topics", method: "POST" };
		expect(value("millrace_http_received_bytes_total", created)).toBe(21);
		expect(value("millrace_http_sent_bytes_total", created)).toBeGreaterThan(100);
		expect(value("millrace_http_request_duration_seconds_count", created)).toBe(1);
		expect(text).not.toMatch(/millrace_http.*(over-http|made|REPORT)/);
	});

	test("counts records and requests of both protocols", async () => {
		await used.ask("CreateTopics", 7, { topics: [newTopic("counted")], timeoutMs: 9_000 });
		const client = await connect(used.broker.addresses.websocket);
		onTestFinished(() => client.close());
		const producer = client.producer();
		for (let index = 0; index < 3; index++) {
			await producer.send({ topic: "counted", value: `record ${index}` });
		}
		const labels = { protocol: "websocket", topic: "counted" };
		const { value } = await scrape();
		expect(value("millrace_received_records_total", labels)).toBe(3);
		expect(value("millrace_received_bytes_total", labels)).toBeGreaterThan(3 * 8);
		expect(value("millrace_connections", { protocol: "websocket" })).toBe(1);
		// The one that asks, at least.
		expect(value("millrace_connections", { protocol: "http" })).toBeGreaterThan(0);
		expect(value("millrace_topic_partitions", { topic: "counted" })).toBe(1);
		expect(value("millrace_log_segments", { topic: "counted" })).toBe(1);
		expect(value("millrace_log_bytes", { topic: "counted" })).toBeGreaterThan(100);
		const creations = { protocol: "kafka", operation: "CreateTopics" };
		expect(value("millrace_request_duration_seconds_count", creations)).toBe(1);
		expect(value("millrace_request_duration_seconds_bucket", { ...creations, le: "+Inf" })).toBe(1);
		expect(value("millrace_sync_duration_seconds_count", {})).toBeGreaterThan(0);
	});

	test("counts errors by what they are called", async () => {
		const topics = [newTopic("twice")];
		await used.ask("CreateTopics", 7, { topics, timeoutMs: 9_000 });
		const labels = { protocol: "kafka", operation: "CreateTopics", code: "TOPIC_ALREADY_EXISTS" };
		const before = (await scrape()).value("millrace_request_errors_total", labels) ?? 0;
		await used.ask("CreateTopics", 7, { topics, timeoutMs: 9_000 });
		expect((await scrape()).value("millrace_request_errors_total", labels)).toBe(before + 1);
	});

	test("tells how far a group without members is behind", async () => {
		const client = await connect(used.broker.addresses.websocket);
		onTestFinished(() => client.close());
		const producer = client.producer();
		const timestamp = Date.now() - 60_000;
		for (let index = 0; index < 5; index++) {
			await producer.send({ topic: "behind", value: "x", timestamp });
		}
		await used.ask("OffsetCommit", 8, {
			groupId: "gone",
			generationIdOrMemberEpoch: -1,
			memberId: "",
			topics: [{ name: "behind", partitions: [{ partitionIndex: 0, committedOffset: 2 }] }],
		});
		const labels = { group: "gone", topic: "behind" };
		for (let round = 0; round < 2; round++) {
			const { value } = await scrape();
			expect(value("millrace_group_lag_records", labels)).toBe(3);
			const seconds = value("millrace_group_lag_seconds", labels);
			expect(seconds).toBeGreaterThanOrEqual(60);
			expect(seconds).toBeLessThan(120);
		}
	});

	test("a deleted topic is told of no more", async () => {
		await used.ask("CreateTopics", 7, { topics: [newTopic("passing")], timeoutMs: 9_000 });
		expect((await scrape()).value("millrace_topic_partitions", { topic: "passing" })).toBe(1);
		await used.ask("DeleteTopics", 5, { topicNames: ["passing"], timeoutMs: 9_000 });
		const { value } = await scrape();
		expect(value("millrace_topic_partitions", { topic: "passing" })).toBeUndefined();
	});
});
