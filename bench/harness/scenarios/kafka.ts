/**
 * Batches over the Kafka protocol, one connection: encoded beforehand, so that what is measured is
 * the broker.
 */
import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import { Storage } from "#dist/storage/storage.js";

import {
	fetchedBatches,
	fetchRequest,
	IN_FLIGHT_MAX,
	KafkaConnection,
	producedOffset,
	produceRequest,
} from "../kafka-load.ts";
import { DISTINCT_VALUES, Payload } from "../payload.ts";
import type { Verified } from "../results.ts";
import { LIMIT, shareOfRate } from "../roofline.ts";
import {
	NOTHING_ELSE,
	type RoundResult,
	rateFigure,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	verifyTopic,
	withTestBed,
} from "../scenario.ts";
import { openTopic, readyBatches } from "../storage-access.ts";
import type { Timeline } from "../timeline.ts";

/** A batch's bytes of values; a divisor of what all distinct values are together. */
const BATCH_BYTES = 131_072;

/** Values that the log holds which is read: a fraction of a second. */
const LOG_BYTES = 268_435_456;

/** Where a batch has its length, the offset of its last record, their number, and the records. */
const BATCH = { length: 8, afterLength: 12, lastDelta: 23, count: 57, records: 61 };

type Direction = "produce" | "consume";

export function kafkaScenario(direction: Direction, recordBytes: number): Scenario {
	const size = recordBytes < 1_024 ? `${recordBytes}b` : `${recordBytes / 1_024}kib`;
	const written = direction === "produce" ? "-written" : "";
	const does = direction === "produce" ? "writes" : "reads";
	return {
		name: `kafka-${direction}${written}-${size}`,
		about: `one Kafka client ${does} records of ${recordBytes} bytes in batches of 128 KiB`,
		tier: recordBytes === 1_024 ? "ci" : "standard",
		run: (context) =>
			withTestBed(context, { durability: "written" }, async (bed) => {
				const load = await KafkaLoad.open(bed, context, recordBytes);
				try {
					return await (direction === "produce" ? produce : consume)(load, bed, context);
				} finally {
					load.close();
				}
			}),
	};
}

async function produce(
	load: KafkaLoad,
	bed: TestBed,
	{ profile, roofline }: ScenarioContext,
): Promise<RoundResult> {
	const recordsMax = Math.floor(profile.storedBytesMax / load.payload.recordBytes);
	await load.produce(profile.warmUpSeconds, recordsMax / 4, null);
	const warmedUp = load.records;
	const figures = await timed(bed.broker, load.payload.recordBytes, async (timeline) => {
		await load.produce(profile.seconds, recordsMax, timeline);
		return load.records - warmedUp;
	});
	return {
		...NOTHING_ELSE,
		...figures,
		transport: "kafka",
		durability: "written",
		figure: rateFigure(figures),
		roofline:
			roofline && shareOfRate(LIMIT.receive, roofline.loopback_receive, figures.bytes_per_second),
		verified: await verifyTopic(bed, load.payload, load.records),
	};
}

async function consume(
	load: KafkaLoad,
	bed: TestBed,
	{ profile, roofline }: ScenarioContext,
): Promise<RoundResult> {
	const logBytes = Math.min(LOG_BYTES, profile.storedBytesMax);
	const recordsMax = Math.floor(logBytes / load.payload.recordBytes);
	await load.produce(Number.POSITIVE_INFINITY, recordsMax, null);
	const verified = await load.verify();
	await load.repeat(profile.warmUpSeconds, null);
	const figures = await timed(bed.broker, load.payload.recordBytes, (timeline) =>
		load.repeat(profile.seconds, timeline),
	);
	return {
		...NOTHING_ELSE,
		...figures,
		transport: "kafka",
		durability: "written",
		figure: rateFigure(figures),
		roofline: roofline && shareOfRate(LIMIT.send, roofline.loopback_send, figures.bytes_per_second),
		verified,
	};
}

class KafkaLoad {
	readonly payload: Payload;
	readonly #topic: string;
	readonly #connection: KafkaConnection;
	readonly #batches: readonly Uint8Array[];
	readonly #requests: readonly Buffer[];
	readonly #batchRecords: number;
	/** Batches that were sent so far. */
	#sent = 0;

