/** The command line tools that come with Apache Kafka, as administrators use them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { kafkaJava, MISSING_KAFKA_JAVA, RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { runTool } from "./client-programs.ts";
import { createTopic, serveKafka, uniqueName } from "./kafka-target.ts";

const TOOLS = "org.apache.kafka.tools";
/** Of those tools that would give an answer 5 or 10 s. */
const PATIENT = ["--timeout", "60000"];

const at = serveKafka();

interface Context {
	skip(reason: string): never;
}

/** Runs a tool by its class's name below Apache Kafka's tools, or by its full name. */
function tool(
	context: Context,
	name: string,
	parameters: readonly string[],
	input = "",
): Promise<string> {
	const java = kafkaJava() ?? context.skip(MISSING_KAFKA_JAVA);
	const className = name.startsWith("kafka.") ? name : `${TOOLS}.${name}`;
	return runTool([...java, className, "--bootstrap-server", at().bootstrap, ...parameters], input);
}

const linesOf = (output: string): string[] => output.split("\n").filter((line) => line !== "");

describe.concurrent("the tools of Apache Kafka", () => {
	test("kafka-topics creates, describes, grows, lists and deletes", async (context) => {
		const topics = (...parameters: string[]) => tool(context, "TopicCommand", parameters);
		const topic = uniqueName("topic");
		const created = ["--create", "--topic", topic, "--partitions", "3"];
		await topics(...created, "--config", "retention.ms=1000000");
		const described = await topics("--describe", "--topic", topic);
		expect(described).toMatch(/PartitionCount: 3\s+ReplicationFactor: 1\s/);
		expect(described).toContain("retention.ms=1000000");
		await topics("--alter", "--topic", topic, "--partitions", "5");
		expect(linesOf(await topics("--list"))).toContain(topic);
		const grown = await topics("--describe", "--topic", topic);
		expect(grown).toMatch(/Partition: 4\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+/);
		await topics("--delete", "--topic", topic);
		expect(linesOf(await topics("--list"))).not.toContain(topic);
		await expect(topics("--describe", "--topic", topic)).rejects.toThrow(/does not exist/);
		const failure = /Error while executing topic command/;
		await expect(topics("--create", "--topic", "not a name")).rejects.toThrow(failure);
	});

	test("kafka-configs shows, sets and resets", async (context) => {
		const topic = await createTopic(at(), 1);
		const configs = (...parameters: string[]) =>
			tool(context, "kafka.admin.ConfigCommand", [
				"--entity-type",
				"topics",
				"--entity-name",
				topic,
				...parameters,
			]);
		await configs("--alter", "--add-config", "retention.ms=5000000,segment.bytes=2000000");
		const shown = await configs("--describe");
		expect(shown).toContain("retention.ms=5000000");
		expect(shown).toContain("segment.bytes=2000000");
		await configs("--alter", "--delete-config", "retention.ms");
		expect(await configs("--describe")).not.toContain("retention.ms=5000000");
		const all = await configs("--describe", "--all");
		expect(all).toContain("retention.ms=604800000");
		await expect(configs("--alter", "--add-config", "retention.ms=soon")).rejects.toThrow(
			/InvalidConfigurationException/,
		);
	});

	test("the console producer and consumer carry keys and headers", async (context) => {
		const topic = await createTopic(at(), 1);
		const properties = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
		const reader = properties.flatMap((property) => ["--reader-property", property]);
		const codec = ["--compression-codec", "zstd"];
		const input = "h1:v1,h2:v2\tkey\tvalue\nNULL\tgone\tNULL\n";
		await tool(context, "ConsoleProducer", ["--topic", topic, ...reader, ...codec], input);
		const shown = ["print.key=true", "print.headers=true", "print.offset=true"];
		const output = await tool(context, "consumer.ConsoleConsumer", [
			...["--topic", topic, "--from-beginning", "--max-messages", "2"],
			...shown.flatMap((property) => ["--formatter-property", property]),
		]);
		expect(linesOf(output)).toEqual([
			"Offset:0\th1:v1,h2:v2\tkey\tvalue",
			"Offset:1\tNO_HEADERS\tgone\tnull",
		]);
	});

	test("kafka-consumer-groups lists, describes, resets and deletes", async (context) => {
		const topic = await createTopic(at(), 1);
		const group = uniqueName("group");
		await tool(context, "ConsoleProducer", ["--topic", topic], "a\nb\nc\nd\n");
		const consume = ["--topic", topic, "--group", group, "--max-messages"];
		const first = ["--command-property", "auto.offset.reset=earliest"];
		await tool(context, "consumer.ConsoleConsumer", [...consume, "4", ...first]);
		const groups = (...parameters: string[]) =>
			tool(context, "consumer.group.ConsumerGroupCommand", [...parameters, ...PATIENT]);
		expect(linesOf(await groups("--list"))).toContain(group);
		const row = new RegExp(`${group}\\s+${topic}\\s+0\\s+4\\s+4\\s+0\\s`);
		expect(await groups("--describe", "--group", group)).toMatch(row);
		const state = await groups("--describe", "--group", group, "--state");
		expect(state).toMatch(/Empty\s+0/);
		const reset = ["--reset-offsets", "--group", group, "--topic", topic];
		await groups(...reset, "--to-offset", "2", "--execute");
		const again = await tool(context, "consumer.ConsoleConsumer", [...consume, "2"]);
		expect(linesOf(again)).toEqual(["c", "d"]);
		expect(await groups("--delete", "--group", group)).toMatch(/was successful|successfully/);
		expect(linesOf(await groups("--list"))).not.toContain(group);
	});

	test("the performance tools write and read", async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const topic = await createTopic(at(), 2);
		const count = "20000";
		const produced = await tool(context, "ProducerPerformance", [
			...["--topic", topic, "--num-records", count, "--record-size", "500"],
			...["--throughput", "-1", "--command-property", "acks=all", "compression.type=lz4"],
		]);
		expect(produced).toMatch(/20000 records sent/);
		const consumed = await tool(context, "ConsumerPerformance", [
			...["--topic", topic, "--num-records", count, "--hide-header", ...PATIENT],
		]);
		// Start, end, megabytes, megabytes/s, records, ...
		const [, , megabytes, , records] = consumed.trim().split(", ");
		expect(Number(records)).toBeGreaterThanOrEqual(20_000);
		expect(Number(megabytes)).toBeGreaterThan(9);
	});

	test("the verifiable producer and consumer agree on every record", async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const topic = await createTopic(at(), 3);
		const group = uniqueName("group");
		const limits = ["--topic", topic, "--max-messages", "1000"];
		const produced = await tool(context, "VerifiableProducer", limits);
		const sent = linesOf(produced).map((line) => JSON.parse(line));
		const acked = sent.filter(({ name }) => name === "producer_send_success");
		expect(acked.length).toBe(1_000);
		const consumed = await tool(context, "VerifiableConsumer", [
			...limits,
			...["--group-id", group, "--verbose", "--session-timeout", "60000"],
		]);
		const events = linesOf(consumed).map((line) => JSON.parse(line));
		const read = events.filter(({ name }) => name === "record_data");
		const place = ({ partition, offset, value }: Record<string, unknown>) =>
			`${partition} ${offset} ${value}`;
		expect(read.map(place).sort()).toEqual(acked.map(place).sort());
		const commits = events.filter(({ name }) => name === "offsets_committed");
		expect(commits.every(({ success }) => success === true)).toBe(true);
	});

	test("kafka-get-offsets, -delete-records, -log-dirs, -broker-api-versions", async (context) => {
		const topic = await createTopic(at(), 1);
		await tool(context, "ConsoleProducer", ["--topic", topic], "a\nb\nc\n");
		const offsets = (time: string) =>
			tool(context, "GetOffsetShell", ["--topic", topic, "--time", time]);
		expect(await offsets("-1")).toBe(`${topic}:0:3\n`);
		expect(await offsets("-2")).toBe(`${topic}:0:0\n`);
		const directory = mkdtempSync(join(tmpdir(), "millrace-java-tools-"));
		context.onTestFinished(() => rmSync(directory, { recursive: true }));
		const file = join(directory, "offsets.json");
		writeFileSync(
			file,
			JSON.stringify({ partitions: [{ topic, partition: 0, offset: 2 }], version: 1 }),
		);
		const deleted = await tool(context, "DeleteRecordsCommand", ["--offset-json-file", file]);
		expect(deleted).toContain("low_watermark: 2");
		expect(await offsets("-2")).toBe(`${topic}:0:2\n`);
		const dirs = await tool(context, "LogDirsCommand", ["--describe", "--topic-list", topic]);
		expect(dirs).toContain(`"partition":"${topic}-0"`);
		const versions = await tool(context, "BrokerApiVersionsCommand", []);
		expect(versions).toMatch(/Produce\(0\): 0 to 13 \[usable: 13\]/);
	});
});
