import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Client, type ConnectOptions, connect } from "millrace/client";

import { type Payload, RecordHash } from "./payload.ts";
import type { Profile } from "./profiles.ts";
import type {
	Figure,
	Latency,
	ProcessCost,
	RooflineFigures,
	ScenarioResult,
	Verified,
} from "./results.ts";
import { type MeasuredUsage, type ServerProcess, startBrokerProcess } from "./server-process.ts";
import { Timeline } from "./timeline.ts";

export const GIBIBYTE = 1_073_741_824;

/** `flush.messages` of a topic whose acks do not wait for the disk. */
export const NEVER = "9223372036854775807";

const TOPIC = "bench";

/** Partitions that are read at a time: a connection may have a thousand subscriptions. */
const READ_PARTITIONS_MAX = 1_000;

export type Durability = "written" | "flushed";

/** The smallest profile that a scenario is part of; the larger ones have it, too. */
export type Tier = "ci" | "standard" | "full" | "soak";

/** What one round of one scenario has to work with. */
export interface ScenarioContext {
	/** Empty, and removed afterwards. */
	readonly directory: string;
	readonly profile: Profile;
	readonly roofline: RooflineFigures | null;
}

/** What it costs beside a bare loop is for whoever has the limits of the round. */
export type RoundResult = Omit<ScenarioResult, "scenario" | "rounds">;

/** One thing that is measured. Its name is part of the results' schema. */
export interface Scenario {
	readonly name: string;
	/** One line for people. */
	readonly about: string;
	readonly tier: Tier;
	/** Rejects when what came back is not what had been sent. */
	run(context: ScenarioContext): Promise<RoundResult>;
}

/** What a round result says where a scenario has nothing to say. */
export const NOTHING_ELSE = {
	latency: null,
	beside: null,
	roofline: null,
	curve: null,
	extras: [],
	timeline: [],
} satisfies Partial<RoundResult>;

/** Rounds of a load that goes as fast as it can. */
export function rateFigure({ records_per_second: value }: TimedFigures): Figure {
	return { name: "records/s", unit: "records/s", value, better: "more" };
}

/** Rounds of a load that is paced. */
export function latencyFigure(latency: Latency, name: "p50" | "p99" | "p99.9" = "p50"): Figure {
	const values = { p50: latency.p50_us, p99: latency.p99_us, "p99.9": latency.p999_us };
	return { name, unit: "us", value: values[name], better: "less" };
}

/** A broker in a process of its own, a client of it, and a topic. */
export interface TestBed {
	readonly broker: ServerProcess;
	readonly client: Client;
	readonly topic: string;
}

interface TestBedOptions {
	readonly durability: Durability;
	readonly partitions?: number;
	/** Of the topic, beside its durability. */
	readonly configs?: Readonly<Record<string, string>>;
	/** As `millrace start` takes them. */
	readonly brokerOptions?: readonly string[];
	/** As `connect` takes it. */
	readonly mask?: ConnectOptions["mask"];
}

/** Sets a broker up, runs `work` and takes everything down again, whatever comes. */
export async function withTestBed<Result>(
	{ directory }: ScenarioContext,
	{ durability, partitions = 1, configs = {}, brokerOptions = [], mask = "auto" }: TestBedOptions,
	work: (bed: TestBed) => Promise<Result>,
): Promise<Result> {
	const dataDir = join(directory, "data");
	await mkdir(dataDir);
	const broker = await startBrokerProcess(dataDir, brokerOptions);
	try {
		const client = await connect(broker.url, { mask });
		try {
			const topic = await createTopic(client, durability, partitions, { configs });
			return await work({ broker, client, topic });
		} finally {
			await client.close();
		}
	} finally {
		await broker.stop();
	}
}

/** Creates the topic of a scenario and returns its name. */
export async function createTopic(
	client: Client,
	durability: Durability,
	partitions: number,
	{
		name = TOPIC,
		configs = {},
	}: { name?: string; configs?: Readonly<Record<string, string>> } = {},
): Promise<string> {
	const flushMessages = durability === "written" ? NEVER : "1";
	await client.topics.create(name, {
		partitions,
		configs: { ...configs, "flush.messages": flushMessages },
	});
	return name;
}