	private constructor(
		topic: string,
		payload: Payload,
		connection: KafkaConnection,
		batches: readonly Uint8Array[],
	) {
		this.payload = payload;
		this.#topic = topic;
		this.#connection = connection;
		this.#batches = batches;
		this.#requests = batches.map((batch) => produceRequest(topic, batch));
		this.#batchRecords = DISTINCT_VALUES / batches.length;
	}

	/** Every distinct value of the payload once, in batches that have been built by the core. */
	static async open(
		{ broker, topic }: TestBed,
		{ directory }: ScenarioContext,
		recordBytes: number,
	): Promise<KafkaLoad> {
		const payload = new Payload(recordBytes);
		const values = Array.from({ length: DISTINCT_VALUES }, (_, number) => payload.value(number));
		// Rounded down to a power of two, of which the number of values is one, too.
		const batchRecords = 2 ** Math.floor(Math.log2(BATCH_BYTES / recordBytes));
		const storage = await Storage.open({ dataDir: join(directory, "source") });
		try {
			const source = await openTopic(storage, "source");
			const batches = await readyBatches(storage, source, values, batchRecords);
			return new KafkaLoad(topic, payload, await KafkaConnection.open(broker.kafka), batches);
		} finally {
			await storage.close();
		}
	}

	get records(): number {
		return this.#sent * this.#batchRecords;
	}

	/** For so long, or until so many records were sent in all; resolves when all are acknowledged. */
	async produce(seconds: number, recordsMax: number, timeline: Timeline | null): Promise<void> {
		const first = this.records;
		const endMs = performance.now() + seconds * 1_000;
		const sendInTurn = async (): Promise<void> => {
			while (performance.now() < endMs && this.records < recordsMax) {
				const number = this.#sent;
				this.#sent += 1;
				const request = this.#requests[number % this.#requests.length] as Buffer;
				const offset = producedOffset(await this.#connection.ask(request));
				if (offset !== number * this.#batchRecords) {
					throw new Error(`batch ${number} was stored at offset ${offset}`);
				}
				timeline?.note(offset + this.#batchRecords - first);
			}
		};
		await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, sendInTurn));
	}

	/** Reads the log as often as fits into the time, at least once; returns the records read. */
	async repeat(seconds: number, timeline: Timeline | null): Promise<number> {
		const endMs = performance.now() + seconds * 1_000;
		let total = 0;
		do {
			const before = total;
			await this.#read((_, nextOffset) => timeline?.note(before + nextOffset));
			total += this.records;
		} while (performance.now() < endMs);
		return total;
	}

	/** Rejects unless the log holds exactly the batches that were sent, byte by byte. */
	async verify(): Promise<Verified> {
		const found = createHash("sha256");
		await this.#read((batch) => found.update(batch.subarray(BATCH.records)));
		const sha256 = found.digest("hex");
		if (sha256 !== this.#sentHash().digest("hex")) {
			throw new Error("the batches that were fetched are not those that were sent");
		}
		return { records: this.records, sha256 };
	}

	close(): void {
		this.#connection.close();
	}

	#sentHash(): Hash {
		const hash = createHash("sha256");
		for (let number = 0; number < this.#sent; number += 1) {
			const batch = this.#batches[number % this.#batches.length] as Uint8Array;
			hash.update(batch.subarray(BATCH.records));
		}
		return hash;
	}

	/** From beginning to end, once. Rejects for a hole, and for a batch that is not whole. */
	async #read(onBatch: (batch: Buffer, nextOffset: number) => void): Promise<void> {
		let offset = 0;
		while (offset < this.records) {
			const answer = await this.#connection.ask(fetchRequest(this.#topic, offset));
			const batches = fetchedBatches(answer);
			for (let at = 0; at < batches.length; ) {
				const end = at + BATCH.afterLength + batches.readInt32BE(at + BATCH.length);
				const baseOffset = Number(batches.readBigInt64BE(at));
				const count = batches.readInt32BE(at + BATCH.count);
				const isWhole = end <= batches.length && baseOffset === offset;
				if (!isWhole || batches.readInt32BE(at + BATCH.lastDelta) !== count - 1) {
					throw new Error(`what was fetched at offset ${offset} is not a whole batch`);
				}
				offset += count;
				onBatch(batches.subarray(at, end), offset);
				at = end;
			}
		}
	}
}
