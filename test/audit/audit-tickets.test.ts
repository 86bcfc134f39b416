/** Tickets are credentials: who makes one is noted in `__audit`, and who tries in vain. */
import { pbkdf2Sync } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { kafkaPortOf } from "../kafka/use-broker.ts";

const ITERATIONS = 4_096;
const PASSWORD = "correct horse battery staple";

async function started(options: Record<string, string> = {}) {
	const broker = await startBroker({
		memory: true,
		options: { "audit.log.enable": "true", ...options },
	});
	onTestFinished(() => broker.close());
	return broker;
}

/** The first event of an operation, as it lies in the topic. */
async function eventOf(client: Client, operation: string): Promise<string> {
	const consumer = client.consumer<Uint8Array>({
		topics: "__audit",
		from: "earliest",
		codec: "bytes",
	});
	for await (const { value } of consumer) {
		const text = Buffer.from(value ?? []).toString();
		if (JSON.parse(text).operation !== operation) continue;
		await consumer.close();
		return text;
	}
	throw new Error("the consumer ended");
}

const authorization = `Basic ${Buffer.from(`alice:${PASSWORD}`).toString("base64")}`;

test("a ticket that is made is noted, without the ticket", async () => {
	const broker = await started({ "websocket.security.protocol": "SASL_PLAINTEXT" });
	const kafka = await RawKafkaClient.connect(kafkaPortOf(broker));
	const salt = Buffer.from("salt of alice");
	const saltedPassword = pbkdf2Sync(PASSWORD, salt, ITERATIONS, 32, "sha256");
	await kafka.request("AlterUserScramCredentials", 0, {
		deletions: [],
		upsertions: [{ name: "alice", mechanism: 1, iterations: ITERATIONS, salt, saltedPassword }],
	} as Fields);
	await kafka.close();
	const made = await fetch(`${broker.addresses.http}/v1/tickets`, {
		method: "POST",
		headers: { authorization },
	});
	expect(made.ok).toBe(true);
	const { ticket } = (await made.json()) as { ticket: string };
	const client = await connect(broker.addresses.websocket, { auth: { ticket } });
	onTestFinished(() => client.close());
	const event = await eventOf(client, "tickets.create");
	expect(JSON.parse(event)).toMatchObject({
		principal: "User:alice",
		protocol: "http",
		operation: "tickets.create",
		outcome: "done",
	});
	expect(event).not.toContain(ticket);
});

test("a ticket that is refused is noted", async () => {
	const broker = await started();
	const refused = await fetch(`${broker.addresses.http}/v1/tickets`, { method: "POST" });
	expect(refused.status).toBe(400);
	await broker.clock.advance(10_000);
	const client = await connect(broker.addresses.websocket);
	onTestFinished(() => client.close());
	expect(JSON.parse(await eventOf(client, "tickets.create"))).toMatchObject({
		operation: "tickets.create",
		outcome: "INVALID_REQUEST",
		count: 1,
	});
});
