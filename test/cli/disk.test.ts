import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { diskUsage } from "../../src/cli/disk.ts";
import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { runCommand, temporaryDirectory } from "../broker-process.ts";

/** A directory of a broker that stores 100 records of 1 KiB and goes on running. */
async function filledDirectory(whileRunning: (dataDir: string) => Promise<void>): Promise<string> {
	const dataDir = join(temporaryDirectory(), "data");
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	const client = await connect(broker.addresses.websocket);
	await client.topics.create("orders", { partitions: 2 });
	await client.topics.create("empty");
	const producer = client.producer({ codec: "bytes" });
	const records = Array.from({ length: 100 }, (_, index) => ({
		value: new Uint8Array(1_024),
		partition: index % 2,
	}));
	await producer.sendBatch("orders", records);
	await client.close();
	await whileRunning(dataDir);
	await broker.close();
	return dataDir;
}

test("sizes are told by topic while a broker runs, as the file system has them", async () => {
	await filledDirectory(async (dataDir) => {
		const { code, stdout } = await runCommand(["disk", "--data-dir", dataDir, "--json"]);
		expect(code).toBe(0);
		const { topics, others, allocatedBytes } = JSON.parse(stdout.toString());
		expect(topics).toMatchObject([
			{ topic: "empty", partitions: 1, segments: 0, recordBytes: 0 },
			{ topic: "orders", partitions: 2, segments: 2 },
		]);
		expect(topics[1].recordBytes).toBeGreaterThan(100 * 1_024);
		expect(topics[1].allocatedBytes).toBeGreaterThanOrEqual(topics[1].recordBytes);
		expect(others.map(({ name }: { name: string }) => name)).toContain("metadata.redb");
		expect(allocatedBytes).toBeGreaterThan(topics[1].allocatedBytes);
		const shown = await runCommand(["disk", "--data-dir", dataDir]);
		expect(shown.stdout.toString()).toMatch(/^orders +2 +2( +[\d.]+ [KM]?i?B){4}$/m);
	});
});

test("what is allocated behind an end counts as ahead", async (context) => {
	const dataDir = await filledDirectory(async () => undefined);
	const paths = readdirSync(dataDir, { recursive: true, encoding: "utf8" });
	const log = join(dataDir, paths.find((path) => path.endsWith(".log")) as string);
	const ahead = 1_048_576;
	const allocate = ["--keep-size", "--length", `${ahead}`, log];
	if (spawnSync("fallocate", allocate).status !== 0) {
		context.skip("there is no fallocate program, or the file system does not allocate");
	}
	const orders = diskUsage(dataDir).topics.find(({ segments }) => segments > 0);
	expect(orders?.allocatedBytes).toBeGreaterThan(ahead);
	expect(orders?.recordBytes).toBeLessThan(ahead);
	expect(orders?.preallocatedBytes).toBeGreaterThan(ahead / 2);
	expect(orders?.preallocatedBytes).toBeLessThan(ahead);
});

test("all of the data directory counts, whatever a part of it is there for", async () => {
	const dataDir = await filledDirectory(async () => undefined);
	const before = diskUsage(dataDir).allocatedBytes;
	const bytes = 262_144;
	const names = ["crashes", "journal", "salvage", "set-aside"];
	for (const name of names) {
		mkdirSync(join(dataDir, name, "deeper"), { recursive: true });
		writeFileSync(join(dataDir, name, "deeper", "file"), new Uint8Array(bytes).fill(7));
	}
	const { others, allocatedBytes } = diskUsage(dataDir);
	for (const name of names) expect(others).toContainEqual(expect.objectContaining({ name, bytes }));
	expect(allocatedBytes).toBeGreaterThanOrEqual(before + names.length * bytes);
});

test("a topic whose name cannot be read has its id", async () => {
	const dataDir = await filledDirectory(async () => undefined);
	const paths = readdirSync(dataDir, { recursive: true, encoding: "utf8" });
	for (const path of paths.filter((name) => name.endsWith("partition.json"))) {
		writeFileSync(join(dataDir, path), "{");
	}
	const ids = readdirSync(join(dataDir, "logs")).sort();
	expect(diskUsage(dataDir).topics.map(({ topic }) => topic)).toEqual(ids);
});

test("what is no data directory has no sizes: 2", async () => {
	expect((await runCommand(["disk", "--data-dir", temporaryDirectory()])).code).toBe(2);
});
