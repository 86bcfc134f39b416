/** One producer writes as fast as it can; the time ends when everything is acknowledged. */
import type { Producer } from "millrace/client";

import { httpGet } from "../broker-http.ts";
import { countDeviceBytes, DEVICE_BYTES } from "../device.ts";
import { Payload } from "../payload.ts";
import type { Extra, RooflineFigures, RooflineShare } from "../results.ts";
import { LIMIT, shareOfRate } from "../roofline.ts";
import {
	type Durability,
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

/** Records between two looks at the clock. */
const BURST_RECORDS = 256;

/** Encoded records that may wait for their acks: what `millrace produce` has. */
const BUFFER_BYTES_MAX = 8_388_608;

export function produceScenario(durability: Durability, recordBytes: number): Scenario {
	return {
		name: `websocket-produce-${durability}-${sizeName(recordBytes)}`,
		about: `one producer, records of ${recordBytes} bytes, acked ${durability}`,
		tier: durability === "written" || recordBytes > 100 ? "ci" : "standard",
		run: (context) =>
			withTestBed(context, { durability }, (bed) => produce(bed, context, durability, recordBytes)),
	};
}

/** As a client has to that is not on the broker's machine and does not use TLS. */
export function maskedProduceScenario(recordBytes: number): Scenario {
	const durability = "written";
	return {
		name: `websocket-produce-masked-${sizeName(recordBytes)}`,
		about: `one producer that masks at random, records of ${recordBytes} bytes, acked written`,
		tier: "full",
		run: (context) =>
			withTestBed(context, { durability, mask: "random" }, (bed) =>
				produce(bed, context, durability, recordBytes),
			),
	};
}

function sizeName(recordBytes: number): string {
	return recordBytes < 1_024 ? `${recordBytes}b` : `${recordBytes / 1_024}kib`;
}

async function produce(
	bed: TestBed,
	{ directory, profile, roofline }: ScenarioContext,
	durability: Durability,
	recordBytes: number,
): Promise<RoundResult> {
	const payload = new Payload(recordBytes);
	const producer = bed.client.producer<Uint8Array>({
		codec: "bytes",
		durability,
		bufferBytesMax: BUFFER_BYTES_MAX,
	});
	const recordsMax = Math.floor(profile.storedBytesMax / recordBytes);
	const pump = new Pump(producer, bed.topic, payload);
	// From before the warm-up: nothing is to come between that and the timed part.
	const endCount = durability === "flushed" ? await countDeviceBytes(directory) : null;
	await pump.run(profile.warmUpSeconds, recordsMax / 4);

	const warmedUp = pump.records;
	const figures = await timed(bed.broker, recordBytes, async (timeline) => {
		await pump.run(profile.seconds, recordsMax, (records) => timeline.note(records - warmedUp));
		return pump.records - warmedUp;
	});
	const deviceBytes = (await endCount?.()) ?? null;
	return {
		...NOTHING_ELSE,
		...figures,
		durability,
		figure: rateFigure(figures),
		roofline: roofline && limitOf(durability, roofline, figures.bytes_per_second),
		extras: deviceBytes === null ? [] : [await besideLog(bed, deviceBytes)],
		verified: await verifyTopic(bed, payload, pump.records),
	};
}

/** Beside the batches of a log that was empty when the count began. */
async function besideLog({ broker, topic }: TestBed, deviceBytes: number): Promise<Extra> {
	const text = await httpGet(broker, "/metrics");
	const found = new RegExp(`^millrace_log_bytes\\{topic="${topic}"\\} (\\d+)$`, "m").exec(text);
	if (found === null) throw new Error(`the broker does not say how large the log is: ${text}`);
	return { name: DEVICE_BYTES, unit: "bytes", value: deviceBytes / Number(found[1]) };
}

function limitOf(
	durability: Durability,
	{ sync_stream, loopback_receive }: RooflineFigures,
	bytesPerSecond: number,
): RooflineShare {
	return durability === "flushed"
		? shareOfRate(LIMIT.syncStream, sync_stream, bytesPerSecond)
		: shareOfRate(LIMIT.receive, loopback_receive, bytesPerSecond);
}

/** Writes record after record of a payload. */
export class Pump {
	readonly #producer: Producer<Uint8Array>;
	readonly #topic: string;
	readonly #payload: Payload;
	#isStopped = false;
	/** Records written so far, in all runs. */
	records = 0;

	constructor(producer: Producer<Uint8Array>, topic: string, payload: Payload) {
		this.#producer = producer;
		this.#topic = topic;
		this.#payload = payload;
	}

	/**
	 * Writes for so long, or until `recordsMax` were written in all runs; resolves when all are
	 * acknowledged. `onBurst` is told how many were written so far, in all runs.
	 */
	async run(
		seconds: number,
		recordsMax: number,
		onBurst: (records: number) => void = () => undefined,
	): Promise<void> {
		const endMs = performance.now() + seconds * 1_000;
		this.#isStopped = false;
		while (performance.now() < endMs && this.records < recordsMax && !this.#isStopped) {
			for (let left = BURST_RECORDS; left > 0; left -= 1) {
				const value = this.#payload.value(this.records);
				this.records += 1;
				if (!this.#producer.write({ topic: this.#topic, value })) await this.#producer.drained();
			}
			onBurst(this.records);
		}
		await this.#producer.flush();
	}

	/** Has the run that is under way come to its end. */
	stop(): void {
		this.#isStopped = true;
	}
}
