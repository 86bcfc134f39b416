import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { logsWithHoles } from "../../src/cli/downgrade.ts";
import { connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { endsOf, leaveJournal } from "../flush-journal.ts";
import { GOLDEN_FLAGS, readManifest, readTopics, unpack } from "../golden-directory.ts";
import { COMPACTING, commitOf, commitRequest, start } from "../groups/harness.ts";
import { pick } from "../kafka/pick.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";

const formatOf = (dataDir: string) =>
	JSON.parse(readFileSync(join(dataDir, "format.json"), "utf8")) as Record<string, unknown>;
const downgrade = (dataDir: string, to = "1") =>
	runCommand(["downgrade", "--data-dir", dataDir, "--to", to]);

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
	const dataDir = temporaryDirectory();
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
	const listed = [...again.coordinator.listGroups()];
	expect(listed.map(({ groupId }) => groupId).sort()).toEqual(["old", "other"]);
	expect(offsetsOf("old")).toEqual(Array.from({ length: 10 }, (_, index) => 29_990 + index));
	expect(offsetsOf("other")).toEqual([2]);
	expect(again.complaints).toEqual([]);
});

test("a repaired segment stands in the way until all of it is deleted", async () => {
	const dataDir = join(temporaryDirectory(), "data");
	let broker = await BrokerProcess.start({ dataDir });
	let client = await connect(broker.url);
	const configs = { "segment.bytes": 1_048_576 };
	await client.topics.create("orders", { configs });
	const producer = client.producer({ codec: "bytes" });
	for (let number = 0; number < 25; number++) {
		await producer.send({ topic: "orders", value: new Uint8Array(100_000).fill(number) });
	}
	await client.close();
	await broker.stop();
	const logs = readdirSync(join(dataDir, "logs"), { recursive: true, encoding: "utf8" })
		.filter((name) => name.endsWith(".log"))
		.sort()
		.map((name) => join(dataDir, "logs", name));
	const [first = "", second = ""] = logs;
	const bytes = readFileSync(first);
	bytes.writeUInt8(bytes.readUInt8(150_000) ^ 1, 150_000);
	writeFileSync(first, bytes);
	expect(await runCommand(["repair", "--data-dir", dataDir, "--yes"])).toMatchObject({ code: 0 });
	const end = Number(second.slice(-24, -4));
	expect(end).toBeGreaterThan(5);

	// As far as a repair allowed holes once, and as far as there may be any.
	for (const [offset, code] of [
		[1, 1],
		[end - 1, 1],
		[end, 0],
	] as const) {
		broker = await BrokerProcess.start({ dataDir });
		const kafka = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
		const topics = [{ name: "orders", partitions: [{ partitionIndex: 0, offset }] }];
		const answer = await kafka.request("DeleteRecords", 2, { topics, timeoutMs: 100_000 });
		expect(pick(answer, "topics", 0, "partitions", 0)).toMatchObject({ errorCode: 0 });
		await kafka.close();
		await broker.stop();
		const ending = await downgrade(dataDir);
		expect(ending.code, ending.stderr).toBe(code);
		if (code === 1) expect(ending.stderr).toContain(`orders-0 (up to offset ${end})`);
	}
	broker = await BrokerProcess.start({ dataDir });
	client = await connect(broker.url);
	const [left] = await client.offsets.describe("orders");
	expect(left).toMatchObject({ log_start: end, high_watermark: 25 });
	await client.close();
	await broker.stop();
});

test("a directory with a flush journal goes back to formats before it without a loss", async () => {
	const dataDir = join(temporaryDirectory(), "data");
	const written = await leaveJournal(dataDir);
	expect(formatOf(dataDir)).toMatchObject({ format_version: 3 });
	const back = await downgrade(dataDir, "2");
	expect(back, back.stderr.toString()).toMatchObject({ code: 0 });
	expect(existsSync(join(dataDir, "journal", "0"))).toBe(false);
	expect(formatOf(dataDir)).toMatchObject({ format_version: 2 });
	expect(await downgrade(dataDir)).toMatchObject({ code: 0 });
	expect(formatOf(dataDir)).toMatchObject({ format_version: 1 });

	const broker = await BrokerProcess.start({ dataDir });
	expect(await endsOf(broker)).toEqual(written);
	await broker.stop();
});

test("there is no way to other formats, nor from what is no data directory: 2", async () => {
	const dataDir = temporaryDirectory();
	const to = (format: string) => ["downgrade", "--data-dir", dataDir, "--to", format];
	for (const format of ["0", "1", "2", "3"]) {
		expect((await runCommand(to(format))).code).toBe(2);
	}
});
