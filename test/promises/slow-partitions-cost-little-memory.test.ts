/**
 * The promise: a partition that is written slowly costs at most 64 KiB of page cache, so that ten
 * thousand of them fit into a small machine's memory.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess } from "../broker-process.ts";
import { run } from "../mounts.ts";

const PARTITIONS = 200;
const RECORDS_EACH = 3;
const CACHE_BYTES_MAX = 65_536;

test.for([
	["flushed", {}],
	["relaxed", { "flush.messages": 1_000_000 }],
	["preallocated", { "flush.messages": 1_000_000, preallocate: true }],
] as const)("of a topic that is %s", async ([, configs], context) => {
	if (spawnSync("fincore", ["--version"]).error !== undefined) {
		context.skip("fincore is not on this machine");
	}
	const broker = await BrokerProcess.start();
	const client = await connect(broker.url);
	await client.topics.create("slow", { partitions: PARTITIONS, configs });
	const records = client.producer<string>();
	for (let round = 0; round < RECORDS_EACH; round++) {
		const sends = Array.from({ length: PARTITIONS }, (_, partition) =>
			records.send({ topic: "slow", partition, value: `record ${round}` }),
		);
		await Promise.all(sends);
	}
	const options = { topics: "slow", from: "earliest", until: "end" } as const;
	let read = 0;
	for await (const record of client.consumer<string>(options)) {
		if (record.value?.startsWith("record")) read += 1;
	}
	expect(read).toBe(PARTITIONS * RECORDS_EACH);
	const logs = join(broker.dataDir, "logs");
	const names = readdirSync(logs, { recursive: true, encoding: "utf8" });
	const files = names.filter((name) => name.endsWith(".log")).map((name) => join(logs, name));
	expect(files.length).toBeGreaterThanOrEqual(PARTITIONS);
	const resident = run("fincore", ["--noheadings", "--bytes", "--output", "RES", ...files]);
	const largest = Math.max(...resident.trim().split("\n").map(Number));
	expect(largest).toBeGreaterThan(0);
	expect(largest).toBeLessThanOrEqual(CACHE_BYTES_MAX);
	await client.close();
});
