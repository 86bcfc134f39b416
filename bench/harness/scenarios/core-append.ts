/** Ready batches of 1 MiB go into the log from this process: what the core does without sockets. */
import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { PLAN_CODE, PLAN_TOPIC_HANDLE } from "#dist/storage/layout.js";
import { Storage, type TopicHandle } from "#dist/storage/storage.js";
import { checkOverrides, topicLogConfig } from "#dist/topics/configuration.js";

import { Payload } from "../payload.ts";
import { batchFrame, recordsFrame } from "../produce-frames.ts";
import type { Verified } from "../results.ts";
import { shareOfStore } from "../roofline.ts";
import {
	ownCpuSeconds,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
} from "../scenario.ts";

const RECORD_BYTES = 1_024;

/** Just below 1 MiB, which is the largest batch of a topic at its defaults. */
const BATCH_RECORDS = 1_000;

/** What a batch has before its records: its base offset first, which differs from batch to batch. */
const HEADER_BYTES = 61;

export const coreAppendScenario: Scenario = {
	name: "core-append-1mib",
	about: "ready batches of 1 MiB, checked and stored, without sockets",
	async run(context) {
		const storage = await Storage.open({ dataDir: join(context.directory, "data") });
		try {
			return await append(storage, context);
		} finally {
			await storage.close();
		}
	},
};

async function append(
	storage: Storage,
	{ profile, roofline }: ScenarioContext,
): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const [source, target] = await openTopics(storage);
	const batch = await readyBatch(storage, source, payload);
	const log = new Appender(storage, target, batchFrame(batch));
	const batchesMax = Math.floor(profile.storedBytesMax / (BATCH_RECORDS * RECORD_BYTES));
	await log.run(profile.warmUpSeconds, batchesMax / 4);

	const warmedUp = log.batches;
	const cpuBefore = process.cpuUsage();
	const startMs = performance.now();
	await log.run(profile.seconds, batchesMax);
	const seconds = (performance.now() - startMs) / 1_000;
	const clientCpuSeconds = ownCpuSeconds(cpuBefore);

	const records = (log.batches - warmedUp) * BATCH_RECORDS;
	const bytesPerSecond = (records * RECORD_BYTES) / seconds;
	return {
		durability: "written",
		transport: null,
		record_bytes: RECORD_BYTES,
		records,
		seconds,
		records_per_second: records / seconds,
		bytes_per_second: bytesPerSecond,
		latency: null,
		echo: null,
		roofline: shareOfStore(roofline, bytesPerSecond),
		broker: null,
		client_cpu_seconds: clientCpuSeconds,
		verified: verify(storage, target, batch, log.batches),
	};
}

async function openTopics(storage: Storage): Promise<[TopicHandle, TopicHandle]> {
	const config = topicLogConfig(checkOverrides([["flush.messages", "9223372036854775807"]]));
	const handles = await storage.openTopics(
		["source", "target"].map((name) => ({
			name,
			topicId: randomUUID(),
			partitions: 1,
			config,
			existing: false,
		})),
	);
	return handles as [TopicHandle, TopicHandle];
}

/** A batch as the core itself builds it. */
async function readyBatch(
	storage: Storage,
	source: TopicHandle,
	payload: Payload,
): Promise<Uint8Array> {
	const values = Array.from({ length: BATCH_RECORDS }, (_, number) => payload.value(number));
	await appendFrame(storage, source, recordsFrame(values));
	return readBatch(storage, source, 0).slice();
}

/** The batch that begins at an offset: a view that is good until the next read. */
function readBatch(storage: Storage, topic: TopicHandle, offset: number): Uint8Array {
	const { status, data } = storage.readBatches(topic, 0, offset, 1);
	if (data === null) throw new Error(`the batch at offset ${offset} cannot be read: ${status}`);
	storage.release(data);
	return data;
}

async function appendFrame(storage: Storage, topic: TopicHandle, frame: Uint8Array): Promise<void> {
	const { ack, entryCount } = storage.decodeProduce(frame);
	storage.plan[PLAN_TOPIC_HANDLE] = topic;
	storage.plan[PLAN_CODE] = 0;
	const token = storage.append(frame, entryCount, ack, -1, -1);
	if (token !== 0) {
		const { isElsewhere } = storage;
		const code = await new Promise<number>((resolve) => storage.onToken(token, resolve));
		if (isElsewhere) storage.takeAppended(token);
		if (code !== 0) throw new Error(`an append failed with code ${code}`);
	}
	const refused = storage.plan[PLAN_CODE];
	if (refused !== 0) throw new Error(`an append was refused with code ${refused}`);
}

class Appender {
	readonly #storage: Storage;
	readonly #topic: TopicHandle;
	readonly #frame: Uint8Array;
	batches = 0;

	constructor(storage: Storage, topic: TopicHandle, frame: Uint8Array) {
		this.#storage = storage;
		this.#topic = topic;
		this.#frame = frame;
	}

	async run(seconds: number, batchesMax: number): Promise<void> {
		const endMs = performance.now() + seconds * 1_000;
		while (performance.now() < endMs && this.batches < batchesMax) {
			await appendFrame(this.#storage, this.#topic, this.#frame);
			this.batches += 1;
		}
	}
}

/** Rejects unless every batch is there, at its offset, with the records that were appended. */
function verify(
	storage: Storage,
	topic: TopicHandle,
	batch: Uint8Array,
	batches: number,
): Verified {
	const records = batches * BATCH_RECORDS;
	const { logEnd } = storage.offsets(topic, 0);
	if (logEnd !== records) throw new Error(`${records} records were appended, ${logEnd} are there`);
	const hash = createHash("sha256");
	for (let offset = 0; offset < records; offset += BATCH_RECORDS) {
		const stored = readBatch(storage, topic, offset);
		const baseOffset = new DataView(stored.buffer, stored.byteOffset).getBigInt64(0);
		const same = Buffer.compare(stored.subarray(HEADER_BYTES), batch.subarray(HEADER_BYTES)) === 0;
		if (!same || baseOffset !== BigInt(offset)) {
			throw new Error(`the batch at offset ${offset} is not the one that was appended`);
		}
		hash.update(stored);
	}
	return { records, sha256: hash.digest("hex") };
}
