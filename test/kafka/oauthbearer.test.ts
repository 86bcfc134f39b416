/** Kafka clients that say who they are by tokens (RFC 7628). */
import { describe, expect, onTestFinished, test } from "vitest";

import { startBroker } from "../../src/index.ts";
import { AUDIENCE, ISSUER, TokenIssuer } from "../token-issuer.ts";
import type { Fields } from "./client-codec.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf } from "./use-broker.ts";

async function started(options: Record<string, string> = {}) {
	const issuer = await TokenIssuer.start();
	const broker = await startBroker({
		memory: true,
		options: {
			"kafka.security.protocol": "SASL_PLAINTEXT",
			"sasl.enabled.mechanisms": "OAUTHBEARER,PLAIN",
			"sasl.oauthbearer.jwks.endpoint.url": issuer.url,
			"sasl.oauthbearer.expected.issuer": ISSUER,
			"sasl.oauthbearer.expected.audience": `other,${AUDIENCE}`,
			"sasl.oauthbearer.clock.skew.seconds": "0",
			...options,
		},
	});
	onTestFinished(() => broker.close());
	const connect = async () => {
		const client = await RawKafkaClient.connect(kafkaPortOf(broker));
		onTestFinished(() => client.close());
		return client;
	};
	return { issuer, broker, connect };
}

async function show(client: RawKafkaClient, message: string): Promise<Fields & { text: string }> {
	const answer = await client.request("SaslAuthenticate", 2, { authBytes: Buffer.from(message) });
	return { ...answer, text: Buffer.from(answer.authBytes as Uint8Array).toString() };
}

async function login(client: RawKafkaClient, message: string) {
	await client.request("SaslHandshake", 1, { mechanism: "OAUTHBEARER" });
	return show(client, message);
}

const bearer = (token: string) => `n,,\x01auth=Bearer ${token}\x01\x01`;

describe("OAUTHBEARER", () => {
	test.each([
		["as RFC 7628 has it", (token: string) => bearer(token)],
		["with extensions", (token: string) => `n,,\x01auth=bearer  ${token}\x01trace=a=b c\x01\x01`],
		["for oneself", (token: string) => `n,a=alice,\x01auth=Bearer ${token}\x01\x01`],
	])("serves who shows a token %s", async (_, message) => {
		const { issuer, connect } = await started();
		const client = await connect();
		const answer = await login(client, message(await issuer.sign()));
		expect(answer).toMatchObject({ errorCode: 0, errorMessage: "", text: "" });
		expect(answer.sessionLifetimeMs).toBeGreaterThan(200_000);
		expect(answer.sessionLifetimeMs).toBeLessThanOrEqual(300_000);
		expect((await client.request("Metadata", 9, { topics: null })).topics).toEqual([]);
	});

	test("answers a wrong token with a status, and its acknowledgement with the end", async () => {
		const { issuer, connect } = await started();
		const token = await issuer.sign({ aud: "somebody" });
		const client = await connect();
		const status = '{"status":"invalid_token"}';
		expect(await login(client, bearer(token))).toMatchObject({ errorCode: 0, text: status });
		expect(await show(client, "\x01")).toMatchObject({ errorCode: 58, errorMessage: status });
		await client.closed;
	});

	test.each([
		["that is none", () => "alice"],
		["without a token", () => "n,,\x01host=a\x01\x01"],
		["with two", (token: string) => `n,,\x01auth=Bearer ${token}\x01auth=Bearer a\x01\x01`],
		["of another scheme", (token: string) => `n,,\x01auth=Basic ${token}\x01\x01`],
		["bound to a channel", (token: string) => `y,,\x01auth=Bearer ${token}\x01\x01`],
		["for somebody else", (token: string) => `n,a=bob,\x01auth=Bearer ${token}\x01\x01`],
	])("refuses a message %s", async (_, message) => {
		const { issuer, connect } = await started();
		const client = await connect();
		expect(await login(client, message(await issuer.sign()))).toMatchObject({ errorCode: 58 });
		await client.closed;
	});

	test("believes a client as long as its token, which it may renew", async () => {
		const { issuer, broker, connect } = await started();
		const short = await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 200 });
		const [client, other] = [await connect(), await connect()];
		for (const each of [client, other]) {
			expect((await login(each, bearer(short))).sessionLifetimeMs).toBeLessThanOrEqual(200_000);
		}
		expect(await login(client, bearer(await issuer.sign()))).toMatchObject({ errorCode: 0 });
		const metadata = (of: RawKafkaClient) => of.request("Metadata", 9, { topics: null });
		await broker.clock.advance(100_000);
		expect((await metadata(other)).topics).toEqual([]);
		await broker.clock.advance(100_000);
		await expect(metadata(other)).rejects.toThrow("the connection ended");
		expect((await metadata(client)).topics).toEqual([]);
	});

	test("has a client stay who it is", async () => {
		const { issuer, connect } = await started();
		const client = await connect();
		expect(await login(client, bearer(await issuer.sign()))).toMatchObject({ errorCode: 0 });
		const other = await issuer.sign({ sub: "bob" });
		expect(await login(client, bearer(other))).toMatchObject({ errorCode: 58 });
		await client.closed;
	});
});
