/**
 * The promise: clients that send a byte now and then, that say nothing, or that come in thousands
 * cost a bounded amount of memory, and others are served meanwhile.
 */
import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { BrokerProcess, type BrokerProcessOptions } from "../broker-process.ts";
import { encodeRequest } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";
import { RawClient } from "../websocket/raw-client.ts";

const SLOW_CLIENTS = 100;
const BYTE_EVERY_MS = 100;
/** How long slow ones are watched. */
const SLOW_MS = 3_000;
/** Connections that come at about the same time. */
const FLOOD = 1_000;
/** What a client that has sent nothing whole may cost. */
const SILENT_BYTES_MAX = 65_536;
/** What comes and goes whoever is connected: V8's young generation, and pools. */
const ANY_LOAD_BYTES = 100 * 1_048_576;

const kafkaPort = ({ kafka }: BrokerProcess) => Number(kafka?.split(":").at(-1));

/** Starts a broker, and sees at the end that nothing went wrong in it. */
async function startBroker(transport: string, options: BrokerProcessOptions = {}) {
	const { flags = [] } = options;
	const broker = await BrokerProcess.start({
		...options,
		flags: ["--websocket-transport", transport, ...flags],
	});
	const end = async () => {
		const { code, stderr } = await broker.stop();
		const failures = stderr.split("\n").filter((line) => /"level":"(error|fatal)"/.test(line));
		expect([code, failures]).toEqual([0, []]);
	};
	return { broker, end };
}

async function open(port: number): Promise<Socket> {
	const socket = await openSilent(port);
	socket.resume();
	return socket;
}

/** Opens a connection whose end is noticed, and nothing else that comes. */
async function openSilent(port: number): Promise<Socket> {
	const socket = connectSocket(port, "127.0.0.1");
	socket.on("error", () => undefined);
	onTestFinished(() => void socket.destroy());
	await once(socket, "connect");
	return socket;
}

/** Opens many connections, not all at once: the backlog is not what is tested. */
async function openMany(port: number, count: number): Promise<Socket[]> {
	const sockets: Socket[] = [];
	while (sockets.length < count) {
		const opening = Array.from({ length: Math.min(100, count - sockets.length) }, () => open(port));
		sockets.push(...(await Promise.all(opening)));
	}
	return sockets;
}

/** Both protocols and HTTP answer somebody who comes now. */
async function servesOthers(broker: BrokerProcess): Promise<void> {
	const kafka = await RawKafkaClient.connect(kafkaPort(broker));
	await kafka.request("ApiVersions", 0);
	await kafka.close();
	const websocket = await RawClient.greeted(broker.url);
	await websocket.ping();
	websocket.close();
	expect((await fetch(`${broker.http}/live`)).status).toBe(200);
}

const metrics = async (broker: BrokerProcess) => (await fetch(`${broker.http}/metrics`)).text();

const utf8 = (text: string) => Buffer.from(text);

const UPGRADE = [
	"GET / HTTP/1.1",
	"Host: 127.0.0.1",
	"Connection: Upgrade",
	"Upgrade: websocket",
	"Sec-WebSocket-Version: 13",
	"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
	"Sec-WebSocket-Protocol: millrace.v1",
	"\r\n",
].join("\r\n");

/** A Kafka request that is said to be long, and the beginning of it. */
function halfRequest(): Buffer {
	const frame = encodeRequest("ApiVersions", 0, {}, { correlationId: 1 });
	const length = Buffer.alloc(4);
	length.writeInt32BE(LIMITS.kafkaFrameBytesMax);
	return Buffer.concat([length, frame]);
}

/** The header of a masked binary message of 4 GiB less one, far above what is taken. */
const HUGE_MESSAGE = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
/** ... and of 1 MiB. */
const LARGE_MESSAGE = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4]);

/** What is asked for how often, without a look at the answers: short ones and long ones. */
const UNREAD = [
	["/x", 100_000],
	["/metrics", 10_000],
	["/v1/openapi.json", 10_000],
] as const;

type Start = readonly [what: string, listener: "kafka" | "http", beginning: Buffer];

/** What is sent at once; then a byte at a time. */
const STARTS: readonly Start[] = [
	["half a length of a Kafka request", "kafka", Buffer.from([0, 0])],
	["half a Kafka request", "kafka", halfRequest()],
	["nothing", "http", Buffer.alloc(0)],
	["half a header of HTTP", "http", utf8("GET /live HTTP/1.1\r\nX-Slow: ")],
	[
		"half a body of HTTP",
		"http",
		utf8("POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n"),
	],
	["half a message of WebSocket", "http", Buffer.concat([utf8(UPGRADE), LARGE_MESSAGE])],
	["a message beyond all limits", "http", Buffer.concat([utf8(UPGRADE), HUGE_MESSAGE])],
];

