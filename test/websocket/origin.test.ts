import { request } from "node:http";
import { describe, expect, test } from "vitest";

import { originPolicy } from "../../src/websocket/origin.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import { RawClient } from "./raw-client.ts";

describe("the origin policy", () => {
	const policy = originPolicy(["broker.internal"], ["https://console.example.com"]);

	test.each([
		["", "127.0.0.1:4600"],
		["http://localhost:3000", "127.0.0.1:4600"],
		["http://app.localhost", "127.0.0.1:4600"],
		["https://127.0.0.1", "127.0.0.1:4600"],
		["http://127.8.9.10:1", "127.0.0.1:4600"],
		["http://[::1]:3000", "[::1]:4600"],
		["http://192.168.1.5:4600", "192.168.1.5:4600"],
		["http://broker.internal:4600", "broker.internal:4600"],
		["http://BROKER.internal:4600", "broker.internal:4600"],
		["https://console.example.com", "127.0.0.1:4600"],
	])("allows %j at %j", (origin, host) => {
		expect(policy.allowsOrigin(origin, host)).toBe(true);
	});

	test.each([
		["https://evil.example", "127.0.0.1:4600"],
		["null", "127.0.0.1:4600"],
		["file://", "127.0.0.1:4600"],
		["http://localhost.evil.example", "127.0.0.1:4600"],
		["http://127.0.0.1.evil.example", "127.0.0.1:4600"],
		["http://evil.example?localhost", "127.0.0.1:4600"],
		["http://localhost@evil.example", "127.0.0.1:4600"],
		["https://evil.example:4600", "evil.example:4600"],
		["http://192.168.1.6:4600", "192.168.1.5:4600"],
		["http://broker.internal:4601", "broker.internal:4600"],
		["http://console.example.com", "127.0.0.1:4600"],
		["chrome-extension://abcdef", "127.0.0.1:4600"],
	])("refuses %j at %j", (origin, host) => {
		expect(policy.allowsOrigin(origin, host)).toBe(false);
	});

	test("knows hosts that a page cannot make its own", () => {
		for (const host of [
			"localhost:1",
			"127.0.0.1",
			"[::1]:5",
			"10.0.0.1:4600",
			"broker.internal",
		]) {
			expect(policy.allowsHost(host)).toBe(true);
		}
		for (const host of ["", "evil.example:4600", "localhost.evil.example"]) {
			expect(policy.allowsHost(host)).toBe(false);
		}
	});
});

describe.each(TRANSPORTS)("requests over %s", (transport) => {
	const at = serve(transport);

	test("a foreign origin is refused with 403 before the upgrade", async () => {
		for (const origin of ["https://evil.example", "null"]) {
			await expect(RawClient.open(at.url, { origin })).rejects.toThrow("403");
		}
		const client = await RawClient.open(at.url, { origin: "http://localhost:8080" });
		await client.answer(1, 1, { client: "page" });
	});

	test("a page that rebinds its own name is refused", async () => {
		const headers = { host: "evil.example:4600" };
		const origin = "http://evil.example:4600";
		await expect(RawClient.open(at.url, { origin, headers })).rejects.toThrow("403");
	});

	test("no compression is negotiated", async () => {
		const client = await RawClient.open(at.url, { perMessageDeflate: true });
		expect(client.socket.extensions).toBe("");
		await client.answer(1, 1, { client: "test" });
	});

	test("only / takes WebSockets", async () => {
		await expect(RawClient.open(`${at.url}/other`)).rejects.toThrow(/404|Unexpected/);
	});

	test("health is answered, unknown paths are 404, foreign hosts 403", async () => {
		expect(await status(at.http, "GET", "/live")).toEqual([200, "ok\n"]);
		expect(await status(at.http, "GET", "/ready?x=1")).toEqual([200, "ok\n"]);
		expect(await status(at.http, "HEAD", "/ready")).toEqual([200, ""]);
		expect((await status(at.http, "POST", "/ready"))[0]).toBe(405);
		expect((await status(at.http, "GET", "/nothing"))[0]).toBe(404);
		expect(await status(at.http, "GET", "/live", "broker.example:4600")).toEqual([200, "ok\n"]);
		const [refused, body] = await status(at.http, "GET", "/live", "evil.example:4600");
		expect(refused).toBe(403);
		expect(JSON.parse(body).detail).toMatch(/advertise.*allowed\.origins/);
	});
});

describe.each(TRANSPORTS)("a listener that asks who one is, over %s", (transport) => {
	const at = serve(transport, { asksWho: true });

	test("serves HTTP at any host, and WebSocket at those that are known", async () => {
		const host = "evil.example:4600";
		expect(await status(at.http, "GET", "/ready", host)).toEqual([200, "ok\n"]);
		const origin = `http://${host}`;
		await expect(RawClient.open(at.url, { origin, headers: { host } })).rejects.toThrow("403");
		expect((await status(at.http, "GET", "/ready", host, origin))[0]).toBe(403);
	});
});

function status(
	base: string,
	method: string,
	path: string,
	host = "localhost",
	origin?: string,
): Promise<[number | undefined, string]> {
	return new Promise((resolve, reject) => {
		const headers = { host, ...(origin === undefined ? {} : { origin }) };
		const sent = request(`${base}${path}`, { method, headers }, (response) => {
			let body = "";
			response.setEncoding("utf8");
			response.on("data", (chunk: string) => {
				body += chunk;
			});
			response.on("end", () => resolve([response.statusCode, body]));
		});
		sent.on("error", reject);
		sent.end();
	});
}
