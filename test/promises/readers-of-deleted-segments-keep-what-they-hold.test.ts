/**
 * The promise: readers of deleted segments keep what they hold. A broker lends sockets the mapped
 * bytes of its segments; when those are deleted under readers that take them slowly - by
 * DeleteRecords, by retention, by compaction - every byte that was on its way arrives as it was,
 * over either protocol, also when new records take the room that became free.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { OPERATION } from "../../src/protocol/operations.ts";
import type { FrameValue } from "../../src/protocol/writer.ts";
import { BrokerProcess } from "../broker-process.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { pick } from "../kafka/pick.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { type Frame, RawClient } from "../websocket/raw-client.ts";

const MEBIBYTE = 1_048_576;
const STORED_BYTES = 24 * MEBIBYTE;
/** More than the buffers of a socket take that nobody reads from. */
const HELD_BYTES_MIN = 6 * MEBIBYTE;
const VALUE_BYTES = 100_000;
/** So few that compaction leaves next to nothing. */
const KEYS = 3;
const RECORDS = Math.ceil(STORED_BYTES / VALUE_BYTES);
const GONE_MS_MAX = 180_000;
const FLAGS = [
	...["--log-retention-check-interval-ms", "50"],
	...["--log-cleaner-backoff-ms", "50"],
	...["--log-cleaner-io-max-bytes-per-second", "1000000000"],
];
/** A fetch is answered from one segment. */
const CONFIGS = { "segment.bytes": 16 * MEBIBYTE, "file.delete.delay.ms": 0 };

const FETCH_ALL = {
	...{ replicaId: -1, maxWaitMs: 0, minBytes: 0, maxBytes: 2 * STORED_BYTES, isolationLevel: 0 },
	...{ sessionId: 0, sessionEpoch: -1 },
	topics: [
		{
			topic: "pages",
			partitions: [
				{
					partition: 0,
					fetchOffset: 0,
					currentLeaderEpoch: -1,
					partitionMaxBytes: 2 * STORED_BYTES,
				},
			],
		},
	],
};
const SUBSCRIBE: FrameValue[] = [
	...[OPERATION.subscribe, 1, 1, "pages", 0, "earliest"],
	{ format: "batch", credit: [1_000_000, 2 * STORED_BYTES], on_out_of_range: "earliest" },
];

/** How segments are made to go; resolves when they have. */
interface Deletion {
	readonly name: string;
	readonly configs: Readonly<Record<string, string | number>>;
	delete(broker: BrokerProcess, client: Client): Promise<void>;
}

