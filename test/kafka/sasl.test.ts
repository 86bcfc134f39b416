/** Kafka clients that say who they are: what is served before and after, and what is told. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";

import { startBroker } from "../../src/index.ts";
import type { Fields } from "./client-codec.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf, useBroker } from "./use-broker.ts";

const used = useBroker({ options: { "kafka.security.protocol": "SASL_PLAINTEXT" } });

const utf8 = (text: string) => Buffer.from(text);

const HASHES = { 1: ["sha256", 32], 2: ["sha512", 64] } as const;

/** What Kafka's tools send to give a user a password. */
function upsertion(name: string, password: string, mechanism: 1 | 2, iterations = 4_096) {
	const [hash, bytes] = HASHES[mechanism];
	const salt = utf8(`salt of ${name}`);
	const saltedPassword = pbkdf2Sync(password, salt, iterations, bytes, hash);
	return { name, mechanism, iterations, salt, saltedPassword };
}

/** A broker that asks nobody, where users can be made. */
const open = useBroker();

async function handshake(client: RawKafkaClient, mechanism: string) {
	return client.request("SaslHandshake", 1, { mechanism });
}

async function step(client: RawKafkaClient, text: string): Promise<Fields & { text: string }> {
	const answer = await client.request("SaslAuthenticate", 2, { authBytes: utf8(text) });
	return { ...answer, text: Buffer.from(answer.authBytes as Uint8Array).toString() };
}

const xor = (left: Buffer, right: Buffer) =>
	Buffer.from(left.map((byte, index) => byte ^ (right[index] as number)));

/** SCRAM as a client does it; the answer to the last message, and what it must be. */
async function scram(
	client: RawKafkaClient,
	user: string,
	password: string,
	mechanism: 1 | 2,
): Promise<Fields> {
	const [hash, bytes] = HASHES[mechanism];
	await handshake(client, mechanism === 1 ? "SCRAM-SHA-256" : "SCRAM-SHA-512");
	const bare = `n=${user},r=abc`;
	const { text: first } = await step(client, `n,,${bare}`);
	const [, nonce, salt, count] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(first) as string[];
	const salted = pbkdf2Sync(
		password,
		Buffer.from(salt as string, "base64"),
		Number(count),
		bytes,
		hash,
	);
	const hmac = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest();
	const clientKey = hmac(salted, "Client Key");
	const storedKey = createHash(hash).update(clientKey).digest();
	const last = `c=biws,r=${nonce}`;
	const message = `${bare},${first},${last}`;
	const proof = xor(clientKey, hmac(storedKey, message)).toString("base64");
	const answer = await step(client, `${last},p=${proof}`);
	const signature = hmac(hmac(salted, "Server Key"), message).toString("base64");
	return { ...answer, expected: `v=${signature}`, count: String(count), salt: String(salt) };
}

async function brokerWithUsers(options: Record<string, string> = {}) {
	const broker = await startBroker({
		memory: true,
		options: { "kafka.security.protocol": "SASL_PLAINTEXT", ...options },
	});
	onTestFinished(() => broker.close());
	await broker.users.setPassword("alice", "wonder,land=1");
	const connect = async () => {
		const client = await RawKafkaClient.connect(kafkaPortOf(broker));
		onTestFinished(() => client.close());
		return client;
	};
	return { broker, connect };
}

