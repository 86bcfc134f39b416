/**
 * How long everybody waits for the broker's event loop while one producer gives it all it can take,
 * seen from outside: by pings over a connection of their own, beside the same without that load.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { SUBPROTOCOL } from "#dist/protocol/operations.js";

import { Payload } from "../payload.ts";
import type { PingOrder } from "../ping-worker.ts";
import type { Extra, Latency } from "../results.ts";
import { RETAINED, verifyLeft } from "../retained-log.ts";
import {
	latencyFigure,
	NOTHING_ELSE,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	withTestBed,
} from "../scenario.ts";
import { Pump } from "./produce.ts";

const RECORD_BYTES = 1_024;
const BUFFER_BYTES_MAX = 8_388_608;

/** As many as p99.9 needs, which takes ten seconds; fewer where a second and a half is too long. */
const PINGS_MAX = 10_000;
const PINGS_PER_SECOND = 7_000;

export const loopDelayScenario: Scenario = {
	name: "websocket-ping-under-produce",
	about: `round trip of pings while one producer writes ${RECORD_BYTES}-byte records at full speed`,
	tier: "standard",
	run: (context) =>
		withTestBed(context, { durability: "written", ...RETAINED }, (bed) => measure(bed, context)),
};

async function measure(bed: TestBed, { profile }: ScenarioContext): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const producer = bed.client.producer<Uint8Array>({
		codec: "bytes",
		bufferBytesMax: BUFFER_BYTES_MAX,
	});
	const pump = new Pump(producer, bed.topic, payload);
	const wanted = Math.min(PINGS_MAX, Math.ceil(PINGS_PER_SECOND * profile.seconds));

	const idle = await whilePinging(bed, wanted, async (enough) => {
		await sleep(profile.warmUpSeconds * 1_000);
		await enough();
	});
	const extras: Extra[] = [];
	const loaded = await whilePinging(bed, wanted, async (enough) => {
		await pump.run(profile.warmUpSeconds, Number.POSITIVE_INFINITY);
		const warmedUp = pump.records;
		const waitedBefore = bed.broker.loopWaitSeconds();
		const figures = await timed(bed.broker, RECORD_BYTES, async () => {
			const pinging = enough().then(() => pump.stop());
			await Promise.all([pinging, pump.run(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)]);
			return pump.records - warmedUp;
		});
		const waitedAfter = bed.broker.loopWaitSeconds();
		if (waitedBefore !== null && waitedAfter !== null) {
			const value = ((waitedAfter - waitedBefore) * 1_000) / figures.seconds;
			extras.push({ name: "the loop's wait for a processor, a second", unit: "ms", value });
		}
		return figures;
	});
	return {
		...NOTHING_ELSE,
		...loaded.result,
		durability: "written",
		figure: latencyFigure(loaded.latency, "p99.9"),
		latency: loaded.latency,
		beside: { name: "pings without that load", latency: idle.latency },
		extras,
		verified: await verifyLeft(bed, payload, pump.records),
	};
}

interface Pinged<Result> {
	readonly result: Result;
	readonly latency: Latency;
}

/** Runs `work`; only pings from its call of `enough` on count, which resolves when it has them. */
async function whilePinging<Result>(
	{ broker }: TestBed,
	wanted: number,
	work: (enough: () => Promise<void>) => Promise<Result>,
): Promise<Pinged<Result>> {
	const program = fileURLToPath(import.meta.resolve("#bundle/ping-worker.js"));
	const order: PingOrder = { url: broker.url, subprotocol: SUBPROTOCOL, wanted };
	const worker = new Worker(program, { workerData: order });
	try {
		await once(worker, "message");
		const result = await work(async () => {
			const told = once(worker, "message");
			worker.postMessage("begin");
			await told;
		});
		const told = once(worker, "message");
		worker.postMessage("end");
		const [latency] = (await told) as [Latency];
		return { result, latency };
	} finally {
		await worker.terminate();
	}
}
