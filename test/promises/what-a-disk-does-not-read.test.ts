/**
 * The promise: what a disk does not read costs what lies there, and no signal, no restart and
 * nobody else's records. Whoever reads it is told so; `verify` names it, and `repair` cuts it out.
 *
 * On btrfs: a changed bit below it is a checksum that does not fit, and so an EIO for who reads.
 */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand } from "../broker-process.ts";
import { missingMounts, mountImage, mountNewImage } from "../mounts.ts";

const IMAGE_BYTES = 160 * 1_048_576;
const RECORDS = 40;
const HARMED = 12;
const VALUE_BYTES = 100_000;
/** In a segment behind that. */
const BEHIND = 25;
const STUCK_MS = 2_000;
const TOPICS = ["harmed", "sound"] as const;

async function produce(client: Client, topic: string, values: readonly Buffer[]): Promise<void> {
	await client.topics.create(topic, { partitions: 1, configs: { "segment.bytes": 1_048_576 } });
	const records = client.producer<Uint8Array>({ codec: "bytes" });
	// One by one: each is a batch of its own.
	for (const value of values) await records.send({ topic, partition: 0, value });
}

/** Digests of what is read from an offset on, until the end or the signal. */
async function read(
	client: Client,
	topic: string,
	from: number,
	signal?: AbortSignal,
): Promise<Map<number, string>> {
	const found = new Map<number, string>();
	const options = { topics: topic, codec: "bytes", from: { offset: from }, until: "end" } as const;
	const consumer = client.consumer<Uint8Array>({ ...options, ...(signal && { signal }) });
	try {
		for await (const { offset, valueBytes } of consumer) {
			found.set(offset, digest(valueBytes as Uint8Array));
		}
	} catch (error) {
		if (signal?.aborted !== true) throw error;
	}
	return found;
}

async function produceMore(client: Client, topic: string, value: Buffer): Promise<void> {
	await client.producer<Uint8Array>({ codec: "bytes" }).send({ topic, partition: 0, value });
}

const digest = (value: Uint8Array): string => createHash("sha256").update(value).digest("hex");

/** Digests of values by their offsets, from one on. */
const stored = (values: readonly Buffer[], from: number): Map<number, string> =>
	new Map([...values.map(digest).entries()].slice(from));

/** Changes a byte in the middle of a value where the disk has it. */
function harm(imageFile: string, value: Buffer): void {
	const middle = value.length >> 1;
	const position = readFileSync(imageFile).indexOf(value.subarray(middle, middle + 64));
	expect(position).toBeGreaterThan(0);
	const descriptor = openSync(imageFile, "r+");
	writeSync(descriptor, Buffer.from([(value[middle] as number) ^ 1]), 0, 1, position);
	closeSync(descriptor);
}

test("a sector that cannot be read", async (context) => {
	const missing = missingMounts("btrfs");
	if (missing !== null) context.skip(missing);
	const disk = mountNewImage(IMAGE_BYTES, { kind: "btrfs" });
	const broker = await BrokerProcess.start({ dataDir: join(disk.directory, "data") });
	const client = await connect(broker.url);
	const [harmed, sound] = TOPICS.map(() =>
		Array.from({ length: RECORDS }, () => randomBytes(VALUE_BYTES)),
	) as [Buffer[], Buffer[]];
	await produce(client, "harmed", harmed);
	await produce(client, "sound", sound);
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
	disk.unmount();
	harm(disk.imageFile as string, harmed[HARMED] as Buffer);

	const dataDir = join(mountImage(disk.imageFile as string).directory, "data");
	const again = await BrokerProcess.start({ dataDir });
	const reader = await connect(again.url);
	// Who comes to that place is held up there; others, and those behind it, are not.
	const stuck = await read(reader, "harmed", 0, AbortSignal.timeout(STUCK_MS));
	expect([...stuck.keys()].every((offset) => offset < HARMED)).toBe(true);
	expect(await read(reader, "harmed", BEHIND)).toEqual(stored(harmed, BEHIND));
	expect(await read(reader, "sound", 0)).toEqual(stored(sound, 0));
	await produceMore(reader, "harmed", sound[0] as Buffer);
	await reader.close();
	// Both ways of looking name it, and look at the others.
	for (const isRunning of [true, false]) {
		if (!isRunning) expect(await again.stop()).toMatchObject({ code: 0 });
		const { code, stdout } = await runCommand(["verify", "--data-dir", dataDir]);
		expect(code).toBe(4);
		expect(stdout.toString()).toMatch(/harmed-0: reading .*Input\/output error/);
		expect(stdout.toString()).not.toContain("sound-0");
	}

	expect(await runCommand(["repair", "--data-dir", dataDir, "--yes"])).toMatchObject({ code: 0 });
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
	const repaired = await BrokerProcess.start({ dataDir });
	const last = await connect(repaired.url);
	const left = stored([...harmed, sound[0] as Buffer], 0);
	left.delete(HARMED);
	expect(await read(last, "harmed", 0)).toEqual(left);
	await last.close();
});
