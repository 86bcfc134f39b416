/** How long an ack takes when there is little to do, beside a bare echo over the same transport. */
import { ECHO, measureEcho } from "../echo.ts";
import { LatencyRecorder, type Pace, sendPaced, warmUpPace } from "../latency.ts";
import { Payload } from "../payload.ts";
import { FLUSHED_PER_SECOND, LIMIT, shareOfLatency } from "../roofline.ts";
import {
	type Durability,
	latencyFigure,
	NOTHING_ELSE,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	verifyTopic,
	withTestBed,
} from "../scenario.ts";

const RECORD_BYTES = 100;

/** What a produce frame adds to the one record that it carries at this load. */
const FRAME_EXTRA_BYTES = 16;

/** Far below what saturates anything: a tenth of a disk that syncs in half a millisecond. */
const PER_SECOND: Record<Durability, number> = {
	written: 1_000,
	flushed: FLUSHED_PER_SECOND,
};

export function ackLatencyScenario(durability: Durability): Scenario {
	return {
		name: `websocket-ack-latency-${durability}`,
		about: `from send to ack, ${durability}, ${PER_SECOND[durability]} records a second`,
		tier: "ci",
		run: (context) =>
			withTestBed(context, { durability }, (bed) => measureAcks(bed, context, durability)),
	};
}

async function measureAcks(
	bed: TestBed,
	{ profile, roofline }: ScenarioContext,
	durability: Durability,
): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const { seconds } = profile;
	const warmUp = warmUpPace(profile);
	const perSecond = PER_SECOND[durability];
	const acks = new Acks(bed, payload, durability);
	await acks.measure(warmUp, new LatencyRecorder());

	const recorder = new LatencyRecorder();
	const figures = await timed(bed.broker, RECORD_BYTES, async () => {
		await acks.measure({ perSecond, seconds }, recorder);
		return recorder.count;
	});
	const latency = recorder.summary();
	const verified = await verifyTopic(bed, payload, acks.records);

	const messageBytes = RECORD_BYTES + FRAME_EXTRA_BYTES;
	const echo = await measureEcho({ perSecond, seconds }, warmUp, messageBytes);
	const limit =
		durability === "flushed" && roofline?.sync_paced_us !== undefined
			? shareOfLatency(LIMIT.syncPaced, roofline.sync_paced_us, latency.p50_us)
			: shareOfLatency(ECHO, echo.p50_us, latency.p50_us);
	return {
		...NOTHING_ELSE,
		...figures,
		durability,
		figure: latencyFigure(latency),
		latency,
		beside: { name: ECHO, latency: echo },
		roofline: limit,
		verified,
	};
}

class Acks {
	readonly #bed: TestBed;
	readonly #payload: Payload;
	readonly #producer;
	records = 0;

	constructor(bed: TestBed, payload: Payload, durability: Durability) {
		this.#bed = bed;
		this.#payload = payload;
		this.#producer = bed.client.producer<Uint8Array>({ codec: "bytes", durability });
	}

	/** Resolves when every ack is there; rejects when one does not come. */
	async measure(pace: Pace, recorder: LatencyRecorder): Promise<void> {
		const pending: Promise<void>[] = [];
		await sendPaced(pace, (dueMs) => {
			const value = this.#payload.value(this.records);
			this.records += 1;
			const ack = this.#producer.send({ topic: this.#bed.topic, value });
			pending.push(ack.then(() => recorder.record(performance.now() - dueMs)));
		});
		await Promise.all(pending);
	}
}
