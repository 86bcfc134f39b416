/**
 * How clients say who they are, beside a real Apache Kafka: the same is sent to both, and the same
 * codes and texts must come back, but for what `DIFFERENCES` names.
 */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { beforeAll, describe, expect, test } from "vitest";

import { atEndOfSuite, BrokerProcess } from "../broker-process.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { MISSING_KAFKA_JAVA } from "../optional-parts.ts";
import { AUDIENCE, ISSUER, TokenIssuer } from "../token-issuer.ts";
import { directoryOfUsers } from "../users.ts";
import { startSaslKafka } from "./apache-kafka.ts";

const USERS = { alice: "wonder", bob: "builder" };
const JAAS = "org.apache.kafka.common.security";

/** What a client sees of one answer. */
type Seen =
	| string
	| { readonly code: number; readonly text: string | null; readonly bytes: string };

/** What a client does, and what it sees. */
type Script = (client: Client) => Promise<void>;

class Client {
	readonly seen: Seen[] = [];
	/** What it was to do in time it did not: what it saw says nothing. */
	isLate = false;
	readonly #kafka: RawKafkaClient;

	constructor(kafka: RawKafkaClient) {
		this.#kafka = kafka;
	}

	async ask(name: string, version: number, fields: object): Promise<Buffer | null> {
		try {
			const answer = await this.#kafka.request(name, version, fields as never);
			const bytes = Buffer.from((answer.authBytes ?? "") as Uint8Array);
			this.seen.push({
				code: answer.errorCode as number,
				text: (answer.errorMessage ?? null) as string | null,
				// A nonce, and a salt that is each broker's own.
				bytes: bytes
					.toString()
					.replace(/^r=.*,i=/s, "r=...,i=")
					.replace(/^v=.*/, "v=..."),
			});
			return bytes;
		} catch (error) {
			this.seen.push((error as Error).message.includes("connection ended") ? "closed" : `${error}`);
			return null;
		}
	}

	handshake(mechanism: string) {
		return this.ask("SaslHandshake", 1, { mechanism });
	}

	show(message: string | Uint8Array) {
		return this.ask("SaslAuthenticate", 2, { authBytes: Buffer.from(message) });
	}

	async login(mechanism: string, message: string) {
		await this.handshake(mechanism);
		return this.show(message);
	}

	/** Whether anything else is served. */
	metadata() {
		return this.ask("Metadata", 9, { topics: [] });
	}

	async scram(hash: "256" | "512", user: string, password: string, acting = "") {
		const [digest, bytes] = [`sha${hash}`, Number(hash) / 8];
		const bare = `n=${user},r=abc`;
		const header = `n,${acting},`;
		const first = await this.login(`SCRAM-SHA-${hash}`, `${header}${bare}`);
		const parts = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(first?.toString() ?? "");
		if (parts === null) return;
		const [, nonce, salt = "", count] = parts;
		const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(count), bytes, digest);
		const hmac = (key: Buffer, text: string) => createHmac(digest, key).update(text).digest();
		const clientKey = hmac(salted, "Client Key");
		const binding = Buffer.from(header).toString("base64");
		const last = `c=${binding},r=${nonce}`;
		const signed = hmac(createHash(digest).update(clientKey).digest(), `${bare},${first},${last}`);
		const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signed[index] as number)));
		await this.show(`${last},p=${proof.toString("base64")}`);
	}
}

const bearer = (token: string, more = "") => `n,,\x01auth=Bearer ${token}\x01${more}\x01`;

/** Where both are not meant to be equal, and why: docs/kafka-compatibility.md has them, too. */
const DIFFERENCES: Readonly<Record<string, string>> = {
	"a request instead of a password": "Kafka answers ILLEGAL_SASL_STATE before the end",
	"again, a request in the middle": "Kafka answers ILLEGAL_SASL_STATE before the end",
	"versions twice": "Kafka ends the connection",
	"SCRAM, an unknown user": "Kafka tells at once that there is no such user",
	"OAUTHBEARER, another scheme": "Kafka ends the connection without an answer",
	"again, by what is not offered": "Kafka ends the connection without an answer",
};

let tokens: { good: string; bob: string; wrong: string; old: string };

