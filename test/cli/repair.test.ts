import {
	appendFileSync,
	cpSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import type { RepairReport } from "../../src/storage/repair.ts";
import {
	atEndOfSuite,
	BrokerProcess,
	type Ending,
	runCommand,
	temporaryDirectory,
} from "../broker-process.ts";

const COUNT = 100;
const TOPICS = ["orders", "payments"];
const VALUE_BYTES = 100_000;
/** Of a batch of one record: header, the framing of the record, its value. */
const BATCH = 61 + 11 + VALUE_BYTES;
const atEnd = atEndOfSuite();

/** Two topics of two partitions; each record is a batch, all of them in the first partition. */
let original: string;
beforeAll(async () => {
	original = join(temporaryDirectory(atEnd), "data");
	const broker = await startBroker({ dataDir: original, websocket: "127.0.0.1:0" });
	const client = await connect(broker.addresses.websocket);
	for (const topic of TOPICS) {
		const configs = { "flush.messages": 1_000, "segment.bytes": 1_048_576 };
		await client.topics.create(topic, { partitions: 2, configs });
		const producer = client.producer({ codec: "bytes" });
		for (let number = 0; number < COUNT; number++) {
			const value = new Uint8Array(VALUE_BYTES).fill(number);
			await producer.send({ topic, partition: 0, value });
		}
	}
	await client.close();
	await broker.close();
});

function copy(): string {
	const dataDir = join(temporaryDirectory(), "data");
	cpSync(original, dataDir, { recursive: true });
	return dataDir;
}

/** The files of a topic's first partition with an extension, oldest first. */
function files(dataDir: string, topic: string, extension: string): string[] {
	const all = readdirSync(join(dataDir, "logs"), { recursive: true, encoding: "utf8" });
	const isOfTopic = (name: string): boolean => {
		const path = join(dataDir, "logs", name, "..", "partition.json");
		return JSON.parse(readFileSync(path, "utf8")).topic === topic;
	};
	const found = all.filter((name) => name.includes("/0/") && name.endsWith(extension));
	return found
		.filter(isOfTopic)
		.sort()
		.map((name) => join(dataDir, "logs", name));
}

function flip(file: string, position: number): void {
	const bytes = readFileSync(file);
	bytes.writeUInt8(bytes.readUInt8(position) ^ 4, position);
	writeFileSync(file, bytes);
}

/** What a broker serves of the topics: the records' numbers, and how many gaps there are. */
async function served(dataDir: string) {
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	const client = await connect(broker.addresses.websocket);
	const found: Record<string, number[]> = {};
	let gaps = 0;
	for (const topic of TOPICS) {
		const consumer = client.consumer({
			topics: topic,
			codec: "bytes",
			from: "earliest",
			until: "end",
			onGap: () => gaps++,
		});
		const numbers: number[] = [];
		for await (const { value } of consumer) numbers.push((value as Uint8Array)[0] as number);
		found[topic] = numbers;
	}
	await client.close();
	await broker.close();
	return { ...found, gaps };
}

const all = Array.from({ length: COUNT }, (_, number) => number);
const repair = (dataDir: string, ...flags: string[]): Promise<Ending> =>
	runCommand(["repair", "--data-dir", dataDir, ...flags]);
const report = ({ stdout }: Ending): RepairReport => JSON.parse(stdout.toString());
const verify = (dataDir: string): Promise<Ending> => runCommand(["verify", "--data-dir", dataDir]);

test("what is whole stays as it is: 0, and nothing is kept", async () => {
	const dataDir = copy();
	const ending = await repair(dataDir, "--yes");
	expect(ending).toMatchObject({ code: 0, stderr: "" });
	expect(ending.stdout.toString()).toContain("nothing to repair");
	expect(existsSync(join(dataDir, "salvage"))).toBe(false);
});

test("nothing is done without --yes, and a dry run tells what would be", async () => {
	const dataDir = copy();
	const [first] = files(dataDir, "orders", ".log") as [string];
	flip(first, BATCH + 500);
	const before = readFileSync(first);
	expect((await repair(dataDir)).code).toBe(2);
	const dry = await repair(dataDir, "--dry-run", "--json");
	expect(dry.code).toBe(4);
	expect(report(dry)).toMatchObject({
		isDryRun: true,
		actions: [{ subject: "orders-0", fromOffset: 1, toOffset: 2, position: BATCH, bytes: BATCH }],
	});
	expect(readFileSync(first).equals(before)).toBe(true);
	expect(existsSync(join(dataDir, "salvage"))).toBe(false);
});

test("damage is cut out, kept and told of, and the rest is served without a gap", async () => {
	const dataDir = copy();
	const [first, second] = files(dataDir, "orders", ".log") as [string, string];
	flip(first, BATCH + 500);
	writeFileSync(second, Buffer.alloc(5 * BATCH, 7), { flag: "r+" });
	const last = files(dataDir, "payments", ".log").at(-1) as string;
	appendFileSync(last, "half a batch");
	expect((await verify(dataDir)).code).toBe(4);

	const ending = await repair(dataDir, "--yes", "--json");
	expect(ending).toMatchObject({ code: 0, stderr: "" });
	const { actions, salvage, problems } = report(ending);
	expect(problems).toEqual([]);
	const cut = actions.filter(({ fromOffset }) => fromOffset !== undefined);
	expect(cut.map(({ subject, bytes }) => [subject, bytes])).toEqual([
		["orders-0", BATCH],
		["orders-0", 5 * BATCH],
		["payments-0", "half a batch".length],
	]);
	for (const { salvagedTo, bytes } of cut) {
		expect(readFileSync(salvagedTo as string).length).toBe(bytes);
	}
	const kept = JSON.parse(readFileSync(join(salvage as string, "report.json"), "utf8"));
	expect(kept.actions.length).toBe(actions.length);
	expect((await verify(dataDir)).code).toBe(0);
	const lost = new Set([1, ...all.slice(cut[1]?.fromOffset, cut[1]?.toOffset)]);
	expect(lost.size).toBe(6);
	expect(await served(dataDir)).toEqual({
		orders: all.filter((number) => !lost.has(number)),
		payments: all,
		gaps: 0,
	});
	expect((await repair(dataDir, "--yes")).stdout.toString()).toContain("nothing to repair");
});

test("a lost catalogue is made again from the directories", async () => {
	for (const metadata of ["gone", "noise"]) {
		const dataDir = copy();
		const file = join(dataDir, "metadata.redb");
		if (metadata === "gone") rmSync(file);
		else writeFileSync(file, "x".repeat(100_000));
		const start = ["start", "--data-dir", dataDir, "--websocket", "127.0.0.1:0"];
		expect((await runCommand([...start, "--kafka", "127.0.0.1:0"])).code).toBe(4);
		const ending = await repair(dataDir, "--yes");
		expect(ending).toMatchObject({ code: 0, stderr: "" });
		for (const topic of TOPICS) {
			expect(ending.stdout.toString()).toContain(
				`${topic}: a topic again, with 2 partitions and default configuration`,
			);
		}
		expect(await served(dataDir)).toEqual({ orders: all, payments: all, gaps: 0 });
	}
});

test("a rule that no broker can read is found, left out and named", async () => {
	const dataDir = copy();
	const rule = {
		resource: "topic",
		name: "orders",
		pattern: "literal",
		principal: "User:mallory",
		host: "*",
		operation: "read",
		permission: "deny",
	} as const;
	const flags = { "authorization-enable": "true", "super-users": "User:ANONYMOUS" };
	const start = (): Promise<BrokerProcess> =>
		BrokerProcess.start({
			dataDir,
			flags: Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
		});
	const broker = await start();
	const client = await connect(broker.url);
	await client.acls.create([rule]);
	await client.close();
	await broker.stop();
	const metadata = join(dataDir, "metadata.redb");
	const bytes = readFileSync(metadata);
	const said = '"permission":2';
	// Each place: a page that a later one has replaced may still be there.
	for (let at = bytes.indexOf(said); at >= 0; at = bytes.indexOf(said, at + 1)) {
		bytes.write("6", at + said.length - 1);
	}
	writeFileSync(metadata, bytes);
	await expect(start()).rejects.toThrow(/ended with 4/);
	const found = await verify(dataDir);
	expect(found.code).toBe(4);
	expect(found.stdout.toString()).toContain("metadata.redb: a broker does not start with it");
	const { code, stdout } = await repair(dataDir, "--yes");
	expect(code).toBe(0);
	expect(stdout.toString()).toMatch(/AN ACCESS RULE WITH IT.*"User:mallory"/);
	expect((await verify(dataDir)).code).toBe(0);
	expect(await served(dataDir)).toEqual({ orders: all, payments: all, gaps: 0 });
	expect((await (await start()).stop()).code).toBe(0);
});

test("what was set aside is served again, and a missing partition is made", async () => {
	for (const isMetadataLost of [false, true]) {
		const dataDir = copy();
		const [logs, aside] = [join(dataDir, "logs"), join(dataDir, "set-aside")];
		mkdirSync(aside);
		for (const name of readdirSync(logs)) {
			renameSync(join(logs, name), join(aside, `${name}-1764000000000`));
			rmSync(join(aside, `${name}-1764000000000`, "1"), { recursive: true });
		}
		if (isMetadataLost) rmSync(join(dataDir, "metadata.redb"));
		const refused = await repair(dataDir, "--yes", "--bring-back", "no-such-name");
		expect(refused.stderr).toContain("there is no such directory");
		expect(refused.code).toBe(1);
		const flags = readdirSync(aside).flatMap((name) => ["--bring-back", name]);
		const ending = await repair(dataDir, "--yes", ...flags);
		expect(ending).toMatchObject({ code: 0, stderr: "" });
		// Nothing tells of the second partitions any more where the metadata is gone, too.
		const isMade = ending.stdout.toString().includes("orders-1: its directory is gone");
		expect(isMade).toBe(!isMetadataLost);
		expect(await served(dataDir)).toEqual({ orders: all, payments: all, gaps: 0 });
	}
});

test("a directory in use is left alone: 5; what is none: 2", async () => {
	const dataDir = copy();
	const broker = await startBroker({ dataDir, websocket: "127.0.0.1:0" });
	expect((await repair(dataDir, "--yes")).code).toBe(5);
	await broker.close();
	expect((await repair(join(dataDir, "missing"), "--yes")).code).toBe(2);
});
