/**
 * The promise: no client can pin a segment by a timestamp in the future, over either protocol, also
 * where the broker is killed behind it: `retention.ms` counts from the last append then. What was
 * appended a moment ago stays all the same.
 */
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs from "kafkajs";
import { expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";

const RETENTION_MS = 1_500;
const GONE_MS_MAX = 180_000;
const FUTURE_MS = 100 * 365 * 24 * 3_600_000;

const CONFIGS = {
	"retention.ms": RETENTION_MS,
	"segment.ms": 200,
	"message.timestamp.after.max.ms": 9_223_372_036_854_775_807n,
};
const FLAGS = ["--log-retention-check-interval-ms", "50"];

type Produce = (broker: BrokerProcess, client: Client, timestamp: number) => Promise<void>;

async function overWebSocket(_: BrokerProcess, client: Client, timestamp: number): Promise<void> {
	const producer = client.producer<string>();
	await producer.send({ topic: "pinned", value: "from the future", timestamp });
	await producer.close();
}

async function overKafka({ kafka }: BrokerProcess, _: Client, timestamp: number): Promise<void> {
	const settings = { ...KAFKAJS_SETTINGS, brokers: [kafka as string] };
	const producer = new kafkajs.Kafka(settings).producer({
		createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
	});
	await producer.connect();
	const messages = [{ value: "from the future", timestamp: `${timestamp}` }];
	await producer.send({ topic: "pinned", messages });
	await producer.disconnect();
}

test.for([
	["over WebSocket", overWebSocket, false],
	["over the Kafka protocol", overKafka, false],
	["and the broker is killed", overWebSocket, true],
] as [string, Produce, boolean][])("%s", async ([, produce, isKilled]) => {
	const dataDir = temporaryDirectory();
	let broker = await BrokerProcess.start({ dataDir, flags: FLAGS });
	const { port } = broker;
	const client = await connect(broker.url);
	await client.topics.create("pinned", { partitions: 1, configs: CONFIGS });
	const firstMs = Date.now();
	await produce(broker, client, firstMs + FUTURE_MS);
	const lastMs = Date.now();
	if (isKilled) {
		await broker.kill();
		broker = await BrokerProcess.start({ dataDir, port, flags: FLAGS });
	}

	let goneMs = Number.POSITIVE_INFINITY;
	for (const deadlineMs = lastMs + GONE_MS_MAX; Date.now() < deadlineMs; await sleep(20)) {
		const [ends] = await client.offsets.describe("pinned");
		if (ends?.log_start !== 1) continue;
		goneMs = Date.now();
		break;
	}
	expect(goneMs - firstMs, "not before its time").toBeGreaterThanOrEqual(RETENTION_MS);
	expect(goneMs, "and then it goes").toBeLessThan(Number.POSITIVE_INFINITY);
	// The log goes on where it was.
	const ack = await client.producer<string>().send({ topic: "pinned", value: "now" });
	expect(ack).toMatchObject({ partition: 0, offset: 1 });
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
});
