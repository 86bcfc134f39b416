/**
 * Millrace beside Apache Kafka: one client for both, librdkafka or Kafka's own tools in Java.
 * Topics have one partition, and the same configuration on both sides.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";

import { Payload } from "../harness/payload.ts";
import type { Verified } from "../harness/results.ts";
import { type Durability, NEVER } from "../harness/scenario.ts";
import {
	type Contender,
	type Extent,
	logRecords,
	type PeerGroup,
	type PeerScenario,
	sizeName,
} from "./contender.ts";
import { KAFKA_LOAD, kafkaJava, kafkaVersion, librdkafkaVersion } from "./installed.ts";
import { ratesOf, roundOf, runLoad, runToEnd } from "./load-process.ts";
import { startMillrace } from "./millrace-contender.ts";
import type { PeerRound } from "./results.ts";
import { startKafka } from "./servers.ts";

/** What the scripts of Kafka give their tools. */
const TOOL_HEAP = "512m";

const FLUSH_MESSAGES = { written: NEVER, flushed: "1" } as const;

/** Runs `work` with a topic that is there only meanwhile. */
async function withTopic<Result>(
	address: string,
	durability: Durability,
	work: (topic: string) => Promise<Result>,
): Promise<Result> {
	const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
	const admin = kafka.admin();
	await admin.connect();
	// A name of its own: Kafka may still be deleting the last one's files.
	const topic = `bench-${Date.now()}`;
	const configEntries = [{ name: "flush.messages", value: FLUSH_MESSAGES[durability] }];
	await admin.createTopics({
		waitForLeaders: true,
		topics: [{ topic, numPartitions: 1, replicationFactor: 1, configEntries }],
	});
	try {
		return await work(topic);
	} finally {
		await admin.deleteTopics({ topics: [topic] });
		await admin.disconnect();
	}
}

/** The values of a payload, one behind the other in a file. */
async function writeValues(payload: Payload, directory: string): Promise<string> {
	const path = join(directory, `values-${payload.recordBytes}`);
	const values = Array.from({ length: Payload.distinctValues }, (_, number) =>
		payload.value(number),
	);
	await writeFile(path, Buffer.concat(values));
	return path;
}

const librdkafka = (): string => `librdkafka ${librdkafkaVersion()}`;

const javaTools = (): string => `Kafka ${kafkaVersion()}'s tools in Java`;

/**
 * What Kafka's tools move once has these parts of what may be stored: it takes them more than a
 * second, and their producer is the slower one.
 */
const TOOL_PARTS = { produce: 1 / 16, consume: 1 / 4 };

function toolRecords(
	what: keyof typeof TOOL_PARTS,
	{ storedBytesMax }: Extent,
	recordBytes: number,
): number {
	return Math.floor((storedBytesMax * TOOL_PARTS[what]) / recordBytes);
}

/** Fills a topic with a log, rejects unless it can be read, and resolves with its records. */
async function fill(
	{ address, topic }: { address: string; topic: string },
	payload: Payload,
	{ seconds, records }: { seconds: number; records: number },
	directory: string,
): Promise<number> {
	const values = await writeValues(payload, directory);
	const most = [payload.recordBytes, 0, seconds, records];
	const command = [KAFKA_LOAD, "produce", address, topic, values, ...most.map(String)];
	const unmeasured = { address, measure: () => () => null };
	return roundOf(await runLoad(command, unmeasured), payload).verified.records;
}

function produceScenario(
	durability: Durability,
	acks: "1" | "all",
	recordBytes: number,
): PeerScenario {
	return {
		name: `kafka-produce-${durability}-acks-${acks}-${sizeName(recordBytes)}`,
		about: `one producer, records of ${recordBytes} bytes, ${durability}, acks=${acks}`,
		durability,
		recordBytes,
		load: librdkafka,
		async run(contender, { seconds, warmUpSeconds, storedBytesMax }, directory) {
			const endpoint = contender.endpoint(durability);
			const payload = new Payload(recordBytes);
			const values = await writeValues(payload, directory);
			const extent = [
				recordBytes,
				warmUpSeconds,
				seconds,
				Math.floor(storedBytesMax / recordBytes),
			];
			return withTopic(endpoint.address, durability, async (topic) => {
				const command = [KAFKA_LOAD, "produce", endpoint.address, topic, values];
				const load = [...command, ...extent.map(String), `acks=${acks}`];
				return roundOf(await runLoad(load, endpoint), payload);
			});
		},
	};
}

function consumeScenario(recordBytes: number): PeerScenario {
	return {
		name: `kafka-consume-${sizeName(recordBytes)}`,
		about: `one consumer, records of ${recordBytes} bytes, fetches of up to 1 MiB`,
		durability: null,
		recordBytes,
		load: librdkafka,
		async run(contender, extent, directory) {
			const endpoint = contender.endpoint("written");
			const { address } = endpoint;
			const payload = new Payload(recordBytes);
			return withTopic(address, "written", async (topic) => {
				const { warmUpSeconds, seconds } = extent;
				const most = { seconds, records: logRecords(extent, payload) };
				const records = await fill({ address, topic }, payload, most, directory);
				const command = [KAFKA_LOAD, "consume", address, topic];
				const load = [...command, ...[recordBytes, records, warmUpSeconds, seconds].map(String)];
				return roundOf(await runLoad(load, endpoint), payload);
			});
		},
	};
}

