/**
 * The promise: of a client that is gone without a word - its cable pulled, its machine without
 * power, its process standing still - no connection and no membership stays behind, on any
 * listener, while whoever is still there stays connected.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { LIMITS } from "../../src/limits.ts";
import { BrokerProcess } from "../broker-process.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";
import { RawClient } from "../websocket/raw-client.ts";

const PROGRAM = fileURLToPath(new URL("programs/stay-connected.mjs", import.meta.url));

const KAFKA_IDLE_MS_MAX = 5_000;
/** What is documented, and room for a machine that is busy with something else. */
const GONE_MS_MAX = LIMITS.idleMsMax + LIMITS.pingAnswerMsMax + 90_000;
const TEST_MS_MAX = GONE_MS_MAX + 120_000;

/** From this long on (hours) the system looks by itself whether a silent peer is there. */
const SYSTEM_KEEP_ALIVE_MS = 7_200_000;
const KEEP_ALIVE_TIMER = "02";
const JIFFY_MS = 10;

/** Where broker and clients reach each other. */
interface Network {
	/** Where the broker listens. */
	readonly host: string;
	/** What a client's command line begins with. */
	readonly prefix: readonly string[];
	/** From here on no packet passes in either direction. */
	cut(): void;
}

const ip = (...words: string[]) => {
	const { status, stderr } = spawnSync("ip", words, { encoding: "utf8" });
	if (status !== 0) throw new Error(`ip ${words.join(" ")}: ${stderr}`);
};

/** Why there can be no network of a test's own; null when there can. */
function missingNetworks(): string | null {
	if (process.platform !== "linux") return "network namespaces are Linux's";
	const name = `millrace-${process.pid}-probe`;
	const made = spawnSync("ip", ["netns", "add", name]);
	if (made.status !== 0) return "network namespaces need root and the command ip";
	ip("netns", "delete", name);
	return null;
}

/** A network of two: this machine at .1, a namespace that clients run in at .2. */
function makeNetwork(index: number): Network {
	const name = `millrace-${process.pid}-${index}`;
	const [ours, theirs] = [
		`mr${process.pid % 100_000}-${index}a`,
		`mr${process.pid % 100_000}-${index}b`,
	];
	const net = `198.18.${(process.pid % 125) * 2 + index}`;
	ip("netns", "add", name);
	onTestFinished(() => ip("netns", "delete", name));
	ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name);
	// With one end of the cable goes the other. The namespace itself lives on for a while.
	onTestFinished(() => ip("link", "delete", ours));
	ip("address", "add", `${net}.1/24`, "dev", ours);
	ip("link", "set", ours, "up");
	ip("-n", name, "address", "add", `${net}.2/24`, "dev", theirs);
	ip("-n", name, "link", "set", theirs, "up");
	return {
		host: `${net}.1`,
		prefix: ["ip", "netns", "exec", name],
		cut: () => ip("-n", name, "link", "set", theirs, "down"),
	};
}

const LOOPBACK: Network = { host: "127.0.0.1", prefix: [], cut: () => undefined };

/** How clients vanish. */
const WAYS: readonly [
	how: string,
	missing: () => string | null,
	network: (index: number) => Network,
][] = [
	["whose network is cut", missingNetworks, makeNetwork],
	["whose process stands still", () => null, () => LOOPBACK],
];

/** Sockets that a process has open, listening ones included. */
function socketCount(pid: number): number {
	const directory = `/proc/${pid}/fd`;
	return readdirSync(directory).filter((name) => isSocket(`${directory}/${name}`)).length;
}

function isSocket(path: string): boolean {
	try {
		return readlinkSync(path).startsWith("socket:");
	} catch {
		// Closed since it was listed.
		return false;
	}
}

