/** How long a record takes from its producer to a subscriber, beside a bare echo. */
import { connect } from "millrace/client";

import { ECHO, measureEcho } from "../echo.ts";
import { LatencyRecorder, type Pace, sendPaced, warmUpPace } from "../latency.ts";
import { Payload, RecordHash } from "../payload.ts";
import { shareOfLatency } from "../roofline.ts";
import {
	checkHash,
	latencyFigure,
	NOTHING_ELSE,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	withTestBed,
} from "../scenario.ts";

const RECORD_BYTES = 100;
const FRAME_EXTRA_BYTES = 16;
const PER_SECOND = 1_000;

export const deliveryLatencyScenario: Scenario = {
	name: "websocket-delivery-latency-written",
	about: `from send to a subscriber on another connection, ${PER_SECOND} records a second`,
	tier: "ci",
	run: (context) =>
		withTestBed(context, { durability: "written" }, (bed) => measureDeliveries(bed, context)),
};

async function measureDeliveries(bed: TestBed, { profile }: ScenarioContext): Promise<RoundResult> {
	const { seconds } = profile;
	const warmUp = warmUpPace(profile);
	const payload = new Payload(RECORD_BYTES);
	const subscriber = await connect(bed.broker.url);
	try {
		const deliveries = new Deliveries(bed, payload);
		const consumer = subscriber.consumer<Uint8Array>({ topics: bed.topic, codec: "bytes" });
		await consumer.ready();
		const reading = deliveries.read(consumer.batches());
		await deliveries.measure(warmUp, reading);

		deliveries.recorder = new LatencyRecorder();
		const figures = await timed(bed.broker, RECORD_BYTES, async () => {
			await deliveries.measure({ perSecond: PER_SECOND, seconds }, reading);
			return deliveries.recorder.count;
		});
		const latency = deliveries.recorder.summary();
		await consumer.close();
		await reading;
		const verified = checkHash(deliveries.hash, payload, deliveries.sent);

		const messageBytes = RECORD_BYTES + FRAME_EXTRA_BYTES;
		const echo = await measureEcho({ perSecond: PER_SECOND, seconds }, warmUp, messageBytes);
		return {
			...NOTHING_ELSE,
			...figures,
			durability: "written",
			figure: latencyFigure(latency),
			latency,
			beside: { name: ECHO, latency: echo },
			roofline: shareOfLatency(ECHO, echo.p50_us, latency.p50_us),
			verified,
		};
	} finally {
		await subscriber.close();
	}
}

class Deliveries {
	readonly #bed: TestBed;
	readonly #payload: Payload;
	readonly #producer;
	/** When the record at each offset was due. */
	readonly #dueTimes: number[] = [];
	readonly hash = new RecordHash();
	recorder = new LatencyRecorder();
	#allCame: () => void = () => undefined;

	constructor(bed: TestBed, payload: Payload) {
		this.#bed = bed;
		this.#payload = payload;
		this.#producer = bed.client.producer<Uint8Array>({ codec: "bytes" });
	}

	get sent(): number {
		return this.#dueTimes.length;
	}

	/** Takes what comes until the consumer is closed. */
	async read(
		batches: AsyncIterable<Iterable<{ offset: number; value: Uint8Array | null }>>,
	): Promise<void> {
		for await (const batch of batches) {
			for (const { offset, value } of batch) {
				this.recorder.record(performance.now() - (this.#dueTimes[offset] as number));
				this.hash.add(offset, value ?? new Uint8Array());
			}
			if (this.hash.count === this.sent) this.#allCame();
		}
	}

	/** Resolves when everything sent has come; rejects when it cannot. */
	async measure(pace: Pace, reading: Promise<void>): Promise<void> {
		await sendPaced(pace, (dueMs) => {
			const value = this.#payload.value(this.sent);
			this.#dueTimes.push(dueMs);
			this.#producer.write({ topic: this.#bed.topic, value });
		});
		await this.#producer.flush();
		if (this.hash.count === this.sent) return;
		const allCame = new Promise<void>((resolve) => {
			this.#allCame = resolve;
		});
		await Promise.race([allCame, reading]);
		if (this.hash.count < this.sent) throw new Error("the subscription ended before its records");
	}
}
