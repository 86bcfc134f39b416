/** One consumer reads a log that is there already from beginning to end, again and again. */
import type { Consumer } from "millrace/client";

import { Payload } from "../payload.ts";
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
import { Pump } from "./produce.ts";

const RECORD_BYTES = 100;

/** Values that the log holds: read in less than a second, and more than any buffer on the way. */
const LOG_BYTES = 256 * 1_048_576;

/** Adds up what it sees, so that every record is really looked at. */
type Read = (
	consumer: Consumer<Uint8Array>,
	onProgress: (records: number) => void,
) => Promise<Sums>;

/** `for await` looks at the clock once in so many records. */
const LOOK_RECORDS = 1_024;

interface Sums {
	records: number;
	offsets: number;
	bytes: number;
}

const READS: Record<"for-await" | "batches", Read> = {
	async "for-await"(consumer, onProgress) {
		const sums = { records: 0, offsets: 0, bytes: 0 };
		for await (const record of consumer) {
			sums.records += 1;
			sums.offsets += record.offset;
			sums.bytes += record.value?.length ?? 0;
			if (sums.records % LOOK_RECORDS === 0) onProgress(sums.records);
		}
		return sums;
	},
	async batches(consumer, onProgress) {
		const sums = { records: 0, offsets: 0, bytes: 0 };
		for await (const batch of consumer.batches()) {
			for (const record of batch) {
				sums.records += 1;
				sums.offsets += record.offset;
				sums.bytes += record.value?.length ?? 0;
			}
			onProgress(sums.records);
		}
		return sums;
	},
};

export function consumeScenario(style: keyof typeof READS): Scenario {
	const words = { "for-await": "for await", batches: "batches()" }[style];
	return {
		name: `websocket-consume-${style}-${RECORD_BYTES}b`,
		about: `one consumer, ${words}, records of ${RECORD_BYTES} bytes`,
		tier: style === "batches" ? "ci" : "standard",
		run: (context) =>
			withTestBed(context, { durability: "written" }, (bed) => consume(bed, context, READS[style])),
	};
}

async function consume(
	bed: TestBed,
	{ profile, roofline }: ScenarioContext,
	read: Read,
): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const recordsMax = Math.floor(Math.min(LOG_BYTES, profile.storedBytesMax) / RECORD_BYTES);
	const producer = bed.client.producer<Uint8Array>({ codec: "bytes" });
	const pump = new Pump(producer, bed.topic, payload);
	await pump.run(Number.POSITIVE_INFINITY, recordsMax);
	const verified = await verifyTopic(bed, payload, pump.records);
	await repeat(bed, read, pump.records, profile.warmUpSeconds, () => undefined);

	const figures = await timed(bed.broker, RECORD_BYTES, (timeline) => {
		return repeat(bed, read, pump.records, profile.seconds, (records) => timeline.note(records));
	});
	return {
		...NOTHING_ELSE,
		...figures,
		durability: "written",
		figure: rateFigure(figures),
		roofline: roofline && shareOfRate(LIMIT.send, roofline.loopback_send, figures.bytes_per_second),
		verified,
	};
}

/** Reads the log as often as fits into the time, at least once; returns the records read. */
async function repeat(
	{ client, topic }: TestBed,
	read: Read,
	records: number,
	seconds: number,
	onProgress: (records: number) => void,
): Promise<number> {
	const endMs = performance.now() + seconds * 1_000;
	let total = 0;
	do {
		const consumer = client.consumer<Uint8Array>({
			topics: topic,
			from: "earliest",
			until: "end",
			codec: "bytes",
		});
		const before = total;
		const sums = await read(consumer, (taken) => onProgress(before + taken));
		await consumer.close();
		const offsets = (records * (records - 1)) / 2;
		if (
			sums.records !== records ||
			sums.offsets !== offsets ||
			sums.bytes !== records * RECORD_BYTES
		) {
			throw new Error(`${records} records are stored and ${sums.records} were read, or others`);
		}
		total += records;
	} while (performance.now() < endMs);
	return total;
}