describe("before a client has said who it is", () => {
	test("it may ask for versions and mechanisms", async () => {
		const client = await used.connect();
		expect((await client.request("ApiVersions", 3, software)).errorCode).toBe(0);
		expect(await handshake(client, "PLAIN")).toMatchObject({
			errorCode: 0,
			mechanisms: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
		});
	});

	test.each([
		["Metadata", 9, { topics: null }],
		["Produce", 9, { transactionalId: null, acks: 1, timeoutMs: 1, topicData: [] }],
		["SaslAuthenticate", 2, { authBytes: utf8("\0alice\0x") }],
		["AlterUserScramCredentials", 0, { deletions: [], upsertions: [] }],
	])("%s ends the connection", async (name, version, fields) => {
		const client = await used.connect();
		await expect(client.request(name, version, fields)).rejects.toThrow("the connection ended");
	});

	test("nothing but the mechanism's own messages is served in the middle of it", async () => {
		const client = await used.connect();
		await handshake(client, "PLAIN");
		await expect(client.request("Metadata", 9, { topics: null })).rejects.toThrow();
	});

	test("an unknown mechanism is answered with the known ones, and the end", async () => {
		const client = await used.connect();
		expect(await handshake(client, "GSSAPI")).toMatchObject({
			errorCode: 33,
			mechanisms: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
		});
		await client.closed;
	});

	test("a frame that is longer than any that it needs ends the connection", async () => {
		const client = await used.connect();
		client.sendBytes(Buffer.from([0, 0x08, 0, 1, 0, 18]));
		await client.closed;
	});
});

const software = { clientSoftwareName: "test", clientSoftwareVersion: "1" };

describe("PLAIN", () => {
	test("serves who knows the password", async () => {
		const { connect } = await brokerWithUsers();
		const client = await connect();
		await handshake(client, "PLAIN");
		expect(await step(client, "\0alice\0wonder,land=1")).toMatchObject({
			errorCode: 0,
			errorMessage: "",
			sessionLifetimeMs: 0,
		});
		expect((await client.request("Metadata", 9, { topics: null })).topics).toEqual([]);
	});

	test("frames may be as long as ever afterwards", async () => {
		const { connect } = await brokerWithUsers();
		const client = await connect();
		await handshake(client, "PLAIN");
		await step(client, "\0alice\0wonder,land=1");
		const clientId = "x".repeat(1_000);
		const topics = Array.from({ length: 2_000 }, () => ({ name: "y".repeat(300) }));
		const asked = { topics, allowAutoTopicCreation: false };
		const answer = await client.request("Metadata", 9, asked, { clientId });
		expect(answer.topics).not.toEqual([]);
	});

	test.each([
		["a wrong password", "\0alice\0wonderland", "Invalid username or password"],
		["an unknown user", "\0bob\0wonder,land=1", "Invalid username or password"],
		["a wrong password for somebody else", "bob\0alice\0x", "Invalid username or password"],
		["somebody else's name", "bob\0alice\0wonder,land=1", "Client requested an authorization id"],
		["no password", "\0alice\0", "password not specified"],
		["nothing of its form", "alice", "expected 3 tokens, got 1"],
	])("tells of %s as Kafka does, and ends", async (_, message, text) => {
		const { connect, broker } = await brokerWithUsers();
		const client = await connect();
		await handshake(client, "PLAIN");
		expect(await step(client, message)).toMatchObject({
			errorCode: 58,
			errorMessage: expect.stringContaining(text),
		});
		await client.closed;
		const metrics = await (await fetch(`${broker.addresses.http}/metrics`)).text();
		expect(metrics).toMatch(/^millrace_login_failures_total\{mechanism="PLAIN",reason="\w+"\} 1$/m);
	});
});

test("clients that guess and leave hold up nobody who waits behind them", async () => {
	const { connect } = await brokerWithUsers();
	const guessing = await Promise.all(Array.from({ length: 40 }, connect));
	for (const client of guessing) {
		await handshake(client, "PLAIN");
		client.send("SaslAuthenticate", 2, { authBytes: utf8("\0alice\0wrong") });
	}
	const client = await connect();
	await handshake(client, "PLAIN");
	const answer = step(client, "\0alice\0wonder,land=1");
	for (const guesser of guessing) guesser.close();
	// Else it would wait for all of them, and in vain.
	expect((await answer).errorCode).toBe(0);
});

