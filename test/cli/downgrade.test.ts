import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { GOLDEN_FLAGS, readManifest, readTopics, unpack } from "../golden-directory.ts";

const formatOf = (dataDir: string) =>
	JSON.parse(readFileSync(join(dataDir, "format.json"), "utf8")) as Record<string, unknown>;
const downgrade = (dataDir: string) =>
	runCommand(["downgrade", "--data-dir", dataDir, "--to", "1"]);

test("a directory goes back when no log has holes any more, and loses nothing by it", async () => {
	const dataDir = join(temporaryDirectory(), "data");
	unpack("v2/stopped", dataDir);
	const { cluster_id: clusterId } = formatOf(dataDir);
	const refused = await downgrade(dataDir);
	expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("cleaned-0 (up to") });
	expect(formatOf(dataDir)).toMatchObject({ format_version: 2 });

	const flags = [...GOLDEN_FLAGS];
	let broker = await BrokerProcess.start({ dataDir, flags });
	expect((await downgrade(dataDir)).code).toBe(5);
	const client = await connect(broker.url);
	await client.topics.delete("cleaned");
	await client.close();
	await broker.stop();
	expect(await downgrade(dataDir)).toMatchObject({ code: 0 });
	expect(formatOf(dataDir)).toEqual({ format_version: 1, cluster_id: clusterId });

	broker = await BrokerProcess.start({ dataDir, flags });
	const topics = readManifest("v2/stopped").topics.filter(({ name }) => name !== "cleaned");
	const names = topics.map(({ name }) => name);
	expect(await readTopics(broker, names)).toEqual(topics);
	await broker.stop();
	expect((await downgrade(dataDir)).stdout.toString()).toContain("has format 1");
});

test("there is no way to other formats, nor from what is no data directory: 2", async () => {
	const dataDir = temporaryDirectory();
	const to = (format: string) => ["downgrade", "--data-dir", dataDir, "--to", format];
	expect((await runCommand(to("2"))).code).toBe(2);
	expect((await runCommand(to("1"))).code).toBe(2);
});
