/** What Prometheus costs a broker that has much to tell of, and is busy. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "millrace/client";

import { httpGet } from "../broker-http.ts";
import { Payload } from "../payload.ts";
import {
	createTopic,
	NOTHING_ELSE,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	verifyTopic,
	withTestBed,
} from "../scenario.ts";
import type { ServerProcess } from "../server-process.ts";

const RECORD_BYTES = 100;
/** The load beside it: so many records at once, so often. */
const BURST_RECORDS = 40;
const BURST_EVERY_MS = 10;

/** Of each topic; a group is behind in all of them. */
const PARTITIONS = 10;
/** Times with scrapes and times without, by turns: the load is the same in both. */
const TURNS = 5;
const SCRAPES_A_TURN_MIN = 20;
const SCRAPE_EVERY_MS = 100;
/** How often a Prometheus asks by its own default and ours. */
const SCRAPE_INTERVAL_SECONDS = 15;
/** What the system counts CPU time in. */
const CPU_SECONDS_MIN = 0.01;

/** `wanted`: topics, and groups. */
export function scrapeScenario(wanted: number): Scenario {
	return {
		name: `scrape-${wanted}-groups`,
		about:
			`CPU of a scrape beside a load, ${wanted} topics of ${PARTITIONS} partitions, ` +
			`${wanted} groups`,
		tier: "full",
		run: (context) =>
			withTestBed(context, { durability: "written" }, (bed) => measure(bed, context, wanted)),
	};
}

async function measure(
	bed: TestBed,
	{ profile: { seconds, warmUpSeconds, countMax } }: ScenarioContext,
	wanted: number,
): Promise<RoundResult> {
	const count = Math.min(wanted, countMax);
	for (let number = 0; number < count; number++) await fillTopic(bed.client, `told-${number}`);
	const payload = new Payload(RECORD_BYTES);
	const load = new Load(bed, payload);
	try {
		// The first scrape loads what makes them.
		const text = await httpGet(bed.broker, "/metrics");
		await sleep(warmUpSeconds * 1_000);
		const perTurn = Math.max(
			SCRAPES_A_TURN_MIN,
			Math.round((seconds * 1_000) / (2 * TURNS * SCRAPE_EVERY_MS)),
		);
		let scraping = 0;
		let asking = 0;
		const figures = await timed(bed.broker, RECORD_BYTES, async () => {
			const before = load.records;
			for (let turn = 0; turn < TURNS; turn++) {
				scraping += await cpuSeconds(bed, () => ask(bed.broker, "/metrics", perTurn));
				asking += await cpuSeconds(bed, () => ask(bed.broker, "/live", perTurn));
			}
			return load.records - before;
		});
		const spent = Math.max(scraping - asking, CPU_SECONDS_MIN);
		const cpuUs = (spent / (TURNS * perTurn)) * 1e6;
		await load.stop();
		return {
			...NOTHING_ELSE,
			...figures,
			durability: "written",
			figure: { name: "CPU", unit: "ms", value: cpuUs / 1_000, better: "less" },
			curve: { of: "groups", count },
			extras: [
				{
					name: `CPU a second at a scrape every ${SCRAPE_INTERVAL_SECONDS} s`,
					unit: "us",
					value: cpuUs / SCRAPE_INTERVAL_SECONDS,
				},
				{ name: "a scrape", unit: "bytes", value: Buffer.byteLength(text) },
			],
			verified: await verifyTopic(bed, payload, load.records),
		};
	} finally {
		await load.stop();
	}
}

/** A topic with a record in each partition, and a group that has read none of them. */
async function fillTopic(client: Client, topic: string): Promise<void> {
	await createTopic(client, "written", PARTITIONS, { name: topic });
	const producer = client.producer<Uint8Array>({ codec: "bytes" });
	const value = new Uint8Array(RECORD_BYTES);
	await Promise.all(
		Array.from({ length: PARTITIONS }, (_, partition) =>
			producer.send({ topic, partition, value }),
		),
	);
	await client.groups.resetOffsets(`of-${topic}`, "earliest", { topic });
}

/** Asks so many times, evenly. */
async function ask(broker: ServerProcess, path: string, times: number): Promise<void> {
	const startMs = performance.now();
	for (let asked = 0; asked < times; asked++) {
		await httpGet(broker, path);
		await sleep(Math.max(0, startMs + (asked + 1) * SCRAPE_EVERY_MS - performance.now()));
	}
}

/** CPU that the broker spends meanwhile; 0 where the system does not tell. */
async function cpuSeconds({ broker }: TestBed, work: () => Promise<void>): Promise<number> {
	const end = broker.measure();
	await work();
	return end()?.cpuSeconds ?? 0;
}

/** Writes at an even pace, and reads what it writes. */
class Load {
	records = 0;
	readonly #bed: TestBed;
	readonly #payload: Payload;
	readonly #consumer;
	readonly #reading: Promise<void>;
	readonly #writing: Promise<void>;
	#isStopping = false;

	constructor(bed: TestBed, payload: Payload) {
		this.#bed = bed;
		this.#payload = payload;
		const { client, topic } = bed;
		this.#consumer = client.consumer<Uint8Array>({
			topics: topic,
			from: "earliest",
			codec: "bytes",
		});
		this.#reading = this.#read();
		this.#writing = this.#write();
	}

	/** Rejects when the load could not be kept up. */
	async stop(): Promise<void> {
		this.#isStopping = true;
		await this.#writing;
		await this.#consumer.close();
		await this.#reading;
	}

	async #write(): Promise<void> {
		const producer = this.#bed.client.producer<Uint8Array>({ codec: "bytes" });
		const { topic } = this.#bed;
		while (!this.#isStopping) {
			for (let left = BURST_RECORDS; left > 0; left--) {
				const value = this.#payload.value(this.records);
				this.records += 1;
				if (!producer.write({ topic, value })) await producer.drained();
			}
			await sleep(BURST_EVERY_MS);
		}
		await producer.flush();
	}

	async #read(): Promise<void> {
		for await (const _ of this.#consumer.batches());
	}
}
