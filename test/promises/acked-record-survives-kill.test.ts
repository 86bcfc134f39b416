/**
 * The promise: an acknowledged record survives `kill -9` of the broker, once, in order per key and
 * unchanged, and the producer carries on by itself.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { type Ack, type Client, connect, type Durability } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { RUNS_LONG_TESTS } from "../optional-parts.ts";

const TOPIC = "packages";
const PARTITIONS = 5;
/** Every package is sent this often: its key has that many records to keep in order. */
const ROUNDS = RUNS_LONG_TESTS ? 100 : 30;
/** Records in flight: enough for frames of many, few enough for the kills to come in the middle. */
const IN_FLIGHT_MAX = 1_000;

const rootDirectory = fileURLToPath(new URL("../..", import.meta.url));

interface PackageRecord {
	file: string;
	round: number;
	content: unknown;
}

/** Every package.json below node_modules, by its path. */
function packages(): { file: string; content: unknown }[] {
	const directory = join(rootDirectory, "node_modules");
	return readdirSync(directory, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile() && entry.name === "package.json")
		.map((entry) => join(entry.parentPath, entry.name))
		.map((path) => ({
			file: relative(directory, path),
			content: JSON.parse(readFileSync(path, "utf8")),
		}));
}

const identity = ({ file, round }: { file: string; round: number }) => `${file} ${round}`;

/** A topic as it is by default, and one of small segments whose acks wait for no disk. */
const TOPICS = [
	{ name: "default", configs: {}, durability: "flushed" },
	{
		name: "relaxed",
		configs: { "flush.messages": 1_000_000, "segment.bytes": 1_048_576, "compression.type": "lz4" },
		durability: "written",
	},
] as const;

test.for(TOPICS)(
	"every acknowledged record of a $name topic is there once, in order",
	async ({ configs, durability }) => {
		const files = packages();
		expect(files.length).toBeGreaterThan(50);
		const total = files.length * ROUNDS;
		const dataDir = temporaryDirectory();
		let broker = await BrokerProcess.start({ dataDir });
		const { port } = broker;
		const client = await connect(broker.url);
		await client.topics.create(TOPIC, { partitions: PARTITIONS, configs });

		const acks = new Map<string, Ack>();
		const watched = watch(client, total);
		// However fast the broker is, it has not had everything when it is killed.
		const allowed = { records: 0 };
		const sending = sendAll(client, files, acks, allowed);
		for (const part of [0.2, 0.5, 0.8]) {
			allowed.records = total * (part + 0.15);
			await reached(() => acks.size >= total * part, sending);
			await broker.kill();
			expect(acks.size, "the kill came in the middle").toBeLessThan(total);
			broker = await BrokerProcess.start({ dataDir, port });
		}
		allowed.records = total;
		await sending;
		expect(acks.size).toBe(total);

		// A consumer that was there all the time and one that comes afterwards see the same.
		for (const seen of [await watched, await readAll(client)]) {
			expect(seen.length).toBe(total);
			expectOnceInOrder(seen, files, acks, durability);
		}
		await client.close();
		expect(await broker.stop()).toMatchObject({ code: 0 });
	},
);

/** Keeps up to IN_FLIGHT_MAX sends under way, of those allowed, until all are acknowledged. */
async function sendAll(
	client: Client,
	files: readonly { file: string; content: unknown }[],
	acks: Map<string, Ack>,
	allowed: { readonly records: number },
): Promise<void> {
	const producer = client.producer<PackageRecord>();
	const underWay = new Set<Promise<unknown>>();
	let sentCount = 0;
	for (let round = 0; round < ROUNDS; round++) {
		for (const { file, content } of files) {
			while (sentCount >= allowed.records) await sleep(1);
			sentCount++;
			const value = { file, round, content };
			const sent = producer.send({ topic: TOPIC, key: file, value }).then((ack) => {
				acks.set(identity(value), ack);
				underWay.delete(sent);
			});
			underWay.add(sent);
			if (underWay.size >= IN_FLIGHT_MAX) await Promise.race(underWay);
		}
	}
	await Promise.all(underWay);
}

interface Seen {
	value: PackageRecord;
	key: string | null;
	partition: number;
	offset: number;
}

/** What a consumer that starts now sees, up to `count` records. */
async function watch(client: Client, count: number): Promise<Seen[]> {
	return take(client.consumer<PackageRecord>({ topics: TOPIC, from: "earliest" }), count);
}

async function readAll(client: Client): Promise<Seen[]> {
	return take(client.consumer<PackageRecord>({ topics: TOPIC, from: "earliest", until: "end" }));
}

async function take(
	consumer: ReturnType<typeof Client.prototype.consumer<PackageRecord>>,
	count = Number.POSITIVE_INFINITY,
): Promise<Seen[]> {
	const seen: Seen[] = [];
	for await (const { value, keyText: key, partition, offset } of consumer) {
		seen.push({ value: value as PackageRecord, key, partition, offset });
		if (seen.length === count) break;
	}
	await consumer.close();
	return seen;
}

function expectOnceInOrder(
	seen: readonly Seen[],
	files: readonly { file: string; content: unknown }[],
	acks: ReadonlyMap<string, Ack>,
	durability: Durability,
): void {
	const contents = new Map(files.map(({ file, content }) => [file, content]));
	const rounds = new Map<string, number>();
	const places = new Set<string>();
	for (const { value, key, partition, offset } of seen) {
		expect(key).toBe(value.file);
		expect(value.round, value.file).toBe((rounds.get(value.file) ?? -1) + 1);
		rounds.set(value.file, value.round);
		expect(acks.get(identity(value))).toMatchObject({ partition, offset, durability });
		expect(value.content).toEqual(contents.get(value.file));
		places.add(`${partition} ${offset}`);
	}
	expect(places.size).toBe(seen.length);
}

/** Resolves when `isReached`; rejects with what `failing` rejects with before that. */
async function reached(isReached: () => boolean, failing: Promise<unknown>): Promise<void> {
	let timer: NodeJS.Timeout | undefined;
	const polled = new Promise<void>((resolve) => {
		timer = setInterval(() => isReached() && resolve(), 1);
	});
	await Promise.race([polled, failing]).finally(() => clearInterval(timer));
}