async function startClient({ prefix }: Network, broker: BrokerProcess): Promise<ChildProcess> {
	const program = [process.execPath, PROGRAM, broker.url, broker.kafka as string, "topic"];
	const [command = "", ...words] = [...prefix, ...program];
	const child = spawn(command, words, { stdio: ["ignore", "pipe", "inherit"] });
	const ended = once(child, "close");
	onTestFinished(async () => {
		child.kill("SIGKILL");
		await ended;
	});
	const said = await Promise.race([once(child.stdout as NodeJS.ReadableStream, "data"), ended]);
	expect(`${said[0]}`).toBe("connected\n");
	return child;
}

async function memberCount(client: Client, group: string): Promise<number> {
	return (await client.groups.describe(group)).members.length;
}

describe.each(TRANSPORTS)("over %s", (transport) => {
	requireTransport(transport);

	test.for(WAYS)("clients %s", { timeout: TEST_MS_MAX }, async ([, missing, network], context) => {
		const reason = RUNS_LONG_TESTS ? missing() : TOO_LONG;
		if (reason !== null) context.skip(reason);
		const { host, ...way } = network(TRANSPORTS.indexOf(transport));
		const broker = await BrokerProcess.start({
			flags: [
				...["--websocket-transport", transport],
				...["--websocket", `${host}:0`, "--kafka", `${host}:0`],
				...["--allow-anonymous-remote", "true"],
				...["--connections-max-idle-ms", `${KAFKA_IDLE_MS_MAX}`],
			],
		});
		const client = await connect(broker.url);
		onTestFinished(() => client.close());
		await client.topics.create("topic");
		await client.producer().send({ topic: "topic", value: "one" });
		const silent = await RawClient.greeted(broker.url);
		const before = socketCount(broker.pid);

		const vanishing = await startClient({ host, ...way }, broker);
		// What the system has accepted the broker may yet have to.
		const open = () => socketCount(broker.pid);
		await expect.poll(open, { timeout: 20_000 }).toBeGreaterThanOrEqual(before + 4);
		expect(await memberCount(client, "vanishing-websocket")).toBe(1);
		expect(await memberCount(client, "vanishing-kafka")).toBe(1);
		way.cut();
		vanishing.kill("SIGSTOP");

		await expect.poll(open, { timeout: GONE_MS_MAX }).toBeLessThanOrEqual(before);
		for (const group of ["vanishing-websocket", "vanishing-kafka"]) {
			const members = () => memberCount(client, group);
			await expect.poll(members, { timeout: GONE_MS_MAX }).toBe(0);
		}
		// It has said nothing for as long, but its WebSocket answers pings.
		await silent.ping();
		silent.close();
		const { code, stderr } = await broker.stop();
		expect(code).toBe(0);
		expect(stderr.split("\n").filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
	});
});

test("the system looks whether silent Kafka clients are still there", async (context) => {
	if (process.platform !== "linux") context.skip("/proc/net/tcp is Linux's");
	const broker = await BrokerProcess.start();
	const port = Number(broker.kafka?.split(":").at(-1));
	const client = await RawKafkaClient.connect(port);
	await client.request("ApiVersions", 0);
	const ends = () => {
		const [local, remote] = [port, client.socket.localPort as number].map(
			(number) => `:${number.toString(16).toUpperCase().padStart(4, "0")}`,
		) as [string, string];
		const rows = readFileSync("/proc/net/tcp", "utf8")
			.split("\n")
			.map((row) => row.trim().split(/\s+/));
		const row = rows.find((fields) => fields[1]?.endsWith(local) && fields[2]?.endsWith(remote));
		const [timer, when = ""] = row?.[5]?.split(":") ?? [];
		return { timer, ms: Number.parseInt(when, 16) * JIFFY_MS };
	};
	await expect.poll(() => ends().timer, { timeout: 20_000 }).toBe(KEEP_ALIVE_TIMER);
	expect(ends().ms).toBeLessThan(SYSTEM_KEEP_ALIVE_MS / 60);
	await client.close();
	expect((await broker.stop()).code).toBe(0);
});
