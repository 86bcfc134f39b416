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

const START_MS_MAX = 120_000;

/**
 * Starts one and gives its "127.0.0.1:PORT"; null where there is no Java or no jars. `settings` are
 * further lines of its configuration.
 * @throws with what it wrote when it ends before it serves
 */
export async function startApacheKafka(
	atEnd: AtEnd,
	settings: readonly string[] = [],
): Promise<string | null> {
	const java = kafkaJava();
	if (java === null) return null;
	const directory = temporaryDirectory(atEnd);
	const [port, controllerPort] = await freePorts(2);
	const configuration = join(directory, "server.properties");
	const listener = `PLAINTEXT://127.0.0.1:${port}`;
	const lines = [
		"process.roles=broker,controller",
		"node.id=1",
		`controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
		`listeners=${listener},CONTROLLER://127.0.0.1:${controllerPort}`,
		`advertised.listeners=${listener}`,
		"controller.listener.names=CONTROLLER",
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
		if (await serves(port as number)) return `127.0.0.1:${port}`;
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
