/** Heads of requests, and of upgrades to WebSocket, that are larger than a listener keeps. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, describe, expect, test } from "vitest";

import { atEndOfSuite, BrokerProcess } from "../broker-process.ts";
import { beforeAllOver, requireTransport, TRANSPORTS } from "./harness.ts";
import { RawClient } from "./raw-client.ts";

const MEBIBYTE = 1_048_576;
/** More than either transport keeps of a head. */
const LONG = "y".repeat(20_000);
const SENDERS = 100;
/** Far less than what the senders send, and what comes and goes whoever is connected. */
const GROWN_BYTES_MAX = 64 * MEBIBYTE;

const UPGRADE = [
	"Connection: Upgrade",
	"Upgrade: websocket",
	"Sec-WebSocket-Version: 13",
	"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
] as const;
const PROTOCOL = "Sec-WebSocket-Protocol: millrace.v1";

const head = (path: string, ...lines: string[]): string =>
	[`GET ${path} HTTP/1.1`, "Host: 127.0.0.1", ...lines, "\r\n"].join("\r\n");

const HEADS: readonly [what: string, head: string][] = [
	["a request with a long header", head("/live", `X-Long: ${LONG}`)],
	["a request with a long name of a header", head("/live", `${LONG}: x`)],
	["a request for a long path", head(`/${LONG}`)],
	["a request with a long query", head(`/live?${LONG}`)],
	["a request with many headers", head("/live", ...Array<string>(3_000).fill("X-Many: xxxx"))],
	["an upgrade with a long header", head("/", ...UPGRADE, PROTOCOL, `Cookie: ${LONG}`)],
	["an upgrade for a long path", head(`/${LONG}`, ...UPGRADE, PROTOCOL)],
	[
		"an upgrade with many sub-protocols",
		head("/", ...UPGRADE, `Sec-WebSocket-Protocol: ${"p,".repeat(10_000)}millrace.v1`),
	],
	[
		"an upgrade with many headers",
		head("/", ...UPGRADE, PROTOCOL, ...Array<string>(3_000).fill("X-Many: xxxx")),
	],
];

async function open(port: number): Promise<Socket> {
	const socket = connect(port, "127.0.0.1");
	// A reset is one way to end a connection that still sends.
	socket.on("error", () => undefined);
	await once(socket, "connect");
	return socket;
}

/** Resolves to what was answered when the broker has ended the connection. */
async function answerTo(port: number, bytes: string): Promise<string> {
	const socket = await open(port);
	let answer = "";
	socket.on("data", (chunk: Buffer) => {
		answer += chunk.toString("latin1");
	});
	// `once` would reject at a reset.
	const closed = new Promise((resolve) => socket.once("close", resolve));
	socket.write(bytes);
	await closed;
	return answer;
}

describe.each(TRANSPORTS)("over %s", (transport) => {
	requireTransport(transport);
	let broker: BrokerProcess;
	const atEnd = atEndOfSuite();

	beforeAllOver(transport, async () => {
		broker = await BrokerProcess.start({ flags: ["--websocket-transport", transport], atEnd });
	});

	afterAll(async () => {
		// Where the transport does not load there is none.
		if (broker === undefined) return;
		const { code, stderr } = await broker.stop();
		expect(code).toBe(0);
		expect(stderr.split("\n").filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
	});

	test.for(HEADS)("%s is 431, and the connection ends", async ([, bytes]) => {
		const [status] = (await answerTo(broker.port, bytes)).split("\r\n");
		expect(status).toBe("HTTP/1.1 431 Request Header Fields Too Large");
	});

	test("a head with a long token and some cookies is taken", async () => {
		const token = `Authorization: Bearer ${"t".repeat(8_000)}`;
		const cookie = `Cookie: ${"c".repeat(7_000)}`;
		const [status] = (
			await answerTo(broker.port, head("/live", "Connection: close", token, cookie))
		).split("\r\n");
		expect(status).toBe("HTTP/1.1 200 OK");
	});

	test("upgrades whose heads never end are not kept", { timeout: 120_000 }, async () => {
		const greeted = await RawClient.greeted(broker.url);
		const before = broker.anonymousBytes();
		const beginning = head("/", ...UPGRADE, PROTOCOL, `Cookie: ${"z".repeat(2 * MEBIBYTE)}`);
		const endless = beginning.slice(0, -4);
		const answers = Array.from({ length: SENDERS }, () => answerTo(broker.port, endless));
		await greeted.ping();
		// Of those that are reset while they send, the answer may be lost.
		for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^(HTTP\/1.1 431|$)/);
		expect(broker.anonymousBytes() - before).toBeLessThan(GROWN_BYTES_MAX);
		await greeted.ping();
		greeted.close();
	});
});
