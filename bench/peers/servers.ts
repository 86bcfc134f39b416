/** The brokers' processes: Millrace, Apache Kafka, nats-server, redis-server. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, connect as tcpConnect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";

import { endWithRun } from "../harness/interruption.ts";
import type { Durability } from "../harness/scenario.ts";
import { measureProcess } from "../harness/server-process.ts";
import type { Endpoint } from "./contender.ts";
import { kafkaJava, NATS_SERVER, REDIS_SERVER } from "./installed.ts";
import { runToEnd } from "./load-process.ts";

const START_MS_MAX = 120_000;
const START_ATTEMPTS = 2;
const STOP_MS_MAX = 15_000;
const RETRY_MS = 100;

/** What is kept of what a server writes, to be told when it fails. */
const OUTPUT_CHARACTERS_MAX = 10_000;

export interface PeerServer extends Endpoint {
	stop(): Promise<void>;
}

export interface NatsServer extends PeerServer {
	readonly websocket: string;
}

/** One node that is broker and controller, with its defaults but for what is named here. */
export function startKafka(directory: string): Promise<PeerServer> {
	return onFreePorts(2, (ports) => startKafkaOn(directory, ports));
}

async function startKafkaOn(
	directory: string,
	[port, controllerPort]: readonly number[],
): Promise<PeerServer> {
	const address = `127.0.0.1:${port}`;
	const configuration = join(directory, "server.properties");
	const lines = [
		"process.roles=broker,controller",
		"node.id=1",
		`controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
		`listeners=PLAINTEXT://${address},CONTROLLER://127.0.0.1:${controllerPort}`,
		`advertised.listeners=PLAINTEXT://${address}`,
		"controller.listener.names=CONTROLLER",
		`log.dirs=${join(directory, "data")}`,
		"offsets.topic.num.partitions=1",
		"offsets.topic.replication.factor=1",
		"group.initial.rebalance.delay.ms=0",
		// What a round has stored is gone before the next begins.
		"log.segment.delete.delay.ms=0",
	];
	await writeFile(configuration, `${lines.join("\n")}\n`);
	const clusterId = randomBytes(16).toString("base64url");
	const tool = [...kafkaJava("256m"), "kafka.tools.StorageTool", "format"];
	// In one word: one id in 64 begins with a dash.
	const formatted = [`--cluster-id=${clusterId}`, "--ignore-formatted"];
	await runToEnd([...tool, ...formatted, "--config", configuration]);
	// 1 GiB is what Kafka's script gives its broker.
	return startPeer([...kafkaJava("1g"), "kafka.Kafka", configuration], address, async () => {
		const kafka = new Kafka({
			brokers: [address],
			logLevel: logLevel.NOTHING,
			retry: { retries: 0 },
		});
		const admin = kafka.admin();
		try {
			await admin.connect();
			return (await admin.describeCluster()).brokers.length === 1;
		} finally {
			await admin.disconnect();
		}
	});
}

/** What `sync_interval` is, by durability: NATS has one for a whole server. */
export const NATS_SYNC_INTERVALS = { written: "2m", flushed: "always" } as const;

/** A server with JetStream. Its address is for native clients; `websocket` is for the others. */
export function startNats(directory: string, durability: Durability): Promise<NatsServer> {
	return onFreePorts(2, (ports) => startNatsOn(directory, durability, ports));
}

async function startNatsOn(
	directory: string,
	durability: Durability,
	[port, websocketPort]: readonly number[],
): Promise<NatsServer> {
	const address = `127.0.0.1:${port}`;
	const configuration = join(directory, "nats.conf");
	const store = JSON.stringify(join(directory, "data"));
	const lines = [
		`listen: "${address}"`,
		`websocket { listen: "127.0.0.1:${websocketPort}", no_tls: true }`,
		`jetstream { store_dir: ${store}, sync_interval: ${NATS_SYNC_INTERVALS[durability]} }`,
	];
	await writeFile(configuration, `${lines.join("\n")}\n`);
	const server = await startPeer([NATS_SERVER, "-c", configuration], address, () =>
		accepts(websocketPort as number),
	);
	return { ...server, websocket: `ws://127.0.0.1:${websocketPort}` };
}

/**
 * A server with an append-only file and no snapshots. The file is not rewritten while it is
 * measured: that would cost Redis alone.
 */
export function startRedis(directory: string): Promise<PeerServer> {
	return onFreePorts(1, (ports) => startRedisOn(directory, ports));
}

async function startRedisOn(directory: string, [port]: readonly number[]): Promise<PeerServer> {
	const data = join(directory, "data");
	await mkdir(data, { recursive: true });
	const options = {
		port,
		bind: "127.0.0.1",
		dir: data,
		save: "",
		appendonly: "yes",
		"auto-aof-rewrite-percentage": 0,
	};
	const command = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
	return startPeer([REDIS_SERVER, ...command], `127.0.0.1:${port}`, () => accepts(port as number));
}

/** Starts a server and waits until `serves` resolves to true; a rejection means: not yet. */
async function startPeer(
	[command, ...parameters]: readonly string[],
	address: string,
	serves: () => Promise<boolean>,
): Promise<PeerServer> {
	const child = endWithRun(
		spawn(command as string, parameters, { stdio: ["ignore", "pipe", "pipe"] }),
	);
	let output = "";
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding("utf8").on("data", (text: string) => {
			output = `${output}${text}`.slice(-OUTPUT_CHARACTERS_MAX);
		});
	}
	let isOver = false;
	const ended = once(child, "close").finally(() => {
		isOver = true;
	});
	const deadlineMs = Date.now() + START_MS_MAX;
	while (!isOver && Date.now() < deadlineMs) {
		const isServing = await serves().catch(() => false);
		if (isServing && !isOver) {
			const pid = child.pid as number;
			return { address, measure: () => measureProcess(pid), stop: () => stop(child, ended) };
		}
		await sleep(RETRY_MS);
	}
	await stop(child, ended);
	throw new Error(`${command} did not come up: ${output}`);
}

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
	child.kill("SIGTERM");
	const cutOff = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
	await ended;
	clearTimeout(cutOff);
}

function accepts(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = tcpConnect(port, "127.0.0.1");
		socket.once("connect", () => {
			socket.destroy();
			resolve(true);
		});
		socket.once("error", () => resolve(false));
	});
}

/** Starts a server, on other ports where it fails: somebody may have taken one before it did. */
async function onFreePorts<Server>(
	count: number,
	start: (ports: readonly number[]) => Promise<Server>,
): Promise<Server> {
	const errors: unknown[] = [];
	for (let attempt = 1; attempt <= START_ATTEMPTS; attempt++) {
		try {
			return await start(await freePorts(count));
		} catch (error) {
			errors.push(error);
		}
	}
	throw new AggregateError(errors, `it did not start, ${START_ATTEMPTS} times: ${errors[0]}`);
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
	const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
	await Promise.all(servers.map((server) => once(server, "listening")));
	const ports = servers.map((server) => {
		const address = server.address();
		if (address === null || typeof address === "string") throw new Error("a server has no port");
		return address.port;
	});
	await Promise.all(servers.map((server) => once(server.close(), "close")));
	return ports;
}