const scripts: Readonly<Record<string, Script>> = {
	"a mechanism that is not offered": async (client) => {
		await client.handshake("GSSAPI");
		await client.metadata();
	},
	"a request before all else": async (client) => void (await client.metadata()),
	"SaslAuthenticate before all else": async (client) => void (await client.show("\0alice\0wonder")),
	"a request instead of a password": async (client) => {
		await client.handshake("PLAIN");
		await client.metadata();
	},
	"another handshake instead of a password": async (client) => {
		await client.handshake("PLAIN");
		await client.handshake("PLAIN");
	},
	"versions twice": async (client) => {
		for (let count = 0; count < 2; count++) await client.ask("ApiVersions", 2, {});
	},
	"more than is read of strangers": async (client) => {
		await client.handshake("PLAIN");
		await client.show(Buffer.alloc(600_000));
	},
	"PLAIN, the right password": async (client) => {
		await client.login("PLAIN", "\0alice\0wonder");
		await client.metadata();
	},
	"PLAIN, for oneself": async (client) =>
		void (await client.login("PLAIN", "alice\0alice\0wonder")),
	"PLAIN, for somebody else": async (client) => {
		await client.login("PLAIN", "bob\0alice\0wonder");
		await client.metadata();
	},
	"PLAIN, a wrong password": async (client) => {
		await client.login("PLAIN", "\0alice\0wander");
		await client.metadata();
	},
	"PLAIN, an unknown user": async (client) => void (await client.login("PLAIN", "\0eve\0wonder")),
	"PLAIN, no user": async (client) => void (await client.login("PLAIN", "\0\0wonder")),
	"PLAIN, no password": async (client) => void (await client.login("PLAIN", "\0alice\0")),
	"PLAIN, one part": async (client) => void (await client.login("PLAIN", "alice")),
	"PLAIN, four parts": async (client) => void (await client.login("PLAIN", "\0alice\0wonder\0x")),
	"PLAIN, nothing": async (client) => void (await client.login("PLAIN", "")),
	"PLAIN, again": async (client) => {
		await client.login("PLAIN", "\0alice\0wonder");
		await client.show("\0alice\0wonder");
		await client.handshake("PLAIN");
		await client.metadata();
	},
	"SCRAM-SHA-256": async (client) => {
		await client.scram("256", "alice", "wonder");
		await client.metadata();
	},
	"SCRAM-SHA-512": async (client) => {
		await client.scram("512", "alice", "wonder");
		await client.metadata();
	},
	"SCRAM, a wrong password": async (client) => {
		await client.scram("256", "alice", "wander");
		await client.metadata();
	},
	"SCRAM, for oneself": async (client) => client.scram("512", "alice", "wonder", "a=alice"),
	"SCRAM, for somebody else": async (client) => client.scram("512", "alice", "wonder", "a=bob"),
	"SCRAM, an unknown user": async (client) => client.scram("256", "eve", "wonder"),
	"SCRAM, no message": async (client) => void (await client.login("SCRAM-SHA-256", "alice")),
	"SCRAM, no last message": async (client) => {
		await client.login("SCRAM-SHA-256", "n,,n=alice,r=abc");
		await client.show("c=biws,r=abc,p=AAAA");
	},
	"OAUTHBEARER, a good token": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.metadata();
		await client.show(bearer(tokens.good));
		await client.metadata();
	},
	"OAUTHBEARER, extensions": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good, "trace=a b\x01"));
	},
	"OAUTHBEARER, a token for others": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.wrong));
		await client.show("\x01");
		await client.metadata();
	},
	"OAUTHBEARER, an old token": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.old));
		await client.show("\x01");
	},
	"OAUTHBEARER, what is no token": async (client) => {
		await client.login("OAUTHBEARER", bearer("abc"));
		await client.show("\x01");
	},
	"OAUTHBEARER, a good token behind a wrong one": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.wrong));
		await client.show(bearer(tokens.good));
		await client.metadata();
	},
	"OAUTHBEARER, no message": async (client) => void (await client.login("OAUTHBEARER", "alice")),
	"OAUTHBEARER, another scheme": async (client) => {
		await client.login("OAUTHBEARER", `n,,\x01auth=Basic ${tokens.good}\x01\x01`);
	},
	"OAUTHBEARER, for somebody else": async (client) => {
		await client.login("OAUTHBEARER", `n,a=bob,\x01auth=Bearer ${tokens.good}\x01\x01`);
	},
	"again, the same": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		const beganMs = performance.now();
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.metadata();
		// Within a second of the last time.
		await client.handshake("OAUTHBEARER");
		client.isLate = performance.now() - beganMs >= 1_000;
		await client.metadata();
	},
	"again, somebody else": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.login("OAUTHBEARER", bearer(tokens.bob));
		await client.metadata();
	},
	"again, a wrong token": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.login("OAUTHBEARER", "alice");
	},
	"again, by another mechanism": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.login("PLAIN", "\0alice\0wonder");
	},
	"again, by what is not offered": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.handshake("GSSAPI");
		await client.metadata();
	},
	"again, a request in the middle": async (client) => {
		await client.login("OAUTHBEARER", bearer(tokens.good));
		await client.handshake("OAUTHBEARER");
		await client.metadata();
	},
};

