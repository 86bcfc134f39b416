/**
 * The promise: a power cut loses nothing that was acknowledged as flushed, and consumers have seen
 * nothing that it takes away.
 *
 * The broker writes to a loop-mounted ext4 under load. It is stopped by SIGSTOP, then the file
 * system is cut off from its device at once: what was not synced by then never reaches the image.
 * A copy of the image is mounted, which replays its journal, and a broker started on it. A file
 * that nobody synced proves each time that the cut takes such data away.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { type Client, connect, type Durability } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { missingMounts, mountImage, mountNewImage, run } from "../mounts.ts";
import { missingPython, pythonBinary, RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";

const IMAGE_BYTES = 256 * 1_048_576;
const PARTITIONS = 3;
const IN_FLIGHT_MAX = 200;
const CUTS = 20;
/** Those that every run makes. */
const CUTS_SHORT = 2;

/** Topics under load, how they flush, and what their producer asks for. */
const LOADS = [
	{ topic: "flushed", configs: {}, durability: undefined },
	{ topic: "relaxed", configs: { "flush.messages": 1_000_000 }, durability: "flushed" },
	{
		topic: "mapped",
		configs: { "flush.ms": 200, "segment.bytes": 1_048_576 },
		durability: "flushed",
	},
] as const satisfies { topic: string; configs: object; durability: Durability | undefined }[];

/** A record by where it was stored. */
type Places = Map<string, string>;

const place = (topic: string, partition: number, offset: number) =>
	`${topic} ${partition} ${offset}`;

test.for(Array.from({ length: CUTS }, (_, index) => index + 1))(
	"power cut %i: what was acknowledged as flushed, and what consumers saw, is there",
	{ timeout: 60_000 },
	async (cut, context) => {
		if (cut > CUTS_SHORT && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const missing = missingMounts();
		if (missing !== null) context.skip(missing);
		const python = pythonBinary() ?? context.skip(missingPython());
		const seed = Number(process.env.SEED ?? Date.now() % 1_000_000) + cut;
		process.stdout.write(`seed ${seed}\n`);

		const before = mountNewImage(IMAGE_BYTES);
		const broker = await BrokerProcess.start({ dataDir: join(before.directory, "data") });
		const ended = new AbortController();
		const client = await connect(broker.url, { signal: ended.signal });
		for (const { topic, configs } of LOADS) {
			await client.topics.create(topic, { partitions: PARTITIONS, configs });
		}
		const acked: Places = new Map();
		const seen: Places = new Map();
		const running = [
			...LOADS.map(({ topic, durability }) => load(client, topic, durability, acked, ended.signal)),
			watch(client, "flushed", seen),
		].map((task) => task.catch(expectEnded));
		await sleep(800 + (seed % 1_700));

		const unsyncedFile = join(before.directory, "unsynced");
		const unsynced = Buffer.alloc(65_536, "unsynced");
		writeFileSync(unsyncedFile, unsynced);
		broker.signal("SIGSTOP");
		await stopped(broker.pid);
		cutOff(python, before.directory);
		// Acknowledgements and deliveries that were on their way count, too.
		await sleep(200);
		ended.abort();
		await Promise.all(running);
		const copy = join(temporaryDirectory(), "copy");
		run("cp", ["--sparse=always", before.imageFile as string, copy]);
		await broker.kill();
		before.unmount();

		expect(run("dumpe2fs", ["-h", copy])).toContain("needs_recovery");
		const after = mountImage(copy);
		expect(contentOf(join(after.directory, "unsynced"))).not.toEqual(unsynced);
		const dataDir = join(after.directory, "data");
		const stored = await everything(dataDir);
		expect(acked.size).toBeGreaterThan(100);
		expect(seen.size).toBeGreaterThan(100);
		for (const places of [acked, seen]) {
			const lost = [...places].filter(([where, value]) => stored.get(where) !== value);
			expect(lost).toEqual([]);
		}
		expect(new Set(stored.values()).size, "nothing is there twice").toBe(stored.size);
		expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
		process.stdout.write(`${acked.size} acked, ${seen.size} seen, ${stored.size} stored\n`);
	},
);

/** Produces until the signal, and notes where each acknowledged record is. */
async function load(
	client: Client,
	topic: string,
	durability: Durability | undefined,
	acked: Places,
	signal: AbortSignal,
): Promise<void> {
	const producer = client.producer(durability === undefined ? {} : { durability });
	const underWay = new Set<Promise<unknown>>();
	for (let number = 0; !signal.aborted; number++) {
		const value = `${topic} ${number} ${"x".repeat(number % 1_500)}`;
		const sent = producer.send({ topic, key: `${number % 100}`, value }).then((ack) => {
			underWay.delete(sent);
			expect(ack.durability).toBe("flushed");
			acked.set(place(topic, ack.partition, ack.offset), value);
		});
		underWay.add(sent);
		sent.catch(() => undefined);
		if (underWay.size >= IN_FLIGHT_MAX) await Promise.race(underWay);
	}
}

async function watch(client: Client, topic: string, seen: Places): Promise<void> {
	for await (const record of client.consumer<string>({ topics: topic, from: "earliest" })) {
		seen.set(place(topic, record.partition, record.offset), record.value as string);
	}
}

/** The client was ended by the test: that is how its producers and consumers end. */
function expectEnded(error: unknown): void {
	expect(error).toMatchObject({ code: "CLOSED" });
}

/** Resolves when the process no longer runs on any thread. */
async function stopped(pid: number): Promise<void> {
	while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") T ")) await sleep(1);
}

/** EXT4_IOC_SHUTDOWN without a flush of the log: from now on nothing reaches the device. */
function cutOff(python: string, directory: string): void {
	const program = [
		"import fcntl, os, struct, sys",
		"SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2",
		"descriptor = os.open(sys.argv[1], os.O_RDONLY)",
		'fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))',
	].join("\n");
	const { status, stderr } = spawnSync(python, ["-c", program, directory], { encoding: "utf8" });
	expect(status, stderr).toBe(0);
}

function contentOf(file: string): Buffer | null {
	try {
		return readFileSync(file);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
}

/** Every record that a broker serves from this directory. */
async function everything(dataDir: string): Promise<Places> {
	const broker = await BrokerProcess.start({ dataDir });
	const client = await connect(broker.url);
	const stored: Places = new Map();
	const topics = LOADS.map(({ topic }) => topic);
	const consumer = client.consumer<string>({ topics, from: "earliest", until: "end" });
	for await (const { topic, partition, offset, value } of consumer) {
		stored.set(place(topic, partition, offset), value as string);
	}
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
	return stored;
}
