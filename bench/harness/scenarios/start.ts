/** From the start of a broker's process to the first ack that it gives, beside a bare server's. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Client, connect } from "millrace/client";

import { Payload } from "../payload.ts";
import type { ProcessUsage } from "../process-usage.ts";
import type { ProcessCost, Verified } from "../results.ts";
import { median, shareOfLatency } from "../roofline.ts";
import {
	createTopic,
	NOTHING_ELSE,
	processCost,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	timed,
	verifyTopic,
} from "../scenario.ts";
import { startBrokerProcess, startEchoProcess } from "../server-process.ts";
import { Pump } from "./produce.ts";

const RECORD_BYTES = 1_024;

/** What the limit is called. */
const BARE_SERVER = "start of a bare WebSocket server in Node";

/** What is there before the first measured start. */
interface Before {
	readonly name: string;
	readonly about: string;
	readonly tier: Scenario["tier"];
	readonly partitions: number;
	readonly hasRecords: boolean;
}

export const startScenarios: readonly Scenario[] = [
	startScenario({
		name: "start-empty",
		about: "from a broker's start to its first ack, with a topic and no records",
		tier: "ci",
		partitions: 1,
		hasRecords: false,
	}),
	startScenario({
		name: "start-after-kill",
		about: "the same after kill -9, with all the data that the profile has for it (full: 10 GiB)",
		tier: "standard",
		partitions: 1,
		hasRecords: true,
	}),
	startScenario({
		name: "start-partitions-10000",
		about: "the same after kill -9, with a topic of 10,000 partitions",
		tier: "full",
		partitions: 10_000,
		hasRecords: false,
	}),
];

function startScenario(before: Before): Scenario {
	const { name, about, tier } = before;
	return { name, about, tier, run: (context) => measure(context, before) };
}

async function measure(
	{ directory, profile }: ScenarioContext,
	{ partitions: wanted, hasRecords }: Before,
): Promise<RoundResult> {
	const dataDir = join(directory, "data");
	await mkdir(dataDir);
	const partitions = Math.min(wanted, profile.countMax);
	const recordsMax = hasRecords ? Math.floor(profile.startBytes / RECORD_BYTES) : 0;
	const log = new Log(dataDir);
	await log.fill(partitions, recordsMax);

	const starts: Start[] = [];
	const bareMs: number[] = [];
	const figures = await timed(null, RECORD_BYTES, async () => {
		for (let number = 0; number < profile.starts; number += 1) {
			bareMs.push(await startBareServer());
			starts.push(await log.startAndAppend());
		}
		return profile.starts;
	});
	const ms = median(starts.map((start) => start.ms));
	return {
		...NOTHING_ELSE,
		...figures,
		transport: starts[0]?.transport ?? null,
		durability: "flushed",
		figure: { name: "time", unit: "ms", value: ms, better: "less" },
		broker: costOf(starts),
		roofline: shareOfLatency(BARE_SERVER, median(bareMs), ms, "ms"),
		curve: wanted > 1 ? { of: "partitions", count: partitions } : null,
		extras: [
			{ name: "CPU time to the first ack", unit: "ms", value: median(starts.map(cpuMs)) },
			{ name: "memory at the first ack", unit: "bytes", value: median(starts.map(memory)) },
		],
		verified: await log.verify(),
	};
}

interface Start {
	readonly ms: number;
	readonly transport: string;
	readonly usage: ProcessUsage | null;
}

/** Of all starts together; null where the system does not tell. */
function costOf(starts: readonly Start[]): ProcessCost | null {
	const usages = starts.flatMap(({ usage }) => (usage === null ? [] : [usage]));
	const usage = {
		cpuSeconds: usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
		anonymousBytesMax: Math.max(...usages.map(({ anonymousBytes }) => anonymousBytes)),
	};
	return processCost(usages.length === 0 ? null : usage, starts.length, RECORD_BYTES);
}

const cpuMs = ({ usage }: Start): number => (usage?.cpuSeconds ?? 0) * 1_000;
const memory = ({ usage }: Start): number => usage?.anonymousBytes ?? 0;

async function startBareServer(): Promise<number> {
	const startMs = performance.now();
	const server = await startEchoProcess();
	const ms = performance.now() - startMs;
	await server.stop();
	return ms;
}

/** The log of a broker that is killed again and again. */
class Log {
	readonly #dataDir: string;
	readonly #payload = new Payload(RECORD_BYTES);
	#topic = "";
	#records = 0;

	constructor(dataDir: string) {
		this.#dataDir = dataDir;
	}

	/** What is there before the first start that counts. */
	async fill(partitions: number, recordsMax: number): Promise<void> {
		const broker = await startBrokerProcess(this.#dataDir);
		const client = await connect(broker.url);
		this.#topic = await createTopic(client, "flushed", partitions);
		if (recordsMax > 0) {
			const producer = client.producer<Uint8Array>({ codec: "bytes", durability: "written" });
			const pump = new Pump(producer, this.#topic, this.#payload);
			await pump.run(Number.POSITIVE_INFINITY, recordsMax);
			this.#records = pump.records;
			// What is measured is a start, not how long the disk takes for what was written before it.
			await this.#appendFlushed(client);
		}
		await client.close();
		await broker.kill();
	}

	/** Starts a broker, has one record acknowledged, and kills the broker. */
	async startAndAppend(): Promise<Start> {
		const startMs = performance.now();
		const broker = await startBrokerProcess(this.#dataDir);
		const client = await connect(broker.url);
		await this.#appendFlushed(client);
		const ms = performance.now() - startMs;
		const usage = broker.usage();
		await client.close();
		await broker.kill();
		return { ms, transport: broker.transport, usage };
	}

	/** One more record; resolves when it is on disk, and all before it. */
	async #appendFlushed(client: Client): Promise<void> {
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		const value = this.#payload.value(this.#records);
		await producer.send({ topic: this.#topic, partition: 0, value });
		this.#records += 1;
	}

	async verify(): Promise<Verified> {
		const broker = await startBrokerProcess(this.#dataDir);
		const client = await connect(broker.url);
		try {
			return await verifyTopic({ client, topic: this.#topic }, this.#payload, this.#records);
		} finally {
			await client.close();
			await broker.stop();
		}
	}
}
