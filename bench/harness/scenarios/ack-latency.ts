/** How long an ack takes when there is little to do, beside a bare echo over the same transport. */
import { once } from "node:events";
import WebSocket from "ws";

import { LatencyRecorder, type Pace, sendPaced } from "../latency.ts";
import { Payload } from "../payload.ts";
import type { Latency } from "../results.ts";
import { shareOfLatency } from "../roofline.ts";
import {
	type Durability,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	verifyTopic,
	withTestBed,
} from "../scenario.ts";
import { startEchoProcess } from "../server-process.ts";

const RECORD_BYTES = 100;

/** What a produce frame adds to the one record that it carries at this load. */
const FRAME_EXTRA_BYTES = 16;

/** Far below what saturates anything: a tenth of a disk that syncs in half a millisecond. */
const PER_SECOND: Record<Durability, number> = { written: 1_000, flushed: 200 };

/** Answers are waited for so long behind the last message. */
const ANSWERS_MS_MAX = 60_000;

export function ackLatencyScenario(durability: Durability): Scenario {
	return {
		name: `websocket-ack-latency-${durability}`,
		about: `from send to ack, ${durability}, ${PER_SECOND[durability]} records a second`,
		run: (context) =>
			withTestBed(context, durability, (bed) => measureAcks(bed, context, durability)),
	};
}

async function measureAcks(
	bed: TestBed,
	{ profile, roofline }: ScenarioContext,
	durability: Durability,
): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const perSecond = PER_SECOND[durability];
	const acks = new Acks(bed, payload, durability);
	await acks.measure({ perSecond, seconds: profile.warmUpSeconds }, new LatencyRecorder());

	const recorder = new LatencyRecorder();
	const figures = await timed(bed.broker, RECORD_BYTES, async () => {
		await acks.measure({ perSecond, seconds: profile.seconds }, recorder);
		return recorder.count;
	});
	const latency = recorder.summary();

	const echo = await measureEcho(perSecond, profile.warmUpSeconds, profile.seconds);
	const limit =
		durability === "flushed" && roofline !== null
			? shareOfLatency("fdatasync of a small append", roofline.sync_us, latency.p50_us)
			: shareOfLatency("bare echo, paced alike", echo.p50_us, latency.p50_us);
	return {
		...figures,
		durability,
		latency,
		echo,
		roofline: limit,
		verified: await verifyTopic(bed, payload, acks.records),
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

/** The same messages at the same times to a server that sends them back. */
async function measureEcho(
	perSecond: number,
	warmUpSeconds: number,
	seconds: number,
): Promise<Latency> {
	const server = await startEchoProcess();
	const socket = new WebSocket(server.url, {
		perMessageDeflate: false,
		generateMask: (key) => key.fill(0),
	});
	try {
		await once(socket, "open");
		await echo(socket, { perSecond, seconds: warmUpSeconds });
		return (await echo(socket, { perSecond, seconds })).summary();
	} finally {
		socket.terminate();
		await server.stop();
	}
}

async function echo(socket: WebSocket, pace: Pace): Promise<LatencyRecorder> {
	const recorder = new LatencyRecorder();
	const message = new Uint8Array(RECORD_BYTES + FRAME_EXTRA_BYTES);
	const dueTimes: number[] = [];
	const answered = (): void => {
		recorder.record(performance.now() - (dueTimes[recorder.count] as number));
	};
	socket.on("message", answered);
	await sendPaced(pace, (dueMs) => {
		dueTimes.push(dueMs);
		socket.send(message);
	});
	const signal = AbortSignal.timeout(ANSWERS_MS_MAX);
	while (recorder.count < dueTimes.length) await once(socket, "message", { signal });
	socket.off("message", answered);
	return recorder;
}
