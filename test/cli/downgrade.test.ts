import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { logsWithHoles } from "../../src/cli/downgrade.ts";
import { connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { GOLDEN_FLAGS, readManifest, readTopics, unpack } from "../golden-directory.ts";
import { COMPACTING, commitOf, commitRequest, start, temporaryDataDir } from "../groups/harness.ts";

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

test("committed offsets that were compacted are written anew, and stay what they are", async () => {
	const dataDir = await temporaryDataDir();
	const options = { offsetsTopicNumPartitions: 2 };
	const harness = await start({ dataDir, options });
	await harness.catalogue.create({ name: "orders", partitions: 10 });
	await harness.coordinator.commitOffsets(commitRequest(1, { groupId: "gone" }));
	await harness.coordinator.commitOffsets(commitRequest(2, { groupId: "other" }));
	for (let from = 0; from < 30_000; from += 1_000) {
		const records = Array.from({ length: 1_000 }, (_, index) => commitOf("old", from + index));
		await harness.appendRecords("old", records);
	}
	await harness.coordinator.deleteGroups(["gone"]);
	harness.storage.startUpkeep(COMPACTING);
	await expect.poll(() => logsWithHoles(dataDir)).toHaveLength(1);
	await harness.stop();
	expect(formatOf(dataDir)).toMatchObject({ format_version: 2 });

	expect(await downgrade(dataDir)).toMatchObject({ code: 0 });
	expect(formatOf(dataDir)).toMatchObject({ format_version: 1 });
	const again = await start({ dataDir, options });
	const offsetsOf = (groupId: string) =>
		again.coordinator
			.fetchOffsets({ groupId, topics: null })
			.flatMap(({ partitions }) => partitions.map(({ offset }) => offset))
			.sort();
	const listed = again.coordinator.listGroups({ states: [], types: [] });
	expect(listed.map(({ groupId }) => groupId).sort()).toEqual(["old", "other"]);
	expect(offsetsOf("old")).toEqual(Array.from({ length: 10 }, (_, index) => 29_990 + index));
	expect(offsetsOf("other")).toEqual([2]);
	expect(again.complaints).toEqual([]);
});

test("there is no way to other formats, nor from what is no data directory: 2", async () => {
	const dataDir = temporaryDirectory();
	const to = (format: string) => ["downgrade", "--data-dir", dataDir, "--to", format];
	expect((await runCommand(to("2"))).code).toBe(2);
	expect((await runCommand(to("1"))).code).toBe(2);
});