function javaProduceScenario(recordBytes: number): PeerScenario {
	return {
		name: `kafka-java-produce-written-acks-all-${sizeName(recordBytes)}`,
		about: `ProducerPerformance, records of ${recordBytes} bytes, written, acks=all, idempotent`,
		durability: "written",
		recordBytes,
		load: javaTools,
		run: (contender, extent) => javaProduce(contender, extent, recordBytes),
	};
}

/** As many records in every round, whose values are the tool's own, the same in every run. */
async function javaProduce(
	contender: Contender,
	extent: Extent,
	recordBytes: number,
): Promise<PeerRound> {
	const endpoint = contender.endpoint("written");
	const { address } = endpoint;
	const records = toolRecords("produce", extent, recordBytes);
	return withTopic(address, "written", async (topic) => {
		const tool = [...kafkaJava(TOOL_HEAP), "org.apache.kafka.tools.ProducerPerformance"];
		const options = ["--bootstrap-server", address, "--topic", topic, "--throughput", "-1"];
		const size = ["--num-records", `${records}`, "--record-size", `${recordBytes}`];
		const endMeasure = endpoint.measure();
		const output = await runToEnd([...tool, ...options, ...size]);
		const usage = endMeasure();
		const lines = [...output.matchAll(/^(\d+) records sent, ([\d.]+) records\/sec/gm)];
		const [, sent, rate] = lines.at(-1) ?? [];
		if (Number(sent) !== records) throw new Error(`the tool sent others: ${output}`);
		const { read } = await runLoad([KAFKA_LOAD, "read", address, topic], endpoint);
		if (read?.records !== records) throw new Error(`${records} were sent, ${read?.records} read`);
		const rates = ratesOf(records, records / Number(rate), recordBytes, usage);
		return { ...rates, client_cpu_seconds: null, verified: read };
	});
}

function javaConsumeScenario(recordBytes: number): PeerScenario {
	return {
		name: `kafka-java-consume-${sizeName(recordBytes)}`,
		about: `ConsumerPerformance, records of ${recordBytes} bytes`,
		durability: null,
		recordBytes,
		load: javaTools,
		run: (contender, extent, directory) => javaConsume(contender, extent, recordBytes, directory),
	};
}

async function javaConsume(
	contender: Contender,
	extent: Extent,
	recordBytes: number,
	directory: string,
): Promise<PeerRound> {
	const endpoint = contender.endpoint("written");
	const { address } = endpoint;
	const payload = new Payload(recordBytes);
	return withTopic(address, "written", async (topic) => {
		const { seconds } = extent;
		const most = { seconds, records: toolRecords("consume", extent, recordBytes) };
		const records = await fill({ address, topic }, payload, most, directory);
		const tool = [...kafkaJava(TOOL_HEAP), "org.apache.kafka.tools.ConsumerPerformance"];
		const options = ["--bootstrap-server", address, "--topic", topic, "--hide-header"];
		const endMeasure = endpoint.measure();
		const output = await runToEnd([...tool, ...options, "--num-records", `${records}`]);
		const usage = endMeasure();
		const { count, ...took } = consumedOf(output);
		if (count !== records) throw new Error(`${records} are stored, the tool read ${count}`);
		// What was read was hashed when the log was filled; the tool only counts.
		const verified: Verified = { records, sha256: payload.hash(records) };
		const rates = ratesOf(records, took.seconds, recordBytes, usage);
		return { ...rates, client_cpu_seconds: null, verified };
	});
}

/** Of "start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, MB/s, records/s". */
function consumedOf(output: string): { count: number; seconds: number } {
	const fields = output.trim().split("\n").at(-1)?.split(",") ?? [];
	return { count: Number(fields[4]), seconds: Number(fields[7]) / 1_000 };
}

const SIZES = [100, 1_024] as const;

export const KAFKA_GROUP: PeerGroup = {
	peer: "kafka",
	scenarios: [
		...SIZES.map((bytes) => produceScenario("written", "1", bytes)),
		...SIZES.map((bytes) => produceScenario("written", "all", bytes)),
		...SIZES.map((bytes) => produceScenario("flushed", "all", bytes)),
		...SIZES.map((bytes) => consumeScenario(bytes)),
		...SIZES.map((bytes) => javaProduceScenario(bytes)),
		...SIZES.map((bytes) => javaConsumeScenario(bytes)),
	],
	async start(directory, stops) {
		const written = `flush.messages=${NEVER}: the system decides when to flush`;
		const ours = join(directory, "millrace");
		const theirs = join(directory, "kafka");
		await mkdir(theirs);
		const millrace = await startMillrace(ours, ({ kafka }) => kafka, written);
		stops.push(millrace.stop);
		const kafka = await startKafka(theirs);
		stops.push(kafka.stop);
		const contender: Contender = {
			contender: "kafka",
			title: "Apache Kafka",
			version: kafkaVersion(),
			written,
			flushed: "flush.messages=1",
			endpoint: () => kafka,
		};
		return [millrace.contender, contender];
	},
};
