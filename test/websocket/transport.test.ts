import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { NOT_FOUND } from "../../src/http/http.ts";
import { HttpService } from "../../src/http/service.ts";
import { LIMITS } from "../../src/limits.ts";
import { HttpFigures } from "../../src/monitoring/http-figures.ts";
import { CLOSE_CODES } from "../../src/protocol/close-codes.ts";
import { listen } from "../../src/websocket/listener.ts";
import { originPolicy } from "../../src/websocket/origin.ts";
import type { Connection, Listener } from "../../src/websocket/transport.ts";
import { endLargest, type WsConnection } from "../../src/websocket/ws.ts";
import { requireTransport, TRANSPORTS } from "./harness.ts";

const BODY_BYTES = 1_000_000;
/** The header of a masked binary message of 1 MiB. */
const HALF_MESSAGE = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4]);

describe.each(TRANSPORTS)("the transport %s", (transport) => {
	requireTransport(transport);
	let listener: Listener | undefined;

	afterEach(async () => {
		await listener?.close();
		listener = undefined;
	});

	/** A connection of both sides, and what the server's side is told. */
	async function pair(port = 0) {
		const told = { open: 0, drained: 0, closed: [] as number[], messages: [] as string[] };
		const received: Buffer[] = [];
		let accept: (connection: Connection) => void = () => undefined;
		const accepted = new Promise<Connection>((resolve) => {
			accept = resolve;
		});
		const origins = originPolicy(["127.0.0.1"], []);
		const httpRequests = new HttpFigures();
		const onError = (error: unknown) => void told.messages.push(`${error}`);
		listener = await listen(transport, {
			host: "127.0.0.1",
			port,
			tls: null,
			origins,
			tokenCookie: null,
			service: new HttpService({ http: () => NOT_FOUND, origins, httpRequests, onError }),
			opened: () => ++told.open > 0,
			closed: () => told.open--,
			refuse: () => undefined,
			onError,
			accept(connection) {
				accept(connection);
				return {
					message: (frame) => told.messages.push(Buffer.from(frame).toString()),
					drained: () => told.drained++,
					closed: (code) => told.closed.push(code),
				};
			},
		});
		const client = new WebSocket(`ws://127.0.0.1:${listener.port}`, ["millrace.v1"]);
		client.on("message", (data: Buffer) => received.push(data));
		const opened = new Promise((resolve) => client.once("open", resolve));
		const connection = await accepted;
		await opened;
		return { connection, client, received, told };
	}

	test("header and body are one message; the header's memory is free at once", async () => {
		const { connection, received } = await pair();
		const header = Buffer.from("head:");
		let releases = 0;
		connection.cork(() => {
			for (let index = 0; index < 3; index++) {
				header[4] = 0x30 + index;
				connection.send(header, Buffer.from(`body ${index}`), () => releases++);
			}
			connection.send(header);
			header.fill(0);
		});
		await expect
			.poll(() => received.map(String))
			.toEqual(["head0body 0", "head1body 1", "head2body 2", "head2"]);
		expect(releases).toBe(3);
	});

	test("a full socket says so, drains, and gives every body back once", async () => {
		const { connection, client, received, told } = await pair();
		client.pause();
		const body = Buffer.alloc(BODY_BYTES, 7);
		let sends = 0;
		let releases = 0;
		let result = "sent";
		while (result === "sent") {
			sends++;
			result = connection.send(Buffer.from([sends]), body, () => releases++);
		}
		expect(connection.bufferedBytes()).toBeGreaterThan(0);
		expect(told.drained).toBe(0);
		client.resume();
		await expect.poll(() => told.drained).toBeGreaterThan(0);
		expect(connection.bufferedBytes()).toBe(0);
		await expect.poll(() => received.length).toBe(sends);
		expect(releases).toBe(sends);
		expect(received.every((message, index) => message[0] === index + 1)).toBe(true);
		expect(received.every((message) => message.length === BODY_BYTES + 1)).toBe(true);
	});

	if (transport === "ws")
		test("what small messages cost while they wait is counted", async () => {
			const { connection, client } = await pair();
			client.pause();
			while (connection.bufferedBytes() === 0) connection.send(Buffer.alloc(BODY_BYTES));
			const before = connection.bufferedBytes();
			for (let index = 0; index < 1_000; index++) connection.send(Buffer.from("tiny"));
			expect(connection.bufferedBytes() - before).toBeGreaterThan(200_000);
		});

	if (transport === "ws")
		test("the largest of messages that do not come whole are ended", async () => {
			const { connection, client, told } = await pair();
			const held = connection as WsConnection;
			client.send(Buffer.from("whole"));
			await expect.poll(() => told.messages).toEqual(["whole"]);
			expect(held.heldBytes).toBe(0);
			const { _socket: socket } = client as unknown as { readonly _socket: Socket };
			socket.write(Buffer.concat([HALF_MESSAGE, Buffer.alloc(10_000)]));
			await expect.poll(() => held.heldBytes).toBe(10_000 + HALF_MESSAGE.length);
			const smaller = { heldBytes: 5_000, terminate: () => void told.messages.push("ended") };
			endLargest(new Set([smaller, held]), 20_000);
			expect(told.closed).toEqual([]);
			endLargest(new Set([smaller, held]), 10_000);
			await expect.poll(() => told.closed).toEqual([1006]);
			expect(told.messages).toEqual(["whole"]);
		});

	test("a client that vanishes with bodies on their way leaves none behind", async () => {
		const { connection, client, told } = await pair();
		client.pause();
		let sends = 0;
		let releases = 0;
		while (sends < 100 && connection.bufferedBytes() < 5 * BODY_BYTES) {
			sends++;
			connection.send(Buffer.from("h"), Buffer.alloc(BODY_BYTES), () => releases++);
		}
		client.terminate();
		await expect.poll(() => told.closed).toEqual([1006]);
		await expect.poll(() => releases).toBe(sends);
		expect(connection.send(Buffer.from("late"), Buffer.from("body"), () => releases++)).toBe(
			"buffered",
		);
		expect(releases).toBe(sends + 1);
		connection.cork(() => connection.send(Buffer.from("late")));
		connection.close(CLOSE_CODES.NORMAL);
		expect(connection.bufferedBytes()).toBe(0);
		expect(told.messages).toEqual([]);
	});

	test("whoever asks is told when the client has read all that was sent, or is gone", async () => {
		const { connection, client, received } = await pair();
		client.pause();
		const body = Buffer.alloc(BODY_BYTES);
		while (connection.bufferedBytes() === 0) connection.send(Buffer.from("h"), body);
		connection.send(Buffer.from("last"));
		const taken = connection.taken();
		client.resume();
		await taken;
		expect(received.at(-1)?.toString()).toBe("last");
		client.pause();
		const gone = connection.taken();
		client.terminate();
		await gone;
		await connection.taken();
	});

	if (transport === "uws")
		test("what waits beyond the bound is not kept for a client that is closed", async () => {
			const { connection, client, told } = await pair();
			client.pause();
			const body = Buffer.alloc(BODY_BYTES);
			while (connection.bufferedBytes() <= LIMITS.sendBufferBytesMax) {
				connection.send(Buffer.from("h"), body);
			}
			connection.close(CLOSE_CODES.OVER_LIMIT);
			expect(told.closed).toEqual([1006]);
			const closed = new Promise((resolve) => client.once("close", resolve));
			client.on("error", () => undefined);
			client.resume();
			expect(await closed).toBe(1006);
		});

	test("a port that was picked can be listened on again at once", async () => {
		const { connection, client } = await pair();
		const { port } = listener as Listener;
		// Whoever closes first keeps the connection's address for a minute.
		const closed = new Promise((resolve) => client.once("close", resolve));
		connection.close(CLOSE_CODES.GOING_AWAY);
		await closed;
		await listener?.close();
		await pair(port);
		expect(listener?.port).toBe(port);
	});

	test("close sends its code behind everything that was sent", async () => {
		const { connection, client, received } = await pair();
		const closed = new Promise((resolve) =>
			client.once("close", (code, reason) => resolve([code, `${reason}`])),
		);
		connection.send(Buffer.from("last"));
		connection.close(CLOSE_CODES.OVER_LIMIT, "x".repeat(200));
		expect(await closed).toEqual([4413, "x".repeat(123)]);
		expect(received.map(String)).toEqual(["last"]);
	});
});