const DELETIONS: readonly Deletion[] = [
	{
		name: "DeleteRecords",
		configs: CONFIGS,
		async delete({ kafka }, client) {
			const raw = await RawKafkaClient.connect(portOf(kafka));
			const partitions = [{ partitionIndex: 0, offset: RECORDS }];
			const asked = { topics: [{ name: "pages", partitions }], timeoutMs: 120_000 };
			const answer = await raw.request("DeleteRecords", 2, asked);
			expect(pick(answer, "topics", 0, "partitions", 0).errorCode).toBe(0);
			await raw.close();
			await startsAt(client, RECORDS);
		},
	},
	{
		name: "retention",
		configs: CONFIGS,
		async delete(_, client) {
			await client.topics.alter("pages", { "retention.bytes": 0 });
			await startsAt(client, RECORDS);
		},
	},
	{
		name: "compaction",
		configs: { ...CONFIGS, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": 1 },
		async delete(_, client) {
			await client.topics.alter("pages", { "min.cleanable.dirty.ratio": 0.01 });
			for (const deadlineMs = Date.now() + GONE_MS_MAX; ; await sleep(50)) {
				const consumer = client.consumer({ topics: "pages", from: "earliest", until: "end" });
				let count = 0;
				for await (const _ of consumer) count++;
				if (count < RECORDS / 2) return;
				if (Date.now() > deadlineMs) throw new Error(`${count} records are left`);
			}
		},
	},
];

test.for(DELETIONS)("$name", async ({ configs, ...deletion }) => {
	const broker = await BrokerProcess.start({ flags: FLAGS });
	const client = await connect(broker.url);
	await client.topics.create("pages", { partitions: 1, configs });
	await fill(client, 0);
	const port = portOf(broker.kafka);
	const [before, slow] = [await RawKafkaClient.connect(port), await RawKafkaClient.connect(port)];
	const expected = bytesOf(await before.request("Fetch", 11, FETCH_ALL));
	expect(expected.length).toBeGreaterThan(HELD_BYTES_MIN);

	// Both have asked for everything, and take no more than the beginning of it yet.
	const late = slow.request("Fetch", 11, FETCH_ALL);
	await once(slow.socket, "data");
	slow.socket.pause();
	const watcher = await RawClient.greeted(broker.url);
	watcher.send(...SUBSCRIBE);
	const isBatches = ([operation]: Frame) => operation === OPERATION.batches;
	const [, , , delivered] = await watcher.take(isBatches);
	watcher.socket.pause();
	await deletion.delete(broker, client);
	// New records may come to lie where the old ones were.
	await fill(client, RECORDS);

	slow.socket.resume();
	expect(bytesOf(await late).equals(expected), "every byte over the Kafka protocol").toBe(true);
	const batches = batchesOf(expected);
	watcher.socket.resume();
	const held = batchesOf(Buffer.from(delivered as Uint8Array));
	expect(held.size, "a delivery over WebSocket").toBeGreaterThan(0);
	await watcher.take(
		([operation]) => operation === OPERATION.gap || operation === OPERATION.caughtUp,
	);
	for (const [, , , bytes] of watcher.frames.filter(isBatches)) {
		for (const [base, batch] of batchesOf(Buffer.from(bytes as Uint8Array))) held.set(base, batch);
	}
	// The fetch was answered from the first segment; a socket may have taken more than that.
	const changed = [...held].filter(
		([base, batch]) => batches.has(base) && batches.get(base) !== batch,
	);
	expect(changed.map(([base]) => base)).toEqual([]);
	for (const raw of [before, slow]) await raw.close();
	watcher.close();
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
});

/** Records one by one, each a batch of its own; the keys come again and again. */
async function fill(client: Client, from: number): Promise<void> {
	const producer = client.producer<Uint8Array>({ codec: "bytes", durability: "written" });
	for (let number = from; number < from + RECORDS; number++) {
		const value = Buffer.alloc(VALUE_BYTES, `${number} `);
		await producer.send({ topic: "pages", key: `${number % KEYS}`, value });
	}
	await producer.close();
}

const portOf = (kafka: string | null): number => Number(kafka?.split(":")[1]);

/** Resolves when the log starts there. */
async function startsAt(client: Client, offset: number): Promise<void> {
	for (const deadlineMs = Date.now() + GONE_MS_MAX; ; await sleep(20)) {
		const [ends] = await client.offsets.describe("pages");
		if (ends?.log_start === offset) return;
		if (Date.now() > deadlineMs) throw new Error(`the log starts at ${ends?.log_start}`);
	}
}

/** The records of a fetch of the only partition. */
function bytesOf(answer: Fields): Buffer {
	const { errorCode, records } = pick(answer, "responses", 0, "partitions", 0);
	expect(errorCode).toBe(0);
	return Buffer.from(records as Uint8Array);
}

/** Hashes of whole batches by their base offsets. */
function batchesOf(bytes: Buffer): Map<number, string> {
	const [LENGTH_AT, LENGTH_END] = [8, 12];
	const batches = new Map<number, string>();
	for (let at = 0; at + LENGTH_END <= bytes.length; ) {
		const end = at + LENGTH_END + bytes.readInt32BE(at + LENGTH_AT);
		if (end > bytes.length) break;
		const hash = createHash("sha256").update(bytes.subarray(at, end)).digest("hex");
		batches.set(Number(bytes.readBigInt64BE(at)), hash);
		at = end;
	}
	return batches;
}
