import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { router } from "../../src/http/router.ts";
import { LIMITS } from "../../src/limits.ts";
import type { Topic } from "../../src/topics/catalogue.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import { type Frame, RawClient } from "./raw-client.ts";

describe.each(TRANSPORTS)("a stop over %s", (transport) => {
	// What is outstanding is waited for, however slow the disk is.
	const at = serve(transport, { clock: { ...systemClock, monotonicMs: () => 0 } });

	test("clients are told, answered, and closed with 1001; nobody comes any more", async () => {
		const client = await at.client();
		const silent = await RawClient.open(at.url);
		const topic = await at.topic();
		client.send(3, 5, 2, [[topic, 0, -1, 0, [["last words"]]]]);
		await client.ping();
		const stopped = at.server.close();
		expect((await client.reply(5))[0]).toBe(129);
		expect((await client.take(([operation]) => operation === 136))[1]).toBe("going_away");
		expect(await client.closed()).toBe(1001);
		expect(await silent.closed()).toBe(1001);
		await stopped;
		await expect(RawClient.open(at.url)).rejects.toThrow();
		expect(at.errors).toEqual([]);
	});
});

describe.each(TRANSPORTS)("a stop while a client is behind, over %s", (transport) => {
	/** How often the time was asked for: a stop does so while it waits. */
	let lookedCount = 0;
	const monotonicMs = () => {
		lookedCount++;
		return 0;
	};
	const at = serve(transport, { clock: { ...systemClock, monotonicMs } });

	test("it is sent what waits for it, its answers too, and closed with 1001", async () => {
		// 16 MB, which no socket's buffers take.
		const RECORDS = 160;
		const client = await at.client();
		const topic = await at.topic();
		await client.fill(topic, "y".repeat(100_000), RECORDS);
		client.socket.pause();
		const credit = [LIMITS.creditRecordsMax, LIMITS.creditBytesMax];
		client.send(4, 1, 1, topic, 0, "earliest", { credit });
		await expect.poll(() => at.server.figures.backedUp).toBe(1);
		client.send(3, 5, 2, [[topic, 0, -1, 0, [["last words"]]]]);
		const { handle } = at.catalogue.get(topic) as Topic;
		await expect.poll(() => at.storage.offsets(handle, 0).highWatermark).toBe(RECORDS + 1);

		const stopped = at.server.close();
		const before = lookedCount;
		await expect.poll(() => lookedCount).toBeGreaterThan(before + 10);
		// It takes its time, and grants credit as it goes: a kernel that nobody listens behind any more
		// would answer that with a reset, and forget what it has not sent.
		const { socket } = client;
		socket.on("message", () => {
			client.send(5, 1, 1, 100_000);
			socket.pause();
			setTimeout(() => socket.resume(), 5);
		});
		socket.resume();
		expect((await client.reply(5))[0]).toBe(129);
		expect(await client.closed()).toBe(1001);
		await stopped;
		// What is left of the records is for another connection.
		const isRecords = ([operation]: Frame) => operation === 131;
		expect(client.frames.filter(isRecords).length).toBeLessThan(RECORDS / 2);
		expect(at.errors).toEqual([]);
	});
});

describe.each(TRANSPORTS)("a stop while requests are under way over %s", (transport) => {
	let work = (): void => undefined;
	const worked = new Promise<void>((resolve) => {
		work = resolve;
	});
	let askedCount = 0;
	const http = router([
		{
			method: "GET",
			path: "/works",
			answer: async () => {
				askedCount++;
				await worked;
				return { status: 200, body: "done" };
			},
		},
		{
			method: "GET",
			path: "/waits",
			answer: async ({ stopping }) => {
				askedCount++;
				await once(stopping, "abort");
				return { status: 200, body: "nothing has come" };
			},
		},
	]);
	const at = serve(transport, { http, clock: { ...systemClock, monotonicMs: () => 0 } });

	test("answers them, and refuses others for now", async () => {
		const idle = new Agent({ keepAlive: true, maxSockets: 1 });
		expect((await ask(`${at.http}/none`, idle)).status).toBe(404);
		const [working, waiting] = [ask(`${at.http}/works`), ask(`${at.http}/waits`)];
		await expect.poll(() => askedCount).toBe(2);
		const ended = () => ({ status: 0, retryAfter: "" });
		const refused = ask(`${at.http}/works`, idle).catch(ended);
		const stopped = at.server.close();
		expect(await waiting).toMatchObject({ status: 200, body: "nothing has come" });
		// Either it comes before its connection is found idle, or it is told to come back.
		const { status, retryAfter } = await refused;
		if (status !== 0) expect([status, retryAfter]).toEqual([503, "5"]);
		expect(askedCount).toBe(2);
		work();
		expect(await working).toMatchObject({ status: 200, body: "done" });
		await stopped;
	});
});

interface Answer {
	readonly status: number | undefined;
	readonly retryAfter: string | undefined;
	readonly body: string;
}

function ask(url: string, agent?: Agent): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const asking = request(url, agent === undefined ? {} : { agent }, async (response) => {
			let body = "";
			for await (const piece of response) body += piece;
			const { statusCode: status, headers } = response;
			resolve({ status, retryAfter: headers["retry-after"], body });
		});
		asking.on("error", reject);
		asking.end();
	});
}

/** Less than anybody waits for a peer, and more than anything else takes on a busy machine. */
const HELD_UP_MS = 30_000;

describe.each(TRANSPORTS)("a refused upgrade over %s", (transport) => {
	const at = serve(transport);

	test("does not hold up a stop, although the peer keeps its side open", async () => {
		const { hostname, port, host } = new URL(at.http);
		const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
		socket.write(
			`GET / HTTP/1.1\r\nHost: ${host}\r\nOrigin: https://evil.example\r\n` +
				"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		);
		const [response] = (await once(socket, "data")) as [Buffer];
		expect(response.toString()).toMatch(/^HTTP\/1.1 403 /);
		const startedMs = Date.now();
		await at.server.close();
		expect(Date.now() - startedMs).toBeLessThan(HELD_UP_MS);
		socket.destroy();
	});
});

describe.each(TRANSPORTS)("an address in use, over %s", (transport) => {
	const at = serve(transport);
	const other = serve(transport);

	test("is refused instead of shared", async () => {
		const { port } = at.server.address;
		const { WebSocketServer } = await import("../../src/websocket/server.ts");
		await expect(
			WebSocketServer.start({ ...other.options, host: "127.0.0.1", port }),
		).rejects.toThrow(/listen|EADDRINUSE/);
	});
});
