/** What a running broker logs: of which areas how much, and never what is secret. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import kafkajs from "kafkajs";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { LOG_AREAS } from "../../src/log-levels.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { hasOpenssl } from "../optional-parts.ts";

type Line = Readonly<Record<string, unknown>>;

const BROKER_LOGGER = 8;
const [SET, DELETE] = [0, 1];

function linesOf(stderr: string): Line[] {
	const lines = stderr.split("\n").filter((line) => line.startsWith("{"));
	return lines.map((line) => JSON.parse(line) as Line);
}

const kafkaPort = ({ kafka }: BrokerProcess) => Number(kafka?.split(":").at(-1));

/** Asks something, and leaves. */
async function visit(broker: BrokerProcess): Promise<void> {
	const client = await RawKafkaClient.connect(kafkaPort(broker));
	await client.request("ApiVersions", 0);
	await client.close();
}

test("areas have levels of their own, which the file and Kafka clients change", async () => {
	const file = join(temporaryDirectory(), "millrace.yaml");
	writeFileSync(file, "log.level: info\n");
	const broker = await BrokerProcess.start({ flags: ["--config", file] });
	const client = await RawKafkaClient.connect(kafkaPort(broker));
	const levelOf = async (name: string) => {
		const resources = [
			{ resourceType: BROKER_LOGGER, resourceName: "1", configurationKeys: [name] },
		];
		const { results } = await client.request("DescribeConfigs", 4, { resources });
		const [{ configs }] = results as [{ configs: { value: string }[] }];
		return configs[0]?.value;
	};
	const alter = async (...configs: Fields[]) => {
		const resources = [{ resourceType: BROKER_LOGGER, resourceName: "1", configs }];
		const answer = await client.request("IncrementalAlterConfigs", 1, { resources });
		expect(answer.responses).toMatchObject([{ errorCode: 0 }]);
	};
	await visit(broker);
	writeFileSync(file, "log.level: warn\nlog.levels: [kafka=debug]\n");
	broker.signal("SIGHUP");
	await expect.poll(() => levelOf("kafka")).toBe("DEBUG");
	expect(await levelOf("websocket")).toBe("WARN");
	await visit(broker);
	await alter({ name: "kafka", configOperation: SET, value: "TRACE" });
	await visit(broker);
	await alter({ name: "kafka", configOperation: DELETE, value: null });
	expect(await levelOf("kafka")).toBe("DEBUG");
	await client.close();
	const lines = linesOf((await broker.stop()).stderr);
	for (const { area } of lines) expect(LOG_AREAS).toContain(area);
	expect(lines).toContainEqual(expect.objectContaining({ area: "broker", msg: "ready" }));
	const opened = lines.filter(({ msg }) => msg === "connection opened");
	expect(opened).toMatchObject([
		{ area: "kafka", level: "debug" },
		{ area: "kafka", level: "debug" },
	]);
	const requests = lines.filter(({ msg, apiKey }) => msg === "request" && apiKey === 18);
	expect(requests).toMatchObject([{ area: "kafka", level: "trace" }]);
	expect(lines.filter(({ area, level }) => area === "websocket" && level === "debug")).toEqual([]);
});

test("a login that is refused is in the log, also where there is an audit log", async () => {
	const flags = ["--audit-log-enable", "true"];
	const broker = await BrokerProcess.start({ flags });
	const authorization = `Basic ${Buffer.from("alice:wrong").toString("base64")}`;
	const { status } = await fetch(`${broker.http}/v1/topics`, { headers: { authorization } });
	expect(status).toBe(401);
	const refusal = { mechanism: "password" };
	expect(linesOf((await broker.stop()).stderr)).toContainEqual(
		expect.objectContaining({ area: "security", msg: "a login was refused", ...refusal }),
	);
	const again = await BrokerProcess.start({ dataDir: broker.dataDir });
	const client = await connect(again.url);
	const consumer = client.consumer<Uint8Array>({
		topics: "__audit",
		from: "earliest",
		codec: "bytes",
	});
	for await (const { value } of consumer) {
		expect(JSON.parse(Buffer.from(value ?? []).toString())).toMatchObject({
			operation: "login",
			...refusal,
		});
		break;
	}
	await client.close();
});

test.runIf(hasOpenssl())("nothing secret is ever logged", async () => {
	const directory = temporaryDirectory();
	const dataDir = join(directory, "data");
	const secretFile = (name: string, text: string) => {
		const path = join(directory, name);
		writeFileSync(path, text);
		return path;
	};
	const secrets = {
		password: "correct-horse-8461",
		wrong: "battery-staple-8462",
		keyPassword: "key-password-8463",
		token: "token-8464-8464",
		later: "another-password-8465",
	};
	await (await BrokerProcess.start({ dataDir })).stop();
	const passwordFile = secretFile("password", secrets.password);
	const setUser = ["user", "set", "alice", "--data-dir", dataDir, "--password-file", passwordFile];
	expect(await runCommand(setUser)).toMatchObject({ code: 0 });
	const authority = new CertificateAuthority();
	const { keystore } = authority.issue("/CN=broker", secrets.keyPassword);
	const config = secretFile("millrace.yaml", "log.level: trace\n");
	const broker = await BrokerProcess.start({
		dataDir,
		flags: [
			...["--config", config, "--kafka-security-protocol", "SASL_SSL"],
			...["--ssl-keystore-location", keystore],
			...["--ssl-key-password-file", secretFile("key-password", secrets.keyPassword)],
		],
	});
	const logIn = async (mechanism: string, password: string) => {
		const admin = new kafkajs.Kafka({
			brokers: [broker.kafka as string],
			ssl: { ca: [readFileSync(authority.file)] },
			sasl: { mechanism: mechanism as "plain", username: "alice", password },
			// More than a busy machine takes: by itself it gives up a connection in a second.
			connectionTimeout: 60_000,
			authenticationTimeout: 60_000,
			logLevel: kafkajs.logLevel.NOTHING,
			retry: { retries: 0 },
		}).admin();
		await admin.connect();
		await admin.disconnect();
	};
	for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"]) {
		await logIn(mechanism, secrets.password);
		await expect(logIn(mechanism, secrets.wrong)).rejects.toThrow();
	}
	const client = await connect(broker.url, { token: secrets.token });
	await client.topics.list();
	await client.close();
	// What cannot be used is told of, too, without what it says.
	writeFileSync(join(directory, "key-password"), secrets.later);
	broker.signal("SIGHUP");
	await expect
		.poll(async () => (await fetch(`${broker.http}/metrics`)).text())
		.toMatch(/^millrace_certificate_reload_failures_total [1-9]/m);
	const { stderr } = await broker.stop();
	expect(linesOf(stderr)).toContainEqual(expect.objectContaining({ level: "trace" }));
	for (const secret of Object.values(secrets)) {
		expect(stderr).not.toContain(secret);
		expect(stderr).not.toContain(Buffer.from(secret).toString("base64"));
	}
	const key = readFileSync(keystore, "utf8").split("\n");
	for (const line of key.filter((text) => text.length >= 60)) expect(stderr).not.toContain(line);
});
