/**
 * The promise: one flipped bit in what is stored harms one batch. The broker finds it by itself,
 * says once which offsets are gone, and serves everything else, over both protocols. In what can be
 * made again it harms nothing.
 */
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";

import { connect, type Gap } from "../../src/client/index.ts";
import {
	atEndOfSuite,
	BrokerProcess,
	type BrokerProcessOptions,
	runCommand,
	temporaryDirectory,
} from "../broker-process.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";

const TOPIC = "orders";
const BATCHES = 240;
const RECORDS_PER_BATCH = 5;
const COUNT = BATCHES * RECORDS_PER_BATCH;
const HEADER_BYTES = 61;
const FOUND_MS_MAX = 180_000;

/** Every field of a batch's header but the leader epoch, which nothing covers; then the records. */
const REGIONS: readonly [what: string, at: (batchBytes: number) => number][] = [
	["base offset, its first byte", () => 0],
	["base offset, its last byte", () => 7],
	["length, its first byte", () => 8],
	["length, its last byte", () => 11],
	["magic", () => 16],
	["checksum", () => 18],
	["attributes", () => 22],
	["last offset delta", () => 26],
	["base timestamp", () => 30],
	["largest timestamp", () => 40],
	["producer id", () => 46],
	["producer epoch", () => 52],
	["base sequence", () => 55],
	["record count", () => 60],
	["the first record's length", () => HEADER_BYTES],
	["the middle of the records", (bytes) => Math.floor((HEADER_BYTES + bytes) / 2)],
	["the last byte", (bytes) => bytes - 1],
];

/** A stopped broker's directory: a partition of several closed segments. */
let original: string;
const atEnd = atEndOfSuite();
beforeAll(async () => {
	original = join(temporaryDirectory(atEnd), "data");
	const broker = await BrokerProcess.start({ dataDir: original, atEnd });
	const client = await connect(broker.url);
	const configs = { "flush.messages": 1_000, "segment.bytes": 1_048_576 };
	await client.topics.create(TOPIC, { configs });
	const producer = client.producer();
	for (let number = 0; number < COUNT; number += RECORDS_PER_BATCH) {
		const records = Array.from({ length: RECORDS_PER_BATCH }, (_, index) => ({
			value: `${number + index} ${"x".repeat(4_000)}`,
		}));
		await producer.sendBatch(TOPIC, records);
	}
	await client.close();
	expect((await broker.stop()).code).toBe(0);
});

function copy(): string {
	const dataDir = join(temporaryDirectory(), "data");
	cpSync(original, dataDir, { recursive: true });
	return dataDir;
}

/** The files of the partition with an extension, oldest first. */
function files(dataDir: string, extension: string): string[] {
	const logs = join(dataDir, "logs");
	return readdirSync(logs, { recursive: true, encoding: "utf8" })
		.filter((name) => name.endsWith(extension))
		.sort()
		.map((name) => join(logs, name));
}

function flip(file: string, position: number, bit = 2): void {
	const bytes = readFileSync(file);
	bytes.writeUInt8(bytes.readUInt8(position) ^ (1 << bit), position);
	writeFileSync(file, bytes);
}

interface Batch {
	readonly position: number;
	readonly bytes: number;
	readonly offset: number;
}

function batchesOf(log: Buffer): Batch[] {
	const batches: Batch[] = [];
	for (let position = 0; position < log.length; ) {
		const bytes = 12 + log.readInt32BE(position + 8);
		batches.push({ position, bytes, offset: Number(log.readBigInt64BE(position)) });
		position += bytes;
	}
	return batches;
}

/** A broker that scrubs as fast as the disk gives. */
const started = (dataDir: string, options: BrokerProcessOptions = {}): Promise<BrokerProcess> =>
	BrokerProcess.start({
		dataDir,
		environment: { MILLRACE_SCRUB_MAX_BYTES_PER_SECOND: "1000000000" },
		...options,
	});

interface Read {
	/** Numbers of the records, in the order in which they came. */
	readonly numbers: number[];
	readonly gaps: Gap[];
}

