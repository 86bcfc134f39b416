/**
 * How long everybody waits for the broker's event loop while one producer gives it all it can take,
 * seen from outside: by pings over a connection of their own, beside the same without that load.
 */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { SUBPROTOCOL } from "#dist/protocol/operations.js";

import { Payload } from "../payload.ts";
import type { Latency } from "../results.ts";
import { shareOfLatency } from "../roofline.ts";
import {
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
import { Pump } from "./produce.ts";

const RECORD_BYTES = 1_024;
const BUFFER_BYTES_MAX = 8_388_608;

const IDLE = "pings without that load";

export const loopDelayScenario: Scenario = {
	name: "websocket-ping-under-produce",
	about: `round trip of pings while one producer writes ${RECORD_BYTES}-byte records at full speed`,
	tier: "standard",
	run: (context) => withTestBed(context, { durability: "written" }, (bed) => measure(bed, context)),
};

async function measure(bed: TestBed, { profile }: ScenarioContext): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const producer = bed.client.producer<Uint8Array>({
		codec: "bytes",
		bufferBytesMax: BUFFER_BYTES_MAX,
	});
	const pump = new Pump(producer, bed.topic, payload);
	const recordsMax = Math.floor(profile.storedBytesMax / RECORD_BYTES);

	const idle = await whilePinging(bed, async (begin) => {
		await rest(profile.warmUpSeconds);
		begin();
		await rest(profile.seconds);
	});
	let latency = idle;
	const figures = await timed(bed.broker, RECORD_BYTES, async () => {
		latency = await whilePinging(bed, async (begin) => {
			await pump.run(profile.warmUpSeconds, recordsMax / 4);
			begin();
			await pump.run(profile.seconds, recordsMax);
		});
		return pump.records;
	});
	return {
		...NOTHING_ELSE,
		...figures,
		durability: "written",
		figure: latencyFigure(latency, "p99.9"),
		latency,
		beside: { name: IDLE, latency: idle },
		roofline: shareOfLatency(IDLE, idle.p999_us, latency.p999_us),
		verified: await verifyTopic(bed, payload, pump.records),
	};
}

/** Runs `work`; only pings after its `begin` count. */
async function whilePinging(
	{ broker }: TestBed,
	work: (begin: () => void) => Promise<void>,
): Promise<Latency> {
	const program = fileURLToPath(import.meta.resolve("#bundle/ping-worker.js"));
	const worker = new Worker(program, {
		workerData: { url: broker.url, subprotocol: SUBPROTOCOL },
	});
	try {
		await once(worker, "message");
		await work(() => worker.postMessage("begin"));
		const told = once(worker, "message");
		worker.postMessage("end");
		const [latency] = (await told) as [Latency];
		return latency;
	} finally {
		await worker.terminate();
	}
}

function rest(seconds: number): Promise<void> {
	return new Promise((resolve) => {
		setTimeout(resolve, seconds * 1_000);
	});
}
