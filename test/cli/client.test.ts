/** `millrace client list`, the call behind it, and the metric: who is slow, over both protocols. */
import { beforeAll, expect, onTestFinished, test } from "vitest";

import { type Client, type ClientDescription, connect } from "../../src/client/index.ts";
import { LIMITS } from "../../src/limits.ts";
import { atEndOfSuite, BrokerProcess, runCommand } from "../broker-process.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { seriesOf } from "../monitoring/series.ts";
import { RawClient } from "../websocket/raw-client.ts";

const atEnd = atEndOfSuite();
let broker: BrokerProcess;
let client: Client;

/** More than sockets and their buffers take. */
const TOPIC_BYTES = 64_000_000;
const VALUE_BYTES = 500_000;
const FLUSHED_TOGETHER = 16;

beforeAll(async () => {
	broker = await BrokerProcess.start({ atEnd });
	client = await connect(broker.url);
	atEnd(() => client.close());
	await client.topics.create("large");
	const producer = client.producer({ codec: "bytes" });
	const value = new Uint8Array(VALUE_BYTES);
	// Each is a batch; many are flushed together.
	const together = Array(FLUSHED_TOGETHER).fill({ value });
	for (let sent = 0; sent < TOPIC_BYTES; sent += FLUSHED_TOGETHER * VALUE_BYTES) {
		await producer.sendBatch("large", together);
	}
});

type Reason = NonNullable<ClientDescription["slow"]>["reason"];

/**
 * What is told of a client that is slow, by the name that it gave itself: one of a test before that
 * had the same may still be there.
 */
async function slowOne(name: string, reason: Reason): Promise<ClientDescription> {
	const find = async () => {
		const slow = await client.clients.list({ slow: true });
		return slow.find((candidate) => candidate.client === name && candidate.slow?.reason === reason);
	};
	await expect.poll(find).toBeDefined();
	return (await find()) as ClientDescription;
}

async function rawWebSocket(name: string): Promise<RawClient> {
	const raw = await RawClient.open(broker.url);
	onTestFinished(() => raw.socket.terminate());
	await raw.answer(1, 1, { client: name });
	return raw;
}

async function rawKafka(): Promise<RawKafkaClient> {
	const raw = await RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));
	onTestFinished(() => void raw.socket.destroy());
	return raw;
}

const fetchOf = (partitionMaxBytes: number) => ({
	maxWaitMs: 0,
	minBytes: 1,
	maxBytes: 57_671_680,
	sessionId: 0,
	sessionEpoch: -1,
	topics: [
		{
			topic: "large",
			partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes, logStartOffset: -1 }],
		},
	],
});

test("who does not read what it is sent, over WebSocket", async () => {
	const raw = await rawWebSocket("deaf");
	const credit = [LIMITS.creditRecordsMax, LIMITS.creditBytesMax];
	await raw.answer(4, 2, 7, "large", 0, "earliest", { credit });
	raw.socket.pause();
	const description = await slowOne("deaf", "not_reading");
	expect(description).toMatchObject({ protocol: "websocket", principal: "User:ANONYMOUS" });
	expect(description.address).toBe("127.0.0.1");
	expect(description.pending_bytes).toBeGreaterThan(0);
	expect(description.slow?.since_ms).toBeGreaterThanOrEqual(description.connected_ms - 1_000);
	expect(description.slow?.since_ms).toBeLessThanOrEqual(Date.now());
});

test("who grants no credit", async () => {
	const raw = await rawWebSocket("sated");
	await raw.answer(4, 2, 7, "large", 0, "earliest", { credit: [1, 1_000_000] });
	const description = await slowOne("sated", "not_asking");
	expect(description.pending_bytes).toBe(0);
	expect(description.lag_records).toBe(TOPIC_BYTES / VALUE_BYTES - 1);
});

test("who does not read what it is sent, over Kafka", async () => {
	const raw = await rawKafka();
	raw.socket.pause();
	raw.request("Fetch", 11, fetchOf(57_671_680)).catch(() => undefined);
	const description = await slowOne("test", "not_reading");
	expect(description).toMatchObject({ protocol: "kafka" });
	expect(description.pending_bytes).toBeGreaterThan(1_000_000);
});

test("who fetches no more, and the table and the metric of it", async () => {
	const raw = await rawKafka();
	await raw.request("Fetch", 11, fetchOf(1_000));
	await slowOne("test", "not_asking");
	const listing = await runCommand(["client", "list", "--slow", "--url", broker.url]);
	const row = /^ *\d+ +kafka +User:ANONYMOUS +\S+ +127\.0\.0\.1 +0 B +127 +not asking +2\S+Z$/m;
	expect(listing.stdout.toString()).toMatch(row);
	const json = await runCommand(["client", "list", "--json", "--url", broker.url]);
	const { clients } = JSON.parse(json.stdout.toString()) as { clients: ClientDescription[] };
	expect(clients.filter(({ slow }) => slow === null).length).toBeGreaterThanOrEqual(2);
	const scrape = await (await fetch(`${broker.http}/metrics`)).text();
	const labels = { protocol: "kafka", reason: "not_asking" };
	expect(seriesOf(scrape).value("millrace_slow_clients", labels)).toBe(1);
});
