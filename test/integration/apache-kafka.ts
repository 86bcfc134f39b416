/**
 * A real Apache Kafka, one node of it on free ports with a directory of its own: what Millrace is
 * compared with. It takes some seconds to start.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type AtEnd, temporaryDirectory } from "../broker-process.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { kafkaJava } from "../optional-parts.ts";
import { runTool } from "./client-programs.ts";

const START_MS_MAX = 180_000;

/**
 * Starts one and gives its "127.0.0.1:PORT"; null where there is no Java or no jars. `settings` are
 * further lines of its configuration.
 * @throws with what it wrote when it ends before it serves
 */
export async function startApacheKafka(
	atEnd: AtEnd,
	settings: readonly string[] = [],
): Promise<string | null> {
	const [port, controllerPort] = (await freePorts(2)) as [number, number];
	return startOn(atEnd, settings, { port, controllerPort });
}

/**
 * The same with another listener, which asks clients who they are; gives the addresses of both.
 * Keys of tokens may come from `keysUrl`.
 */
export async function startSaslKafka(
	atEnd: AtEnd,
	settings: readonly string[],
	keysUrl: string,
): Promise<{ readonly plain: string; readonly sasl: string } | null> {
	const [port, controllerPort, saslPort] = (await freePorts(3)) as [number, number, number];
	const allowedUrls = `-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${keysUrl}`;
	const plain = await startOn(atEnd, settings, { port, controllerPort, saslPort }, allowedUrls);
	return plain === null ? null : { plain, sasl: `127.0.0.1:${saslPort}` };
}

interface Ports {
	readonly port: number;
	readonly controllerPort: number;
	readonly saslPort?: number;
}

async function startOn(
	atEnd: AtEnd,
	settings: readonly string[],
	{ port, controllerPort, saslPort }: Ports,
	javaOption = "",
): Promise<string | null> {
	const java = kafkaJava();
	if (java === null) return null;
	const directory = temporaryDirectory(atEnd);
	const configuration = join(directory, "server.properties");
	const sasl = saslPort === undefined ? "" : `,SASL_PLAINTEXT://127.0.0.1:${saslPort}`;
	const listeners = `PLAINTEXT://127.0.0.1:${port}${sasl}`;
	const lines = [
		"process.roles=broker,controller",
		"node.id=1",
		`controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
		`listeners=${listeners},CONTROLLER://127.0.0.1:${controllerPort}`,
		`advertised.listeners=${listeners}`,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT," +
			"SASL_PLAINTEXT:SASL_PLAINTEXT",
		`log.dirs=${join(directory, "data")}`,
		"offsets.topic.num.partitions=1",
		"offsets.topic.replication.factor=1",
		"group.initial.rebalance.delay.ms=0",
		...settings,
	];
	writeFileSync(configuration, lines.map((line) => `${line}\n`).join(""));
	const clusterId = randomBytes(16).toString("base64url");
	// In one word: one id in 64 begins with a dash.
	const format = ["format", `--cluster-id=${clusterId}`, "--config", configuration];
	await runTool([...java, "kafka.tools.StorageTool", ...format]);

	const [command, ...parameters] = java;
	const child = spawn(command as string, [...parameters, "kafka.Kafka", configuration], {
		stdio: ["ignore", "pipe", "pipe"],
		env: { ...process.env, ...(javaOption === "" ? {} : { JDK_JAVA_OPTIONS: javaOption }) },
	});
	let output = "";
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding("utf8").on("data", (text: string) => {
			output = `${output}${text}`.slice(-10_000);
		});
	}
	const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
	atEnd(async () => {
		// It has nothing to save, and takes seconds to end in order.
		child.kill("SIGKILL");
		await ended;
	});
	let isOver = false;
	void ended.then(() => {
		isOver = true;
	});
	for (const deadlineMs = Date.now() + START_MS_MAX; Date.now() < deadlineMs; await sleep(100)) {
		if (isOver) throw new Error(`Apache Kafka ended: ${output}`);
		if (await serves(port)) return `127.0.0.1:${port}`;
	}
	throw new Error(`Apache Kafka did not come up in ${START_MS_MAX} ms: ${output}`);
}

/** Whether it answers and knows itself as a broker: it listens a little earlier. */
async function serves(port: number): Promise<boolean> {
	let client: RawKafkaClient | undefined;
	try {
		client = await RawKafkaClient.connect(port);
		const { brokers } = await client.request("Metadata", 12, { topics: [] });
		return (brokers as readonly unknown[]).length === 1;
	} catch {
		// Refused or ended: not yet.
		return false;
	} finally {
		await client?.close();
	}
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
	const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
	const ports = await Promise.all(
		servers.map(
			(server) =>
				new Promise<number>((resolve) => {
					server.once("listening", () => {
						const address = server.address();
						if (address === null || typeof address === "string") throw new Error("no port");
						resolve(address.port);
					});
				}),
		),
	);
	await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
	return ports;
}