describe.each(TRANSPORTS)("over %s", (transport) => {
	requireTransport(transport);

	test("clients that send a byte now and then", async () => {
		const { broker, end } = await startBroker(transport);
		await servesOthers(broker);
		const idleBytes = broker.anonymousBytes();
		const sockets: Socket[] = [];
		for (const [, listener, beginning] of STARTS) {
			const port = listener === "kafka" ? kafkaPort(broker) : broker.port;
			const opened = await openMany(port, SLOW_CLIENTS);
			for (const socket of opened) socket.write(beginning);
			sockets.push(...opened);
		}
		for (let passedMs = 0; passedMs < SLOW_MS; passedMs += BYTE_EVERY_MS) {
			for (const socket of sockets) if (socket.writable) socket.write("x");
			await sleep(BYTE_EVERY_MS);
		}
		await servesOthers(broker);
		const grownBytes = broker.anonymousBytes() - idleBytes;
		expect(grownBytes).toBeLessThan(ANY_LOAD_BYTES + sockets.length * SILENT_BYTES_MAX);
		for (const socket of sockets) socket.destroy();
		await servesOthers(broker);
		await end();
	});

	test("clients that ask and ask, and read no answer", async () => {
		const { broker, end } = await startBroker(transport);
		await servesOthers(broker);
		const idleBytes = broker.anonymousBytes();
		const sockets: Socket[] = [];
		for (const [path, count] of UNREAD) {
			const asked = utf8(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`.repeat(1_000));
			for (let client = 0; client < 4; client++) {
				const socket = await openSilent(broker.port);
				for (let written = 0; written < count; written += 1_000) socket.write(asked);
				sockets.push(socket);
			}
		}
		let mostBytes = 0;
		const isOpen = () => {
			mostBytes = Math.max(mostBytes, broker.anonymousBytes());
			// Who does not read learns of the end only by writing.
			for (const socket of sockets) if (socket.writable) socket.write("G");
			return sockets.some(({ closed }) => !closed);
		};
		await expect.poll(isOpen).toBe(false);
		expect(mostBytes - idleBytes).toBeLessThan(ANY_LOAD_BYTES);
		await servesOthers(broker);
		await end();
	});

	test("a header that never ends is refused, and not kept", async () => {
		const { broker, end } = await startBroker(transport);
		await servesOthers(broker);
		const idleBytes = broker.anonymousBytes();
		const sockets = await openMany(broker.port, 20);
		const line = utf8(`X-Long: ${"y".repeat(1_000_000)}`);
		for (const socket of sockets) {
			socket.write(utf8("GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
			socket.write(line);
		}
		const isOpen = () => sockets.some(({ closed }) => !closed);
		await expect.poll(isOpen).toBe(false);
		expect(broker.anonymousBytes() - idleBytes).toBeLessThan(ANY_LOAD_BYTES);
		await servesOthers(broker);
		await end();
	});

	test("no compression of messages is agreed to", async () => {
		const { broker, end } = await startBroker(transport);
		const client = await RawClient.open(broker.url, { perMessageDeflate: true });
		expect(client.socket.extensions).toBe("");
		client.close();
		await end();
	});

	test("floods of connections beyond max.connections", async () => {
		const most = 300;
		const { broker, end } = await startBroker(transport, {
			flags: ["--max-connections", `${most}`],
		});
		const present = await RawClient.greeted(broker.url);
		const idleBytes = broker.anonymousBytes();
		for (let round = 0; round < 3; round++) {
			const sockets = await openMany(kafkaPort(broker), FLOOD);
			await present.ping();
			expect((await fetch(`${broker.http}/live`)).status).toBe(200);
			const isOpen = () => sockets.filter(({ closed }) => !closed).length;
			await expect.poll(isOpen).toBeLessThan(most);
			for (const socket of sockets) socket.destroy();
			await present.ping();
		}
		const taken = async () => {
			await servesOthers(broker);
			return true;
		};
		await expect.poll(() => taken().catch(() => false)).toBe(true);
		const refused = async () =>
			Number(/^millrace_connections_refused_total (\d+)$/m.exec(await metrics(broker))?.[1]);
		const before = await refused();
		const least = FLOOD - most - LIMITS.httpConnectionsSpareMax;
		for (let round = 0; round < 3; round++) {
			const sockets = await openMany(broker.port, FLOOD);
			await present.ping();
			const ended = () => sockets.filter(({ closed }) => closed).length;
			await expect.poll(ended).toBeGreaterThanOrEqual(least);
			for (const socket of sockets) socket.destroy();
			await expect.poll(() => taken().catch(() => false)).toBe(true);
		}
		expect((await refused()) - before).toBeGreaterThanOrEqual(3 * least);
		expect(broker.anonymousBytes() - idleBytes).toBeLessThan(ANY_LOAD_BYTES);
		present.close();
		await end();
	});

	test("ten thousand idle connections", { timeout: 1_200_000 }, async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const count = 10_000;
		const { broker, end } = await startBroker(transport, {
			flags: ["--max-connections", `${2 * count}`],
		});
		await servesOthers(broker);
		const idleBytes = broker.anonymousBytes();
		const clients: RawClient[] = [];
		while (clients.length < count) {
			const opening = Array.from({ length: 100 }, () => RawClient.greeted(broker.url));
			clients.push(...(await Promise.all(opening)));
		}
		await servesOthers(broker);
		expect(broker.anonymousBytes() - idleBytes).toBeLessThan(ANY_LOAD_BYTES + count * 32_768);
		await Promise.all(clients.slice(0, 1_000).map((client) => client.ping()));
		for (const client of clients) client.close();
		await servesOthers(broker);
		await end();
	});
});