/** Reads partition 0, and rejects unless it holds `count` records of `payload` in order. */
export async function verifyTopic(
	{ client, topic }: Pick<TestBed, "client" | "topic">,
	payload: Payload,
	count: number,
): Promise<Verified> {
	const hash = new RecordHash();
	const consumer = client.consumer<Uint8Array>({
		topics: { topic, partitions: [0] },
		from: "earliest",
		until: "end",
		codec: "bytes",
	});
	for await (const batch of consumer.batches()) {
		for (const record of batch) hash.add(record.offset, record.value ?? new Uint8Array());
	}
	await consumer.close();
	return checkHash(hash, payload, count);
}

/** Rejects records that came back unless they are `count` ones of the payload from `first` on. */
export function checkHash(hash: RecordHash, payload: Payload, count: number, first = 0): Verified {
	const sha256 = hash.digest();
	if (hash.count !== count || sha256 !== payload.hash(count, first)) {
		throw new Error(
			`${count} records were sent and ${hash.count} came back; their hashes differ or their ` +
				"counts do: nothing of this run can be relied on",
		);
	}
	return { records: count, sha256 };
}

/**
 * Reads so many partitions, and rejects unless they hold the first `count` records of `payload`,
 * spread over them and in any order.
 */
export async function verifyUnordered(
	{ client, topic }: Pick<TestBed, "client" | "topic">,
	payload: Payload,
	count: number,
	partitionCount: number,
): Promise<Verified> {
	const found: Uint8Array[] = [];
	for (let first = 0; first < partitionCount; first += READ_PARTITIONS_MAX) {
		const length = Math.min(READ_PARTITIONS_MAX, partitionCount - first);
		const partitions = Array.from({ length }, (_, index) => first + index);
		const consumer = client.consumer<Uint8Array>({
			topics: { topic, partitions },
			from: "earliest",
			until: "end",
			codec: "bytes",
		});
		for await (const { value } of consumer) found.push(value ?? new Uint8Array());
		await consumer.close();
	}
	const sent = Array.from({ length: count }, (_, number) => payload.value(number));
	const sha256 = hashSorted(found);
	if (found.length !== count || sha256 !== hashSorted(sent)) {
		throw new Error(`${count} records were sent and ${found.length} came back, or others`);
	}
	return { records: count, sha256 };
}

function hashSorted(values: Uint8Array[]): string {
	const hash = new RecordHash();
	for (const [rank, value] of values.sort(Buffer.compare).entries()) hash.add(rank, value);
	return hash.digest();
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
	| "timeline"
>;

/**
 * Times `work`, which resolves to how many records of `recordBytes` it has moved, and what this
 * process and `broker` (null: there is none) use meanwhile.
 */
export async function timed(
	broker: ServerProcess | null,
	recordBytes: number,
	work: (timeline: Timeline) => Promise<number>,
): Promise<TimedFigures> {
	const endMeasure = broker?.measure();
	const cpuBefore = process.cpuUsage();
	const timeline = new Timeline();
	const startMs = performance.now();
	const records = await work(timeline);
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
		broker: processCost(usage, records, recordBytes),
		client_cpu_seconds: (user + system) / 1e6,
		timeline: timeline.points,
	};
}

/** What `usage` was spent on so many records. */
export function processCost(
	usage: MeasuredUsage,
	records: number,
	recordBytes: number,
): ProcessCost | null {
	if (usage === null) return null;
	return {
		cpu_seconds: usage.cpuSeconds,
		cpu_seconds_per_gib: (usage.cpuSeconds / (records * recordBytes)) * GIBIBYTE,
		cpu_us_per_record: (usage.cpuSeconds / records) * 1e6,
		anonymous_bytes_max: usage.anonymousBytesMax,
	};
}
