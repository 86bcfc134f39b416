import {
	closeSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { verifyTopics } from "../../src/cli/verify.ts";
import { connect, type TopicSummary } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { runCommand } from "../broker-process.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "millrace-verify-"));
});
afterEach(() => {
	rmSync(dataDir, { recursive: true });
});

/**
 * Leaves 100 records of 1 KiB in batches of their own behind, and answers the file that has them.
 */
async function storeRecords(): Promise<string> {
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	const client = await connect(broker.addresses.websocket);
	// Flushed at the end, and not each by itself.
	await client.topics.create("orders", { configs: { "flush.messages": 1_000 } });
	const producer = client.producer({ codec: "bytes" });
	const value = new Uint8Array(1_024);
	for (let count = 0; count < 100; count++) await producer.send({ topic: "orders", value });
	await client.close();
	await broker.close();
	const names = readdirSync(dataDir, { recursive: true, encoding: "utf8" });
	return join(dataDir, names.find((name) => name.endsWith(".log")) as string);
}

test("undamaged data: 0, and the counts", async () => {
	await storeRecords();
	const result = await runCommand(["verify", "--data-dir", dataDir, "--json"]);
	expect(result.code).toBe(0);
	expect(JSON.parse(result.stdout.toString())).toMatchObject({
		logCount: 1,
		recordCount: 100,
		findings: [],
	});
});

test("a changed byte in the middle: 4, with the topic, and nothing is changed", async () => {
	const file = openSync(await storeRecords(), "r+");
	writeSync(file, Buffer.from([1]), 0, 1, 20_000);
	closeSync(file);
	for (const _ of [1, 2]) {
		const result = await runCommand(["verify", "--data-dir", dataDir]);
		expect(result.code).toBe(4);
		expect(result.stdout.toString()).toContain("1 place is damaged\norders-0: ");
	}
});

test("a running broker checks itself and serves around what it finds damaged", async () => {
	const log = await storeRecords();
	const file = openSync(log, "r+");
	writeSync(file, Buffer.from([1]), 0, 1, 20_000);
	closeSync(file);
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	try {
		const { websocket } = broker.addresses;
		const client = await connect(websocket);
		await client.topics.create("sound");
		await client.producer().send({ topic: "sound", value: 1 });
		for (const flags of [
			["--data-dir", dataDir],
			["--url", websocket],
		]) {
			const result = await runCommand(["verify", ...flags, "--json"]);
			expect(result.code).toBe(4);
			expect(result.stderr).toContain("the broker serves around it");
			const report = JSON.parse(result.stdout.toString());
			expect(report).toMatchObject({ logCount: 2, recordCount: 100 });
			expect(report.findings).toMatchObject([{ subject: "orders-0" }]);
		}
		const sound = await runCommand(["verify", "--url", websocket, "--topic", "sound"]);
		expect(sound).toMatchObject({ code: 0, stderr: "" });
		const unknown = await runCommand(["verify", "--url", websocket, "--topic", "unknown"]);
		expect(unknown.code).toBe(1);
		const gaps: number[] = [];
		const consumer = client.consumer({
			topics: "orders",
			codec: "bytes",
			from: "earliest",
			until: "end",
			onGap: ({ from, to }) => gaps.push(to - from),
		});
		let count = 0;
		for await (const _ of consumer) count++;
		expect({ count, gaps }).toEqual({ count: 99, gaps: [1] });
		await client.close();
	} finally {
		await broker.close();
	}
	const options = ["--data-dir", dataDir, "--url", "ws://127.0.0.1:1"];
	expect((await runCommand(["verify", ...options])).code).toBe(2);
	expect((await runCommand(["verify", "--url", "ws://127.0.0.1:1"])).code).toBe(3);
	const other = await runCommand(["verify", "--data-dir", dataDir, "--topic", "sound"]);
	expect(other).toMatchObject({ code: 0 });
});

test("a topic that is deleted before its turn keeps nobody from the others", async () => {
	await storeRecords();
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	const client = await connect(broker.addresses.websocket);
	const { topics } = client;
	const [orders] = await topics.list();
	const gone = { ...(orders as TopicSummary), name: "gone" };
	const calls = {
		list: async () => [gone, orders as TopicSummary],
		describe: () => topics.describe("gone"),
		verify: topics.verify.bind(topics),
	};
	expect(await verifyTopics(calls, undefined)).toMatchObject({ logCount: 1, recordCount: 100 });
	const unknown = { code: "UNKNOWN_TOPIC_OR_PARTITION" };
	await expect(verifyTopics(calls, "gone")).rejects.toMatchObject(unknown);
	await client.close();
	await broker.close();
});

test("what a broker would not start with is found, too: 4, with what it is", async () => {
	const log = await storeRecords();
	const metadata = join(dataDir, "metadata.redb");
	const whole = readFileSync(metadata);
	const verify = () => runCommand(["verify", "--data-dir", dataDir]);
	for (const content of [whole.subarray(0, 0), Buffer.alloc(whole.length, 7), undefined]) {
		rmSync(metadata);
		if (content !== undefined) writeFileSync(metadata, content);
		const { code, stdout } = await verify();
		expect(code).toBe(4);
		expect(stdout.toString()).toContain("metadata.redb: a broker does not start with it");
	}
	writeFileSync(metadata, whole);
	expect((await verify()).code).toBe(0);
	rmSync(dirname(log), { recursive: true });
	const { code, stdout } = await verify();
	expect(code).toBe(4);
	expect(stdout.toString()).toMatch(/^orders-0: its directory logs\/.*\/0 is missing/m);
});

test("what is no data directory stays none: 2", async () => {
	expect((await runCommand(["verify", "--data-dir", dataDir])).code).toBe(2);
	expect(readdirSync(dataDir)).toEqual([]);
	expect((await runCommand(["verify", "--data-dir", join(dataDir, "missing")])).code).toBe(2);
});