describe("the same is said to Apache Kafka and to Millrace", () => {
	const atEnd = atEndOfSuite();
	let clientCount = 0;
	let ports: readonly [kafka: number, millrace: number] | undefined;

	beforeAll(async () => {
		const issuer = await TokenIssuer.start(atEnd);
		tokens = {
			good: await issuer.sign(),
			bob: await issuer.sign({ sub: "bob" }),
			wrong: await issuer.sign({ aud: "somebody" }),
			old: await issuer.sign({ exp: Math.floor(Date.now() / 1_000) - 100 }),
		};
		const kafka = await startSaslKafka(atEnd, kafkaSettings(issuer.url), issuer.url);
		if (kafka === null) return;
		await makeScramUsers(portOf(kafka.plain));
		ports = [portOf(kafka.sasl), await startMillrace(issuer.url)];
	});

	async function startMillrace(keysUrl: string): Promise<number> {
		const { dataDir } = await directoryOfUsers(USERS, atEnd);
		const broker = await BrokerProcess.start({
			dataDir,
			atEnd,
			flags: [
				...["--kafka", "127.0.0.1:0", "--kafka-security-protocol", "SASL_PLAINTEXT"],
				...["--sasl-enabled-mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"],
				...["--sasl-oauthbearer-jwks-endpoint-url", keysUrl],
				...["--sasl-oauthbearer-expected-audience", AUDIENCE],
				...["--sasl-oauthbearer-expected-issuer", ISSUER],
			],
		});
		return portOf(String(broker.kafka));
	}

	/** What a client sees. Each comes from an address of its own: who fails again waits longer. */
	async function seenBy(port: number, script: Script): Promise<readonly Seen[]> {
		const localAddress = `127.0.1.${++clientCount}`;
		const socket = connect({ port, host: "127.0.0.1", localAddress });
		await once(socket, "connect");
		const kafka = RawKafkaClient.over(socket);
		const client = new Client(kafka);
		await script(client);
		await kafka.close();
		return client.isLate ? seenBy(port, script) : client.seen;
	}

	test.for(Object.entries(scripts))("%s", async ([name, script], context) => {
		const [kafka, millrace] = ports ?? context.skip(MISSING_KAFKA_JAVA);
		const theirs = await seenBy(kafka, script);
		const ours = await seenBy(millrace, script);
		if (DIFFERENCES[name] === undefined) expect(ours).toEqual(theirs);
		else expect(ours).not.toEqual(theirs);
	});
});

const portOf = (bootstrap: string) => Number(bootstrap.slice(bootstrap.lastIndexOf(":") + 1));

function kafkaSettings(keysUrl: string): string[] {
	const listener = "listener.name.sasl_plaintext";
	const users = Object.entries(USERS).map(([user, password]) => `user_${user}="${password}"`);
	const plain = `${JAAS}.plain.PlainLoginModule required ${users.join(" ")};`;
	const scram = `${JAAS}.scram.ScramLoginModule required;`;
	const oauth = `${JAAS}.oauthbearer`;
	return [
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		`${listener}.plain.sasl.jaas.config=${plain}`,
		`${listener}.scram-sha-256.sasl.jaas.config=${scram}`,
		`${listener}.scram-sha-512.sasl.jaas.config=${scram}`,
		`${listener}.oauthbearer.sasl.jaas.config=${oauth}.OAuthBearerLoginModule required;`,
		`${listener}.oauthbearer.sasl.server.callback.handler.class=` +
			`${oauth}.OAuthBearerValidatorCallbackHandler`,
		`${listener}.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=${keysUrl}`,
		`${listener}.oauthbearer.sasl.oauthbearer.expected.audience=${AUDIENCE}`,
		`${listener}.oauthbearer.sasl.oauthbearer.expected.issuer=${ISSUER}`,
	];
}

async function makeScramUsers(port: number): Promise<void> {
	const client = await RawKafkaClient.connect(port);
	for (const [name, password] of Object.entries(USERS)) {
		for (const [mechanism, digest, bytes] of [
			[1, "sha256", 32],
			[2, "sha512", 64],
		] as const) {
			const salt = Buffer.from("salt of the test");
			const saltedPassword = pbkdf2Sync(password, salt, 4_096, bytes, digest);
			const upsertions = [{ name, mechanism, iterations: 4_096, salt, saltedPassword }];
			const asked = { deletions: [], upsertions };
			const { results } = await client.request("AlterUserScramCredentials", 0, asked as never);
			expect(results).toMatchObject([{ errorCode: 0 }]);
		}
	}
	await client.close();
}