async function readAll(url: string): Promise<Read> {
	const client = await connect(url);
	const gaps: Gap[] = [];
	const numbers: number[] = [];
	const consumer = client.consumer<string>({
		topics: TOPIC,
		from: "earliest",
		until: "end",
		onGap: (gap) => gaps.push(gap),
	});
	for await (const { value } of consumer) numbers.push(Number.parseInt(value as string, 10));
	await client.close();
	return { numbers, gaps };
}

/** Base offsets of the batches that a Kafka consumer is given, one fetch behind the other. */
async function fetchAll(kafka: string): Promise<number[]> {
	const client = await RawKafkaClient.connect(Number(kafka.split(":").at(-1)));
	const offsets: number[] = [];
	for (let next = 0; next < COUNT; ) {
		const partition: Fields = {
			partition: 0,
			fetchOffset: BigInt(next),
			partitionMaxBytes: 65_536,
		};
		const answer = await client.request("Fetch", 4, {
			maxWaitMs: 0,
			minBytes: 0,
			maxBytes: 65_536,
			topics: [{ topic: TOPIC, partitions: [partition] }],
		});
		const [{ partitions }] = answer.responses as [{ partitions: Fields[] }];
		const [{ errorCode, records }] = partitions as [Fields];
		expect(errorCode).toBe(0);
		const log = Buffer.from(records as Uint8Array);
		const before = next;
		for (let position = 0; position + HEADER_BYTES <= log.length; ) {
			const offset = Number(log.readBigInt64BE(position));
			offsets.push(offset);
			next = offset + log.readInt32BE(position + 23) + 1;
			position += 12 + log.readInt32BE(position + 8);
		}
		if (next === before) break;
	}
	await client.close();
	return offsets;
}

async function until(holds: () => boolean): Promise<void> {
	for (const deadlineMs = Date.now() + FOUND_MS_MAX; !holds(); await sleep(50)) {
		if (Date.now() > deadlineMs) throw new Error("the broker has found nothing");
	}
}

/** Flips a bit in each region, of a batch each; returns the first offsets of those batches. */
function flipEachRegion(dataDir: string): number[] {
	const logs = files(dataDir, ".log");
	expect(logs.length).toBeGreaterThan(3);
	const closed = logs.slice(0, -1).flatMap((log) =>
		// Not the neighbours of another: two in a row are one range.
		batchesOf(readFileSync(log))
			.filter((_, index) => index % 2 === 1)
			.map((batch) => ({ log, ...batch })),
	);
	expect(closed.length).toBeGreaterThan(3 * REGIONS.length);
	return REGIONS.map(([, at], index) => {
		const { log, position, bytes, offset } = closed[index * 3] as (typeof closed)[number];
		flip(log, position + at(bytes));
		return offset;
	});
}

test("a bit in any region of a batch costs that batch, and the broker says so", async () => {
	const dataDir = copy();
	const harmed = flipEachRegion(dataDir);
	const broker = await started(dataDir);
	const known = (): number =>
		files(dataDir, ".damage").reduce(
			(count, file) => count + JSON.parse(readFileSync(file, "utf8")).ranges.length,
			0,
		);
	await until(() => known() === REGIONS.length);

	const lost = new Set(
		harmed.flatMap((offset) =>
			Array.from({ length: RECORDS_PER_BATCH }, (_, index) => offset + index),
		),
	);
	const { numbers, gaps } = await readAll(broker.url);
	const whole = Array.from({ length: COUNT }, (_, number) => number).filter(
		(number) => !lost.has(number),
	);
	expect(numbers).toEqual(whole);
	expect(gaps.map(({ from, to, error }) => ({ from, to, code: error.code }))).toEqual(
		harmed.map((from) => ({ from, to: from + RECORDS_PER_BATCH, code: "DAMAGED_RANGE" })),
	);
	expect(await fetchAll(broker.kafka as string)).toEqual(
		whole.filter((number) => number % RECORDS_PER_BATCH === 0),
	);
	const { stderr, code } = await broker.stop();
	expect(code).toBe(0);
	for (const [index, from] of harmed.entries()) {
		const line = `offsets ${from} to ${from + RECORDS_PER_BATCH} are damaged`;
		const told = stderr.split("\n").filter((text) => text.includes(line));
		expect({ region: REGIONS[index]?.[0], told: told.length }).toMatchObject({ told: 1 });
		expect(told[0]).toContain(".log");
	}

	// Found once it is known for good, and can be cut out for good.
	expect((await runCommand(["verify", "--data-dir", dataDir])).code).toBe(4);
	expect((await runCommand(["repair", "--data-dir", dataDir, "--yes"])).code).toBe(0);
	expect((await runCommand(["verify", "--data-dir", dataDir])).code).toBe(0);
	const repaired = await started(dataDir);
	expect(await readAll(repaired.url)).toEqual({ numbers: whole, gaps: [] });
	await repaired.stop();
});

