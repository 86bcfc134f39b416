import { request } from "node:http";
import { describe, expect, test } from "vitest";

import { router } from "../../src/http/router.ts";
import { serve, TRANSPORTS } from "./harness.ts";

const BODY_BYTES_MAX = 100_000;

const http = router([
	{
		method: "POST",
		path: "/echo",
		bodyBytesMax: BODY_BYTES_MAX,
		answer: ({ body, query, header }) => ({
			status: 200,
			headers: { "x-query": query, "x-asked": header("x-ask") },
			body,
		}),
	},
	{
		method: "POST",
		path: "/deaf",
		answer: ({ body }) => ({ status: 200, body: `${body.length}` }),
	},
	{
		method: "GET",
		path: "/broken",
		answer: async () => {
			throw new Error("on purpose");
		},
	},
]);

describe.each(TRANSPORTS)("HTTP requests over %s", (transport) => {
	const at = serve(transport, { http });

	test("a body comes whole, however it is sent, with query and headers", async () => {
		for (const bytes of [0, 1, BODY_BYTES_MAX]) {
			const body = Buffer.alloc(bytes, "x");
			const echoed = await fetch(`${at.http}/echo?a=1`, {
				method: "POST",
				body,
				headers: { "x-ask": "me" },
			});
			expect(echoed.status).toBe(200);
			expect(echoed.headers.get("x-query")).toBe("a=1");
			expect(echoed.headers.get("x-asked")).toBe("me");
			expect(Buffer.from(await echoed.arrayBuffer()).equals(body)).toBe(true);
		}
		expect(await post(`${at.http}/echo`, ["one, ", "two, ", "three"])).toEqual([
			200,
			"one, two, three",
		]);
	});

	test("a body that is too long is refused, declared or not", async () => {
		const url = `${at.http}/echo`;
		const declared = await fetch(url, { method: "POST", body: Buffer.alloc(BODY_BYTES_MAX + 1) });
		expect(declared.status).toBe(413);
		expect(await declared.json()).toMatchObject({ status: 413, title: "Content Too Large" });
		const half = "x".repeat(BODY_BYTES_MAX / 2 + 1);
		expect((await post(url, [half, half]))[0]).toBe(413);
		expect(await post(url, ["still served"])).toEqual([200, "still served"]);
	});

	test("where no body is taken, none is read", async () => {
		const answer = await fetch(`${at.http}/deaf`, { method: "POST", body: "words" });
		expect(await answer.text()).toBe("0");
	});

	test("a failure is answered with 500, and told", async () => {
		const answer = await fetch(`${at.http}/broken`);
		expect(answer.status).toBe(500);
		expect(await answer.json()).toMatchObject({ title: "Internal Server Error" });
		expect(at.errors).toMatchObject([{ doing: "GET /broken" }]);
		at.errors.length = 0;
	});

	test("405 says what is allowed", async () => {
		const answer = await fetch(`${at.http}/echo`, { method: "PUT" });
		expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
	});
});

/** Sends a body in pieces, with a pause in between, so that its length is not declared. */
function post(url: string, pieces: readonly string[]): Promise<[number | undefined, string]> {
	return new Promise((resolve, reject) => {
		const sent = request(url, { method: "POST" }, (response) => {
			let body = "";
			response.setEncoding("utf8");
			response.on("data", (piece: string) => {
				body += piece;
			});
			response.on("end", () => resolve([response.statusCode, body]));
		});
		sent.on("error", reject);
		void (async () => {
			for (const piece of pieces) {
				sent.write(piece);
				await new Promise((resume) => setTimeout(resume, 10));
			}
			sent.end();
		})();
	});
}
