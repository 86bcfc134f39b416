/** Real clients over TLS, with each mechanism, with right and with wrong passwords. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import kafkajs from "kafkajs";
import { beforeAll, describe, expect, test } from "vitest";

import { atEndOfSuite, BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";
import {
	hasOpenssl,
	KCAT_SECONDS_MAX,
	kafkaJava,
	kcatBinary,
	MISSING_KAFKA_JAVA,
	MISSING_KCAT,
	missingPython,
	pythonBinary,
} from "../optional-parts.ts";
import { directoryOfUsers } from "../users.ts";
import { runTool } from "./client-programs.ts";

const MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;
const PASSWORD = "correct,horse=battery";

const PYTHON = `
import sys, json
from confluent_kafka import Producer, Consumer
settings = json.loads(sys.argv[1])
failures = []
producer = Producer(settings)
producer.produce("python", b"from python", on_delivery=lambda error, _: failures.append(error))
producer.flush(120)
consumer = Consumer({**settings, "group.id": sys.argv[2], "auto.offset.reset": "earliest"})
consumer.subscribe(["python"])
message = consumer.poll(120)
consumer.close()
print(failures, message.value().decode())
`;

describe.runIf(hasOpenssl())("real clients", () => {
	const atEnd = atEndOfSuite();
	let authority: CertificateAuthority;
	let broker: BrokerProcess;
	let bootstrap: string;
	let dataDir: string;

	beforeAll(async () => {
		authority = new CertificateAuthority(atEnd);
		({ dataDir } = await directoryOfUsers({ alice: PASSWORD }, atEnd));
		broker = await BrokerProcess.start({
			dataDir,
			atEnd,
			flags: [
				...["--kafka", "127.0.0.1:0", "--kafka-security-protocol", "SASL_SSL"],
				...["--ssl-keystore-location", authority.issue("/CN=broker").keystore],
				...["--log-level", "trace", "--group-initial-rebalance-delay-ms", "0"],
			],
		});
		bootstrap = String(broker.kafka);
	});

	const librdkafka = (mechanism: string, password = PASSWORD) => ({
		"bootstrap.servers": bootstrap,
		"security.protocol": "SASL_SSL",
		"sasl.mechanism": mechanism,
		"sasl.username": "alice",
		"sasl.password": password,
		"ssl.ca.location": authority.file,
	});

	function kcat(context: { skip(reason: string): never }, settings: Record<string, string>) {
		const binary = kcatBinary() ?? context.skip(MISSING_KCAT);
		return [
			...[binary, "-q", "-m", KCAT_SECONDS_MAX],
			...Object.entries(settings).flatMap(([key, value]) => ["-X", `${key}=${value}`]),
		];
	}

	// By SCRAM, too: librdkafka 2.0, which Debian's kcat has, sends its own nonce back twice.
	test.for(MECHANISMS)("kcat by %s", async (mechanism, context) => {
		const command = kcat(context, librdkafka(mechanism));
		await runTool([...command, "-P", "-t", mechanism], "over TLS\n");
		expect(await runTool([...command, "-C", "-e", "-t", mechanism])).toBe("over TLS\n");
	});

	test("kcat with a wrong password gets nothing", async (context) => {
		const command = kcat(context, librdkafka("PLAIN", "battery staple"));
		// Of two such flags the last counts.
		const listing = runTool([...command, "-L", "-m", "3"]);
		await expect(listing).rejects.toThrow(/Failed to acquire metadata/);
	});

	test.for(MECHANISMS)("confluent-kafka by %s", async (mechanism, context) => {
		const python =
			pythonBinary("confluent_kafka") ?? context.skip(missingPython("confluent_kafka"));
		const settings = JSON.stringify(librdkafka(mechanism));
		const output = await runTool([python, "-c", PYTHON, settings, `group-${mechanism}`]);
		expect(output.trim()).toBe("[None] from python");
	});

	async function kafkajsBy(mechanism: string, username: string, password: string) {
		const admin = new kafkajs.Kafka({
			...KAFKAJS_SETTINGS,
			brokers: [bootstrap],
			ssl: { ca: [readFileSync(authority.file)] },
			sasl: { mechanism: mechanism.toLowerCase() as "plain", username, password },
			retry: { retries: 0 },
		}).admin();
		await admin.connect();
		try {
			return (await admin.describeCluster()).brokers.length;
		} finally {
			await admin.disconnect();
		}
	}

	test.each(MECHANISMS)("kafkajs by %s", async (mechanism) => {
		expect(await kafkajsBy(mechanism, "alice", PASSWORD)).toBe(1);
		await expect(kafkajsBy(mechanism, "alice", "wrong")).rejects.toThrow(/nvalid/);
	});

	test("kafka-configs makes users, who then log in", async (context) => {
		const java = kafkaJava() ?? context.skip(MISSING_KAFKA_JAVA);
		const file = join(temporaryDirectory(), "client.properties");
		writeFileSync(
			file,
			[
				"security.protocol=SASL_SSL",
				"sasl.mechanism=SCRAM-SHA-512",
				"ssl.truststore.type=PEM",
				`ssl.truststore.location=${authority.file}`,
				"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\",
				`  username="alice" password="${PASSWORD}";`,
			].join("\n"),
		);
		const configs = (...parameters: string[]) =>
			runTool([
				...[...java, "kafka.admin.ConfigCommand", "--bootstrap-server", bootstrap],
				...["--command-config", file, "--entity-type", "users", "--entity-name", "bob"],
				...parameters,
			]);
		await configs("--alter", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=builder]");
		expect(await kafkajsBy("SCRAM-SHA-256", "bob", "builder")).toBe(1);
		await configs("--alter", "--delete-config", "SCRAM-SHA-256");
		await expect(kafkajsBy("SCRAM-SHA-256", "bob", "builder")).rejects.toThrow(/nvalid/);
	});

	test("leave no password in the log, and none in the data directory", async () => {
		const { stderr } = await broker.stop();
		expect(stderr).toContain("ready");
		for (const secret of [PASSWORD, "battery staple", "builder"]) {
			expect(stderr).not.toContain(secret);
		}
		const listed = await runCommand(["user", "list", "--data-dir", dataDir]);
		expect(listed.stdout.toString()).toBe("alice\n");
		const removed = await runCommand(["user", "remove", "nobody", "--data-dir", dataDir]);
		expect(removed.code).toBe(2);
	});
});
