/** Real clients at a limited rate, beside others that are not limited. */
import { performance } from "node:perf_hooks";
import { beforeAll, describe, expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { atEndOfSuite, BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import {
	KCAT_SECONDS_MAX,
	kafkaJava,
	kcatBinary,
	MISSING_KAFKA_JAVA,
	MISSING_KCAT,
	missingPython,
	pythonBinary,
} from "../optional-parts.ts";
import { runTool } from "./client-programs.ts";

const RATE = 200_000;
const BYTES = 1_000_000;
/** What it takes at least: a second of the rate may come at once, and nobody waits for the last. */
const LIMITED_MS = (BYTES / RATE - 2) * 1_000;

const LINES = `${"x".repeat(999)}\n`.repeat(BYTES / 1_000);

const PYTHON_PRODUCER = `
import json, sys, time
from confluent_kafka import Producer
throttles = []
settings = {**json.loads(sys.argv[1]), "linger.ms": 5, "batch.size": 50000}
throttled = lambda event: throttles.append(event.throttle_time)
producer = Producer({**settings, "throttle_cb": throttled})
failures = []
for _ in range(${BYTES / 1_000}):
    producer.produce(sys.argv[2], b"x" * 1000, on_delivery=lambda error, _: failures.append(error))
producer.flush(300)
failed = sum(1 for each in failures if each)
print(json.dumps({"failures": failed, "count": len(failures), "throttled": sum(throttles)}))
`;

const PYTHON_CONSUMER = `
import json, sys
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({**json.loads(sys.argv[1]), "group.id": "none"})
consumer.assign([TopicPartition(sys.argv[2], 0, 0)])
count = 0
while count < ${BYTES / 1_000}:
    count += len(consumer.consume(100, 10))
print(count)
`;

describe("real clients", () => {
	const atEnd = atEndOfSuite();
	let broker: BrokerProcess;
	let bootstrap: string;

	beforeAll(async () => {
		broker = await BrokerProcess.start({
			dataDir: temporaryDirectory(atEnd),
			atEnd,
			flags: ["--kafka", "127.0.0.1:0", "--quota-window-num", "2"],
		});
		bootstrap = String(broker.kafka);
		await quota("set", "--for-client-id", "limited", `producer_byte_rate=${RATE}`);
		await quota("set", "--for-client-id", "limited", `consumer_byte_rate=${RATE}`);
	});

	async function quota(...args: string[]): Promise<void> {
		expect(await runCommand(["quota", ...args, "--url", broker.url])).toMatchObject({ code: 0 });
	}

	async function timed<Result>(work: Promise<Result>): Promise<[ms: number, result: Result]> {
		const startedMs = performance.now();
		const result = await work;
		return [performance.now() - startedMs, result];
	}

	/** Makes a topic whose records wait for no disk: the quota alone slows clients down. */
	async function createTopic(name: string): Promise<void> {
		const client = await connect(broker.url);
		await client.topics.create(name, { configs: { "flush.messages": 1_000_000 } });
		await client.close();
	}

	/** Runs the same as a limited client and, beside it, as another one. */
	async function both<Result>(work: (clientId: string) => Promise<Result>): Promise<Result[]> {
		const [[limitedMs, held], free] = await Promise.all([timed(work("limited")), work("free")]);
		expect(limitedMs).toBeGreaterThan(LIMITED_MS);
		return [held, free];
	}

	/** How long clients were told to wait, all together. */
	async function throttledSeconds(): Promise<number> {
		const text = await (await fetch(`${broker.http}/metrics`)).text();
		const told = [...text.matchAll(/^millrace_throttled_seconds_total\{.*\} (\S+)$/gm)];
		return told.reduce((sum, [, seconds]) => sum + Number(seconds), 0);
	}

	test("kcat", async (context) => {
		const binary = kcatBinary() ?? context.skip(MISSING_KCAT);
		const kcat = (clientId: string) => [
			...[binary, "-q", "-m", KCAT_SECONDS_MAX, "-b", bootstrap, "-p", "0"],
			...["-X", `client.id=${clientId}`, "-X", "linger.ms=5", "-X", "batch.size=50000"],
		];
		const produce = (clientId: string) =>
			runTool([...kcat(clientId), "-P", "-t", `k-${clientId}`], LINES);
		const consume = (clientId: string) =>
			runTool([...kcat(clientId), "-C", "-e", "-t", `k-${clientId}`]);
		for (const clientId of ["limited", "free"]) await createTopic(`k-${clientId}`);
		await both(produce);
		const read = await both(consume);
		expect(read.map((text) => text === LINES)).toEqual([true, true]);
		// It does not say that it was told to wait; the broker does.
		const before = await throttledSeconds();
		expect(before).toBeGreaterThan(0);
		await produce("free");
		expect(await consume("free")).toBe(LINES + LINES);
		expect(await throttledSeconds()).toBe(before);
	});

	test("confluent-kafka", async (context) => {
		const python =
			pythonBinary("confluent_kafka") ?? context.skip(missingPython("confluent_kafka"));
		const settings = (clientId: string) =>
			JSON.stringify({ "bootstrap.servers": bootstrap, "client.id": clientId });
		const run = (program: string) => (clientId: string) =>
			runTool([python, "-c", program, settings(clientId), `p-${clientId}`]);
		for (const clientId of ["limited", "free"]) await createTopic(`p-${clientId}`);
		const [limited, free] = (await both(run(PYTHON_PRODUCER))).map((text) => JSON.parse(text));
		expect(limited).toMatchObject({ failures: 0, count: BYTES / 1_000 });
		expect(limited.throttled).toBeGreaterThan(0);
		expect(free).toEqual({ failures: 0, count: BYTES / 1_000, throttled: 0 });
		const read = await both(run(PYTHON_CONSUMER));
		expect(read.map(Number)).toEqual([BYTES / 1_000, BYTES / 1_000]);
	});

	test("the SDK", async () => {
		const [limited, free] = await both(async (clientName) => {
			let throttleCount = 0;
			const onThrottled = () => throttleCount++;
			const client = await connect(broker.url, { clientName, onThrottled });
			const producer = client.producer({ durability: "written" });
			const topic = `s-${clientName}`;
			await createTopic(topic);
			for (let sent = 0; sent < BYTES; sent += RATE) {
				// A second's worth at once: however slow the client is, it is over its quota.
				const parts = Array.from({ length: 4 }, () => "x".repeat(RATE / 4));
				await Promise.all(parts.map((value) => producer.send({ topic, value })));
			}
			const consumer = client.consumer({ topics: [topic], from: "earliest", until: "end" });
			let bytes = 0;
			for await (const { value } of consumer) bytes += (value as string).length;
			await client.close();
			return { bytes, throttleCount };
		});
		expect(limited?.throttleCount).toBeGreaterThan(1);
		expect(free).toEqual({ bytes: BYTES, throttleCount: 0 });
	});

	test("a client is answered while another one waits", async () => {
		const limited = await connect(broker.url, { clientName: "limited" });
		const free = await connect(broker.url, { clientName: "free" });
		for (const topic of ["w-limited", "w-free"]) await createTopic(topic);
		const send = (client: Client, topic: string, value: string) =>
			client.producer({ durability: "written" }).send({ topic, value });
		// Where an answer was too long on its way to tell, it is seen the next time.
		for (let leftMs = 0; leftMs === 0; leftMs = limited.throttledMs) {
			await send(limited, "w-limited", "x".repeat(2 * RATE));
			await send(free, "w-free", "x".repeat(2 * RATE));
		}
		await Promise.all([limited.close(), free.close()]);
	});

	test("Kafka's own tools set and show quotas", async (context) => {
		const java = kafkaJava() ?? context.skip(MISSING_KAFKA_JAVA);
		const configs = (...parameters: string[]) =>
			runTool([
				...[...java, "kafka.admin.ConfigCommand", "--bootstrap-server", bootstrap],
				...["--entity-type", "users", "--entity-name", "alice", ...parameters],
			]);
		await configs("--alter", "--add-config", "producer_byte_rate=1048576");
		expect(await configs("--describe")).toMatch(
			/user-principal 'alice' are producer_byte_rate=1048576/,
		);
		const refused = configs("--alter", "--add-config", "request_percentage=50");
		await expect(refused).rejects.toThrow(/limit requests with request_rate/);
		await configs("--alter", "--delete-config", "producer_byte_rate");
		expect(await configs("--describe")).not.toContain("producer_byte_rate");
	});
});
