/**
 * Many subscribers get what is produced at a fixed pace; by turns a few more connections read a
 * long log so slowly that their sockets back up. The others' latencies with and without them are
 * compared.
 */
import { LatencyRecorder, sendPaced } from "../latency.ts";
import { Payload } from "../payload.ts";
import { openSubscribers, RawSubscriber } from "../raw-subscriber.ts";
import {
	createTopic,
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

const RECORD_BYTES = 100;

/** Records a second: with a thousand subscribers twenty thousand deliveries a second. */
const PER_SECOND = 20;

const SLOW_PART = 0.01;

/**
 * Parts with slow readers and parts without: what the machine does meanwhile is the same for both.
 * In `full` each kind has 160 records, so that no single one is the slowest hundredth.
 */
const TURNS = 2;

/** The topic that slow readers read, and its values: far more than fits between two sockets. */
const LONG_TOPIC = "long";
const LONG_BYTES = 67_108_864;

export function slowReadersScenario(subscribers: number): Scenario {
	return {
		name: `websocket-slow-readers-${subscribers}`,
		about: `from send to ${subscribers} subscribers while 1 % as many read slowly`,
		tier: "full",
		run: (context) =>
			withTestBed(context, { durability: "written" }, (bed) => measure(bed, context, subscribers)),
	};
}

async function measure(
	bed: TestBed,
	{ profile }: ScenarioContext,
	wanted: number,
): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	await fillLongTopic(bed, payload, Math.min(LONG_BYTES, profile.storedBytesMax));
	const load = new Load(bed, payload);
	const count = Math.min(wanted, profile.countMax);
	const subscribers = await openSubscribers(count, () =>
		RawSubscriber.open(bed.broker.url, {
			topic: bed.topic,
			from: "latest",
			onRecords: (baseOffset, records) => load.came(baseOffset, records),
		}),
	);
	const slow: RawSubscriber[] = [];
	const recorders = { without: new LatencyRecorder(), beside: new LatencyRecorder() };
	const part = async (recorder: LatencyRecorder): Promise<void> => {
		await load.run(profile.warmUpSeconds, subscribers, new LatencyRecorder());
		await load.run(profile.seconds, subscribers, recorder);
	};
	try {
		const figures = await timed(bed.broker, RECORD_BYTES, async () => {
			for (let turn = 0; turn < TURNS; turn += 1) {
				await part(recorders.without);
				slow.push(...(await openSlowReaders(bed, Math.max(1, Math.round(count * SLOW_PART)))));
				await part(recorders.beside);
				for (const reader of slow.splice(0)) reader.close();
			}
			return load.records * count;
		});
		const latency = recorders.beside.summary();
		return {
			...NOTHING_ELSE,
			...figures,
			durability: "written",
			figure: latencyFigure(latency, "p99"),
			latency,
			beside: { name: "without slow readers", latency: recorders.without.summary() },
			curve: { of: "subscribers", count },
			verified: await verifyTopic(bed, payload, load.records),
		};
	} finally {
		for (const subscriber of [...subscribers, ...slow]) subscriber.close();
	}
}

async function openSlowReaders({ broker }: TestBed, count: number): Promise<RawSubscriber[]> {
	const readers = await openSubscribers(count, () =>
		RawSubscriber.open(broker.url, { topic: LONG_TOPIC, from: "earliest" }),
	);
	for (const reader of readers) reader.readSlowly();
	return readers;
}

async function fillLongTopic({ client }: TestBed, payload: Payload, bytes: number): Promise<void> {
	await createTopic(client, "written", 1, { name: LONG_TOPIC });
	const producer = client.producer<Uint8Array>({ codec: "bytes" });
	const pump = new Pump(producer, LONG_TOPIC, payload);
	await pump.run(Number.POSITIVE_INFINITY, bytes / RECORD_BYTES);
}

class Load {
	readonly #bed: TestBed;
	readonly #payload: Payload;
	readonly #producer;
	readonly #dueTimes: number[] = [];
	#recorder = new LatencyRecorder();

	constructor(bed: TestBed, payload: Payload) {
		this.#bed = bed;
		this.#payload = payload;
		this.#producer = bed.client.producer<Uint8Array>({ codec: "bytes" });
	}

	get records(): number {
		return this.#dueTimes.length;
	}

	came(baseOffset: number, count: number): void {
		const nowMs = performance.now();
		for (let offset = baseOffset; offset < baseOffset + count; offset += 1) {
			this.#recorder.record(nowMs - (this.#dueTimes[offset] as number));
		}
	}

	/** Resolves when every subscriber has everything. */
	async run(
		seconds: number,
		subscribers: readonly RawSubscriber[],
		recorder: LatencyRecorder,
	): Promise<void> {
		this.#recorder = recorder;
		await sendPaced({ perSecond: PER_SECOND, seconds }, (dueMs) => {
			const value = this.#payload.value(this.records);
			this.#dueTimes.push(dueMs);
			this.#producer.write({ topic: this.#bed.topic, value });
		});
		await this.#producer.flush();
		for (const subscriber of subscribers) await subscriber.reached(this.records);
	}
}
