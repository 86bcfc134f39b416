/** Ready batches of 1 MiB go into the log from this process: what the core does without sockets. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Storage, type TopicHandle } from "#dist/storage/storage.js";

import { Payload } from "../payload.ts";
import { batchFrame } from "../produce-frames.ts";
import type { Verified } from "../results.ts";
import { shareOfStore } from "../roofline.ts";
import {
	NOTHING_ELSE,
	type RoundResult,
	rateFigure,
	type Scenario,
	type ScenarioContext,
	timed,
} from "../scenario.ts";
import { appendFrame, openTopic, readBatch, readyBatch } from "../storage-access.ts";

const RECORD_BYTES = 1_024;

/** Just below 1 MiB, which is the largest batch of a topic at its defaults. */
const BATCH_RECORDS = 1_000;

/** What a batch has before its records; its base offset, which comes first, is its own. */
const HEADER_BYTES = 61;

export const coreAppendScenario: Scenario = {
	name: "core-append-1mib",
	about: "ready batches of 1 MiB, checked and stored, without sockets",
	tier: "ci",
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
	const source = await openTopic(storage, "source");
	const target = await openTopic(storage, "target");
	const values = Array.from({ length: BATCH_RECORDS }, (_, number) => payload.value(number));
	const batch = await readyBatch(storage, source, values);
	const log = new Appender(storage, target, batchFrame(batch));
	const batchesMax = Math.floor(profile.storedBytesMax / (BATCH_RECORDS * RECORD_BYTES));
	await log.run(profile.warmUpSeconds, batchesMax / 4, () => undefined);

	const warmedUp = log.batches;
	const records = (): number => (log.batches - warmedUp) * BATCH_RECORDS;
	const figures = await timed(null, RECORD_BYTES, async (timeline) => {
		await log.run(profile.seconds, batchesMax, () => timeline.note(records()));
		return records();
	});
	return {
		...NOTHING_ELSE,
		...figures,
		durability: "written",
		figure: rateFigure(figures),
		roofline: shareOfStore(roofline, figures.bytes_per_second),
		verified: await verify(storage, target, batch, log.batches),
	};
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

	async run(seconds: number, batchesMax: number, onBatch: () => void): Promise<void> {
		const endMs = performance.now() + seconds * 1_000;
		while (performance.now() < endMs && this.batches < batchesMax) {
			await appendFrame(this.#storage, this.#topic, this.#frame);
			this.batches += 1;
			onBatch();
		}
	}
}

/** Rejects unless every batch is there, at its offset, with the records that were appended. */
async function verify(
	storage: Storage,
	topic: TopicHandle,
	batch: Uint8Array,
	batches: number,
): Promise<Verified> {
	const records = batches * BATCH_RECORDS;
	const { logEnd } = storage.offsets(topic, 0);
	if (logEnd !== records) throw new Error(`${records} records were appended, ${logEnd} are there`);
	const hash = createHash("sha256");
	for (let offset = 0; offset < records; offset += BATCH_RECORDS) {
		const stored = await readBatch(storage, topic, offset);
		const baseOffset = new DataView(stored.buffer, stored.byteOffset).getBigInt64(0);
		const same = Buffer.compare(stored.subarray(HEADER_BYTES), batch.subarray(HEADER_BYTES)) === 0;
		if (!same || baseOffset !== BigInt(offset)) {
			throw new Error(`the batch at offset ${offset} is not the one that was appended`);
		}
		hash.update(stored);
	}
	return { records, sha256: hash.digest("hex") };
}
