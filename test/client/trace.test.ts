/** Trace context in headers, from and to clients of both protocols. */
import { context, propagation, trace } from "@opentelemetry/api";
import kafkajs from "kafkajs";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { type Client, carrierOf, connect, type RecordToSend } from "../../src/client/index.ts";
import { type Broker, startBroker } from "../../src/index.ts";
import { inTrace, SPAN, TRACEPARENT } from "./in-trace.ts";

let broker: Broker;
let client: Client;

beforeAll(async () => {
	broker = await startBroker({ memory: true });
	client = await connect(broker.addresses.websocket);
});
afterAll(async () => {
	await client.close();
	await broker.close();
});

const propagate = (carrier: Record<string, string>) =>
	propagation.inject(context.active(), carrier);

/** Headers of all records of a topic, as text. */
async function headersOf(topic: string): Promise<[string, string | null][][]> {
	const all: [string, string | null][][] = [];
	for await (const { headers } of client.consumer({
		topics: topic,
		from: "earliest",
		until: "end",
	}))
		all.push(headers.map(([name, value]) => [name, value && Buffer.from(value).toString()]));
	return all;
}

test("each record carries the context that it is sent in, behind its own headers", async () => {
	await client.topics.create("traced");
	const producer = client.producer({ propagate });
	const record = (headers?: RecordToSend["headers"]) => ({ topic: "traced", value: 1, headers });
	await producer.send(record());
	await inTrace(() => producer.send(record()));
	await inTrace(() => producer.send(record({ own: "1" })));
	await inTrace(() => producer.send(record([["traceparent", "mine"]])));
	inTrace(() => producer.write(record([["own", null]])));
	await producer.close();
	expect(await headersOf("traced")).toEqual([
		[],
		[["traceparent", TRACEPARENT]],
		[
			["own", "1"],
			["traceparent", TRACEPARENT],
		],
		[["traceparent", "mine"]],
		[
			["own", null],
			["traceparent", TRACEPARENT],
		],
	]);
});

test("a carrier has what headers say, whatever they are called", () => {
	const bytes = (text: string) => new Uint8Array(Buffer.from(text));
	const carrier = carrierOf({
		headers: [
			["traceparent", bytes("first")],
			["traceparent", bytes(TRACEPARENT)],
			["nothing", null],
			["__proto__", bytes("x")],
		],
	});
	expect(Object.entries(carrier)).toEqual([
		["traceparent", TRACEPARENT],
		["__proto__", "x"],
	]);
	const sender = propagation.extract(context.active(), carrier);
	expect(trace.getSpanContext(sender)).toMatchObject(SPAN);
});

test("headers pass unchanged between Kafka clients and the SDK", async () => {
	const brokers = [broker.addresses.kafka as string];
	const kafka = new kafkajs.Kafka({
		brokers,
		// Its own is a second, which a busy machine may take.
		connectionTimeout: 60_000,
		logLevel: kafkajs.logLevel.NOTHING,
	});
	await client.topics.create("mixed");
	const headers = { traceparent: TRACEPARENT, tracestate: "vendor=1,other=2", more: ["a", "b"] };
	const producer = kafka.producer();
	await producer.connect();
	await producer.send({ topic: "mixed", messages: [{ value: "1", headers }] });
	await producer.disconnect();
	expect(await headersOf("mixed")).toEqual([
		[
			["traceparent", TRACEPARENT],
			["tracestate", "vendor=1,other=2"],
			["more", "a"],
			["more", "b"],
		],
	]);
	const traced = client.producer({ propagate });
	await inTrace(() => traced.send({ topic: "mixed", value: 2 }));
	const consumer = kafka.consumer({ groupId: "traced" });
	onTestFinished(() => consumer.disconnect());
	await consumer.connect();
	await consumer.subscribe({ topics: ["mixed"], fromBeginning: true });
	const seen: unknown[] = [];
	await consumer.run({ eachMessage: async ({ message }) => void seen.push(message.headers) });
	await expect.poll(() => seen).toHaveLength(2);
	expect(seen[0]).toEqual({
		traceparent: Buffer.from(TRACEPARENT),
		tracestate: Buffer.from("vendor=1,other=2"),
		more: [Buffer.from("a"), Buffer.from("b")],
	});
	expect(seen[1]).toEqual({ traceparent: Buffer.from(TRACEPARENT) });
});
