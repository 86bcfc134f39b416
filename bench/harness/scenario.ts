import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Client, connect } from "millrace/client";

import { type Payload, RecordHash } from "./payload.ts";
import type { Profile } from "./profiles.ts";
import type { ProcessCost, RooflineFigures, ScenarioResult, Verified } from "./results.ts";
import { type MeasuredUsage, type ServerProcess, startBrokerProcess } from "./server-process.ts";

export const GIBIBYTE = 1_073_741_824;

/** `flush.messages` of a topic whose acks do not wait for the disk. */
const NEVER = "9223372036854775807";

export type Durability = "written" | "flushed";

/** What one round of one scenario has to work with. */
export interface ScenarioContext {
	/** Empty, and removed afterwards. */
	readonly directory: string;
	readonly profile: Profile;
	readonly roofline: RooflineFigures | null;
}

export type RoundResult = Omit<ScenarioResult, "scenario" | "round_figures">;

/** One thing that is measured. Its name is part of the results' schema. */
export interface Scenario {
	readonly name: string;
	/** One line for people. */
	readonly about: string;
	/** Rejects when what came back is not what had been sent. */
	run(context: ScenarioContext): Promise<RoundResult>;
}

/** A broker in a process of its own, a client of it, and a topic with one partition. */
export interface TestBed {
	readonly broker: ServerProcess;
	readonly client: Client;
	readonly topic: string;
}

/** Sets a broker up, runs `work` and takes everything down again, whatever comes. */
export async function withTestBed<Result>(
	{ directory }: ScenarioContext,
	durability: Durability,
	work: (bed: TestBed) => Promise<Result>,
): Promise<Result> {
	const dataDir = join(directory, "data");
	await mkdir(dataDir);
	const broker = await startBrokerProcess(dataDir);
	try {
		const client = await connect(broker.url);
		const topic = "bench";
		const configs = { "flush.messages": durability === "written" ? NEVER : "1" };
		await client.topics.create(topic, { partitions: 1, configs });
		try {
			return await work({ broker, client, topic });
		} finally {
			await client.close();
		}
	} finally {
		await broker.stop();
	}
}

/** Reads the whole topic, and rejects unless it holds `count` records of `payload` in order. */
export async function verifyTopic(
	{ client, topic }: TestBed,
	payload: Payload,
	count: number,
): Promise<Verified> {
	const hash = new RecordHash();
	const consumer = client.consumer<Uint8Array>({
		topics: topic,
		from: "earliest",
		until: "end",
		codec: "bytes",
	});
	for await (const batch of consumer.batches()) {
		for (const record of batch) hash.add(record.offset, record.value ?? new Uint8Array());
	}
	await consumer.close();
	const sha256 = hash.digest();
	if (hash.count !== count || sha256 !== payload.hash(count)) {
		throw new Error(
			`${count} records were acknowledged and ${hash.count} read; their hashes differ or their ` +
				"counts do: nothing of this run can be relied on",
		);
	}
	return { records: count, sha256 };
}

/** What every scenario tells of the part that it timed. */
export type TimedFigures = Pick<
	RoundResult,
	| "transport"
	| "record_bytes"
	| "records"
	| "seconds"
	| "records_per_second"
	| "bytes_per_second"
	| "broker"
	| "client_cpu_seconds"
>;

/**
 * Times `work`, which resolves to how many records of `recordBytes` it has moved, and what this
 * process and `broker` (null: there is none) use meanwhile.
 */
export async function timed(
	broker: ServerProcess | null,
	recordBytes: number,
	work: () => Promise<number>,
): Promise<TimedFigures> {
	const endMeasure = broker?.measure();
	const cpuBefore = process.cpuUsage();
	const startMs = performance.now();
	const records = await work();
	const seconds = (performance.now() - startMs) / 1_000;
	const { user, system } = process.cpuUsage(cpuBefore);
	const usage = endMeasure?.() ?? null;
	return {
		transport: broker?.transport ?? null,
		record_bytes: recordBytes,
		records,
		seconds,
		records_per_second: records / seconds,
		bytes_per_second: (records * recordBytes) / seconds,
		broker: processCost(usage, records * recordBytes),
		client_cpu_seconds: (user + system) / 1e6,
	};
}

function processCost(usage: MeasuredUsage, bytes: number): ProcessCost | null {
	if (usage === null) return null;
	return {
		cpu_seconds: usage.cpuSeconds,
		cpu_seconds_per_gib: (usage.cpuSeconds / bytes) * GIBIBYTE,
		anonymous_bytes_max: usage.anonymousBytesMax,
	};
}