describe.each([1, 2] as const)("SCRAM %i", (mechanism) => {
	test("serves who knows the password, and proves to know it, too", async () => {
		const { connect } = await brokerWithUsers();
		const client = await connect();
		const { text, expected, errorCode } = await scram(client, "alice", "wonder,land=1", mechanism);
		expect(errorCode).toBe(0);
		expect(text).toBe(expected);
		expect((await client.request("Metadata", 9, { topics: null })).topics).toEqual([]);
	});

	test("asks an unknown user the same as one who mistypes, each time the same", async () => {
		const { connect } = await brokerWithUsers();
		const answers: Fields[] = [];
		for (const user of ["alice", "nobody", "nobody"]) {
			answers.push(await scram(await connect(), user, "guess", mechanism));
		}
		const [wrong, unknown, again] = answers;
		const name = mechanism === 1 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";
		const why = `due to invalid credentials with SASL mechanism ${name}`;
		const errorMessage = `Authentication failed during authentication ${why}`;
		for (const answer of answers) expect(answer).toMatchObject({ errorCode: 58, errorMessage });
		expect(unknown?.count).toBe(wrong?.count);
		expect(unknown?.salt).toBe(again?.salt);
		expect(String(unknown?.salt)).toMatch(/^[A-Za-z0-9+/]{32}$/);
		expect(String(wrong?.salt)).toMatch(/^[A-Za-z0-9+/]{32}$/);
	});
});

describe("who was believed", () => {
	test("has to say it again when the time is up, as the same", async () => {
		const { connect, broker } = await brokerWithUsers({ "connections.max.reauth.ms": "300000" });
		await broker.users.setPassword("bob", "builder");
		const client = await connect();
		await handshake(client, "PLAIN");
		expect((await step(client, "\0alice\0wonder,land=1")).sessionLifetimeMs).toBe(300_000);
		await handshake(client, "PLAIN");
		expect((await step(client, "\0alice\0wonder,land=1")).errorCode).toBe(0);
		const other = await connect();
		await handshake(other, "PLAIN");
		await step(other, "\0alice\0wonder,land=1");
		await handshake(other, "PLAIN");
		expect((await step(other, "\0bob\0builder")).errorCode).toBe(58);
		const metadata = () => client.request("Metadata", 9, { topics: null });
		await broker.clock.advance(200_000);
		expect((await metadata()).topics).toEqual([]);
		await broker.clock.advance(100_000);
		await expect(metadata()).rejects.toThrow("the connection ended");
	});
});

describe("users", () => {
	test("are made, shown, changed and removed by Kafka's own requests", async () => {
		const client = await open.connect();
		const alter = (upsertions: object[], deletions: object[] = []) =>
			client.request("AlterUserScramCredentials", 0, { deletions, upsertions } as never);
		const made = await alter([upsertion("ann", "a", 1), upsertion("ann", "a", 2, 8_192)]);
		expect(made.results).toMatchObject([{ user: "ann", errorCode: 0 }]);
		const shown = await client.request("DescribeUserScramCredentials", 0, { users: null });
		expect(shown.results).toMatchObject([
			{
				user: "ann",
				credentialInfos: [
					{ mechanism: 1, iterations: 4_096 },
					{ mechanism: 2, iterations: 8_192 },
				],
			},
		]);
		const removed = await alter([], [{ name: "ann", mechanism: 1 }]);
		expect(removed.results).toMatchObject([{ user: "ann", errorCode: 0 }]);
		const refused = await alter(
			[
				upsertion("few", "a", 1, 100),
				{ ...upsertion("strange", "a", 1), mechanism: 7 },
				upsertion("", "a", 1),
				upsertion("twice", "a", 1),
				upsertion("twice", "b", 1),
			],
			[{ name: "ann", mechanism: 1 }],
		);
		const codes = (refused.results as { user: string; errorCode: number }[]).map(
			({ user, errorCode }) => [user, errorCode],
		);
		expect(Object.fromEntries(codes)).toEqual({
			ann: 91,
			few: 93,
			strange: 33,
			"": 93,
			twice: 92,
		});
		const asked = { users: [{ name: "none" }, { name: "ann" }, { name: "ann" }] };
		const described = await client.request("DescribeUserScramCredentials", 0, asked);
		expect(described.results).toMatchObject([
			{ user: "none", errorCode: 91 },
			{ user: "ann", errorCode: 92 },
		]);
	});

	test("are asked nothing where the listener asks nobody", async () => {
		const client = await open.connect();
		expect((await handshake(client, "PLAIN")).errorCode).toBe(34);
	});
});
