import { request } from "node:http";
import { describe, expect, test } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { ConnectionLimit } from "../../src/connection-limit.ts";
import { serve, TRANSPORTS } from "./harness.ts";

describe.each(TRANSPORTS)("a limit of connections over %s", (transport) => {
	const told: object[] = [];
	const log = { warn: (details: object) => told.push(details) };
	// It tells of it again when time has passed.
	const clock = { ...systemClock, monotonicMs: () => 0 };
	const connections = new ConnectionLimit(2, clock, log);
	const at = serve(transport, { connections });

	/** How an upgrade is answered: the status, 101 where it is done, and the body. */
	function upgrade(headers: Record<string, string> = {}): Promise<[status: number, body: string]> {
		return new Promise((resolve, reject) => {
			const asking = request(at.http, {
				headers: {
					connection: "Upgrade",
					upgrade: "websocket",
					"sec-websocket-version": "13",
					"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
					...headers,
				},
			});
			asking.on("upgrade", (_response, socket) => {
				socket.destroy();
				resolve([101, ""]);
			});
			asking.on("response", async (response) => {
				let body = "";
				for await (const chunk of response) body += chunk;
				resolve([response.statusCode ?? 0, body]);
			});
			asking.on("error", reject);
			asking.end();
		});
	}

	test("the one too many is refused with 503, and the others go on", async () => {
		const clients = [await at.client(), await at.client()];
		expect(connections.count).toBe(2);
		const [status, body] = await upgrade();
		expect(status).toBe(503);
		expect(body).toContain("2 connections are open, and max.connections allows no more");
		await expect(at.client()).rejects.toThrow("503");
		// Logged once: a crowd that keeps trying does not fill the disk.
		expect(told).toEqual([{ open: 2, refused: 1 }]);
		// What is refused for another reason is told that one.
		expect((await upgrade({ origin: "https://evil.example" }))[0]).toBe(403);
		for (const client of clients) await client.ping();
		clients[0]?.close();
		await expect.poll(() => connections.count).toBe(1);
		await (await at.client()).ping();
		expect((await upgrade())[0]).toBe(503);
	});

	test("plain HTTP is answered all the same", async () => {
		const { status } = await fetch(`${at.http}/live`);
		expect(status).toBe(200);
	});
});
