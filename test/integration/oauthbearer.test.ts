/** Real clients that log in by tokens, and again when those run out (KIP-255, KIP-368). */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import kafkajs from "kafkajs";
import { beforeAll, describe, expect, test } from "vitest";

import { atEndOfSuite, BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";
import { kafkaJava, MISSING_KAFKA_JAVA, missingPython, pythonBinary } from "../optional-parts.ts";
import { AUDIENCE, ISSUER, TokenIssuer } from "../token-issuer.ts";
import { runTool } from "./client-programs.ts";

const TOKEN_SECONDS = 6;

/** Sends for longer than a token holds, with a new one each time it is asked for one. */
const PYTHON = `
import json, sys, time
from confluent_kafka import Producer
bootstrap, tokens = sys.argv[1], json.loads(sys.argv[2])
asked, failures = [], []
def login(_):
    token = tokens[min(len(asked), len(tokens) - 1)]
    asked.append(token)
    return token["token"], token["expires"]
producer = Producer({
    "bootstrap.servers": bootstrap,
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "OAUTHBEARER",
    "oauth_cb": login,
})
ends = time.time() + float(sys.argv[3])
while time.time() < ends:
    on_delivery = lambda error, _: error and failures.append(str(error))
    producer.produce("python", b"x", on_delivery=on_delivery)
    producer.flush(60)
    time.sleep(0.2)
print(len(asked) > 1, failures, len(producer))
`;

/** Sends one record, and tells how many are left. */
const PYTHON_OIDC = `
import json, sys
from confluent_kafka import Producer
producer = Producer(json.loads(sys.argv[1]))
producer.produce("oidc", b"x")
print(producer.flush(120))
`;

describe("real clients", () => {
	const atEnd = atEndOfSuite();
	let issuer: TokenIssuer;
	let broker: BrokerProcess;
	let bootstrap: string;

	beforeAll(async () => {
		issuer = await TokenIssuer.start(atEnd);
		broker = await BrokerProcess.start({
			atEnd,
			flags: [
				...["--kafka", "127.0.0.1:0", "--kafka-security-protocol", "SASL_PLAINTEXT"],
				...["--sasl-enabled-mechanisms", "OAUTHBEARER", "--log-level", "trace"],
				...["--sasl-oauthbearer-jwks-endpoint-url", issuer.url],
				...["--sasl-oauthbearer-expected-audience", AUDIENCE],
				...["--sasl-oauthbearer-expected-issuer", ISSUER],
				...["--sasl-oauthbearer-clock-skew-seconds", "0"],
			],
		});
		bootstrap = String(broker.kafka);
	});

	async function topicsBy(token: string): Promise<number> {
		const admin = new kafkajs.Kafka({
			...KAFKAJS_SETTINGS,
			brokers: [bootstrap],
			sasl: { mechanism: "oauthbearer", oauthBearerProvider: async () => ({ value: token }) },
			retry: { retries: 0 },
		}).admin();
		await admin.connect();
		try {
			return (await admin.describeCluster()).brokers.length;
		} finally {
			await admin.disconnect();
		}
	}

	test("kafkajs", async () => {
		expect(await topicsBy(await issuer.sign())).toBe(1);
		await expect(topicsBy(await issuer.sign({ aud: "somebody" }))).rejects.toThrow();
	});

	test("confluent-kafka, which renews its token on the same connection", async (context) => {
		const python =
			pythonBinary("confluent_kafka") ?? context.skip(missingPython("confluent_kafka"));
		const expires = Math.floor(Date.now() / 1_000) + TOKEN_SECONDS;
		const tokens = [
			{ token: await issuer.sign({ exp: expires }), expires },
			{ token: await issuer.sign({ exp: expires + 300 }), expires: expires + 300 },
		];
		const seconds = `${2 * TOKEN_SECONDS}`;
		const output = await runTool([
			python,
			"-c",
			PYTHON,
			bootstrap,
			JSON.stringify(tokens),
			seconds,
		]);
		expect(output.trim()).toBe("True [] 0");
	});

	test("librdkafka, with a token that it gets from the issuer itself", async (context) => {
		const python =
			pythonBinary("confluent_kafka") ?? context.skip(missingPython("confluent_kafka"));
		const settings = {
			"bootstrap.servers": bootstrap,
			"security.protocol": "SASL_PLAINTEXT",
			"sasl.mechanism": "OAUTHBEARER",
			"sasl.oauthbearer.method": "oidc",
			"sasl.oauthbearer.token.endpoint.url": issuer.tokenUrl,
			"sasl.oauthbearer.client.id": "client",
			"sasl.oauthbearer.client.secret": "any",
		};
		const output = await runTool([python, "-c", PYTHON_OIDC, JSON.stringify(settings)]);
		expect(output.trim()).toBe("0");
	});

	test("Kafka's tools, with a token from a file", async (context) => {
		const java = kafkaJava() ?? context.skip(MISSING_KAFKA_JAVA);
		const directory = temporaryDirectory();
		const list = async (token: string) => {
			const tokenFile = join(directory, "token");
			writeFileSync(tokenFile, token);
			const { href } = pathToFileURL(tokenFile);
			const file = join(directory, "client.properties");
			const oauth = "org.apache.kafka.common.security.oauthbearer";
			const lines = [
				"security.protocol=SASL_PLAINTEXT",
				"sasl.mechanism=OAUTHBEARER",
				`sasl.jaas.config=${oauth}.OAuthBearerLoginModule required;`,
				`sasl.login.callback.handler.class=${oauth}.OAuthBearerLoginCallbackHandler`,
				`sasl.oauthbearer.token.endpoint.url=${href}`,
				`sasl.oauthbearer.jwt.retriever.class=${oauth}.FileJwtRetriever`,
			];
			writeFileSync(file, lines.join("\n"));
			const [command = "", ...options] = java;
			return runTool([
				...[command, `-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${href}`, ...options],
				...["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", bootstrap],
				...["--command-config", file, "--create", "--if-not-exists", "--topic", "java"],
			]);
		};
		expect(await list(await issuer.sign())).toContain("Created topic java");
		await expect(list(await issuer.sign({ aud: "somebody" }))).rejects.toThrow(/invalid_token/);
	});

	test("leave no token in the log", async () => {
		const token = await issuer.sign();
		const wrong = await issuer.sign({ aud: "somebody" });
		await topicsBy(token);
		await expect(topicsBy(wrong)).rejects.toThrow();
		const { stderr } = await broker.stop();
		expect(stderr).toContain("ready");
		for (const secret of [token, wrong]) {
			for (const part of secret.split(".").slice(1)) expect(stderr).not.toContain(part);
		}
	});
});
