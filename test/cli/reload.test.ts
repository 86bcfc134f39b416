import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";

test("SIGHUP reads the file again: what can change does, the rest is told", async () => {
	const file = join(temporaryDirectory(), "millrace.yaml");
	writeFileSync(file, "log.retention.hours: 5\n");
	const broker = await BrokerProcess.start({
		flags: ["--config", file, "--log-segment-bytes", "2000000"],
	});
	const client = await connect(broker.url);
	await client.topics.create("before");
	const settings = async (topic: string) => {
		const { configs } = await client.topics.describe(topic);
		const values = configs.map(({ name, value }) => [name, value] as const);
		const { "retention.ms": retention, "segment.bytes": segment } = Object.fromEntries(values);
		return [retention, segment];
	};
	expect(await settings("before")).toEqual(["18000000", "2000000"]);

	const next = "log.retention.hours: 6\nlog.segment.bytes: 3000000\nnum.partitions: 4\n";
	writeFileSync(file, next);
	broker.signal("SIGHUP");
	// The flag still wins over the file.
	await expect.poll(() => settings("before")).toEqual(["21600000", "2000000"]);
	await client.topics.create("after");
	expect(await settings("after")).toEqual(["21600000", "2000000"]);
	expect((await client.topics.describe("after")).partitions).toBe(1);
	await client.close();

	const { code, stderr } = await broker.stop();
	expect(code).toBe(0);
	const lines = stderr
		.split("\n")
		.filter((line) => line.startsWith("{"))
		.map((line) => JSON.parse(line) as Record<string, unknown>);
	expect(lines).toContainEqual(
		expect.objectContaining({ level: "info", changed: ["log.retention.hours"] }),
	);
	expect(lines).toContainEqual(
		expect.objectContaining({ level: "warn", options: ["num.partitions"] }),
	);
});

test("an invalid file changes nothing, and the log names every problem", async () => {
	const file = join(temporaryDirectory(), "millrace.yaml");
	writeFileSync(file, "");
	const broker = await BrokerProcess.start({ flags: ["--config", file] });
	writeFileSync(file, "log.retention.hours: 6\nnum.partition: 1\n");
	broker.signal("SIGHUP");
	await expect
		.poll(async () => (await fetch(`${broker.http}/metrics`)).text())
		.toMatch(/^millrace_config_reload_failures_total 1$/m);
	const client = await connect(broker.url);
	await client.topics.create("t");
	const { configs } = await client.topics.describe("t");
	expect(configs.find(({ name }) => name === "retention.ms")?.value).toBe("604800000");
	await client.close();
	const { code, stderr } = await broker.stop();
	expect(code).toBe(0);
	expect(stderr).toContain('"level":"error"');
	expect(stderr).toContain(`"problems":["${file}:2:1: there is no option num.partition; did you`);
});