test("a reader that is faster than the broker loses the same one batch", async () => {
	const dataDir = copy();
	const harmed = flipEachRegion(dataDir);
	const environment = { MILLRACE_SCRUB_MAX_BYTES_PER_SECOND: "0" };
	const broker = await BrokerProcess.start({ dataDir, environment });
	const { numbers, gaps } = await readAll(broker.url);
	expect(gaps.map(({ from, to }) => [from, to])).toEqual(
		harmed.map((from) => [from, from + RECORDS_PER_BATCH]),
	);
	expect(numbers.length).toBe(COUNT - harmed.length * RECORDS_PER_BATCH);
	const { stderr } = await broker.stop();
	for (const from of harmed) expect(stderr).toContain(`offsets ${from} to `);
});

test("a bit in what can be made again harms nothing", async () => {
	const all = Array.from({ length: COUNT }, (_, number) => number);
	for (const extension of [".index", ".timeindex", ".snapshot", "checkpoint"]) {
		const dataDir = copy();
		const damaged =
			extension === "checkpoint" ? [join(dataDir, extension)] : files(dataDir, extension);
		expect(damaged.length).toBeGreaterThan(0);
		for (const file of damaged) flip(file, Math.floor(readFileSync(file).length / 2));
		const broker = await started(dataDir);
		expect({ extension, ...(await readAll(broker.url)) }).toEqual({
			extension,
			numbers: all,
			gaps: [],
		});
		expect((await broker.stop()).code).toBe(0);
	}
});

test("without a log start that can be believed, no record is missing", async () => {
	const dataDir = copy();
	const broker = await started(dataDir);
	const client = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
	const partitions = [{ partitionIndex: 0, offset: 7n }];
	await client.request("DeleteRecords", 1, {
		topics: [{ name: TOPIC, partitions }],
		timeoutMs: 120_000,
	});
	await client.close();
	expect((await readAll(broker.url)).numbers[0]).toBe(7);
	await broker.stop();
	const [start] = files(dataDir, "start.json") as [string];
	flip(start, readFileSync(start).length - 3, 0);
	const again = await started(dataDir);
	const { numbers, gaps } = await readAll(again.url);
	// Deleted ones of a segment that is still there may come back; nobody is told of damage.
	expect({ last: numbers.at(-1), gaps }).toEqual({ last: COUNT - 1, gaps: [] });
	expect(numbers.length).toBeGreaterThanOrEqual(COUNT - 7);
	await again.stop();
});

test("a bit in the metadata costs no record: it is served, or refused until repaired", async () => {
	const { length } = readFileSync(join(original, "metadata.redb"));
	let refused = 0;
	for (const position of [0, 12, 70, 140, 4_100, 8_200, 12_300, Math.floor(length / 2)]) {
		const dataDir = copy();
		flip(join(dataDir, "metadata.redb"), position);
		const start = await runStart(dataDir);
		if (start === "refused") {
			refused++;
			const repair = await runCommand(["repair", "--data-dir", dataDir, "--yes"]);
			expect({ position, code: repair.code, stderr: repair.stderr }).toMatchObject({ code: 0 });
			expect(existsSync(join(dataDir, "salvage"))).toBe(true);
		}
		const broker = start === "refused" ? await started(dataDir) : start;
		const { numbers, gaps } = await readAll(broker.url);
		expect({ position, count: numbers.length, gaps }).toEqual({ position, count: COUNT, gaps: [] });
		await broker.stop();
	}
	expect(refused).toBeGreaterThan(0);
});

/** Starts a broker, or tells that it refused the directory as damaged. */
async function runStart(dataDir: string): Promise<BrokerProcess | "refused"> {
	try {
		return await started(dataDir);
	} catch (error) {
		expect(String(error)).toContain("the broker ended with 4");
		return "refused";
	}
}
