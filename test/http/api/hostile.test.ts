/** What the HTTP API refuses: requests of other sites, bodies and arguments that are none. */
import { gzipSync } from "node:zlib";
import { pack } from "msgpackr";
import { describe, expect, test } from "vitest";

import { LIMITS } from "../../../src/limits.ts";
import { serveApi } from "./harness.ts";

describe.each(["uws", "ws"] as const)("over %s", (transport) => {
	const at = serveApi(transport);

	async function post(path: string, headers: Record<string, string>, body: string | Uint8Array) {
		const response = await fetch(`${at.http}/v1${path}`, {
			method: "POST",
			headers,
			body: Buffer.from(body),
		});
		const { status, name } = (await response.json()) as { status: number; name?: string };
		expect(status).toBe(response.status);
		return { status, name };
	}

	const JSON_TYPE = { "content-type": "application/json" };

	test("a page of another site is refused, whatever it asks", async () => {
		const origin = "https://evil.example.com";
		for (const path of ["/topics", "/openapi.json", "/topics/t/partitions/0/records?offset=0"]) {
			expect((await at.ask("GET", path, undefined, { origin })).status).toBe(403);
		}
		const body = JSON.stringify({ name: "made" });
		expect(await post("/topics", { origin, ...JSON_TYPE }, body)).toMatchObject({ status: 403 });
		const allowed = "https://console.example.com";
		expect((await at.ask("GET", "/topics", undefined, { origin: allowed })).status).toBe(200);
		expect(at.catalogue.get("made")).toBeUndefined();
	});

	test("what a browser sends without asking is no body", async () => {
		const body = JSON.stringify({ name: "made" });
		for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
			expect((await post("/topics", { "content-type": type }, body)).status).toBe(415);
		}
		expect(at.catalogue.get("made")).toBeUndefined();
	});

	test("a compressed body is refused, whatever it is compressed with", async () => {
		const body = gzipSync(JSON.stringify({ name: "made" }));
		for (const encoding of ["gzip", "GZIP", "deflate", "br", "gzip, gzip", "aws-chunked"]) {
			const headers = { ...JSON_TYPE, "content-encoding": encoding };
			expect(await post("/topics", headers, body)).toEqual({
				status: 415,
				name: "INVALID_REQUEST",
			});
		}
		expect(at.catalogue.get("made")).toBeUndefined();
		const identity = { ...JSON_TYPE, "content-encoding": "identity" };
		const plain = { method: "POST", headers: identity, body: JSON.stringify({ name: "plain" }) };
		expect((await fetch(`${at.http}/v1/topics`, plain)).ok).toBe(true);
	});

	test.each([
		["no JSON", "{"],
		["no map", "[]"],
		["nothing", ""],
		["no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
	])("a body that is %s", async (_, body) => {
		expect(await post("/topics", JSON_TYPE, body)).toEqual({
			status: 400,
			name: "MALFORMED_FRAME",
		});
	});

	test("what a body is that cannot be read is said in words of its own", async () => {
		const detailOf = async (contentType: string, bytes: number[]) => {
			const headers = { "content-type": contentType };
			const body = Buffer.from(bytes);
			const response = await fetch(`${at.http}/v1/topics`, { method: "POST", headers, body });
			return ((await response.json()) as { detail: string }).detail;
		};
		expect(await detailOf("application/json", [0x22, 0xff, 0x22])).toContain(
			"the body: it is not UTF-8",
		);
		expect(await detailOf("application/vnd.msgpack", [0x81])).toContain(
			"the body: a map larger than what holds it",
		);
	});

	test.each([
		["an unknown name", { name: "t", partition: 3 }],
		["a wrong type", { name: 1 }],
		["a wrong value", { name: "t", partitions: 0 }],
		["nothing", {}],
	])("a body with %s", async (_, body) => {
		expect(await post("/topics", JSON_TYPE, JSON.stringify(body))).toEqual({
			status: 400,
			name: "INVALID_ARGUMENT",
		});
	});

	test("MessagePack that is nested, long or cut short", async () => {
		const type = { "content-type": "application/msgpack" };
		let nested: unknown = {};
		for (let depth = 0; depth < 100; depth++) nested = { name: nested };
		const many = { records: new Array(LIMITS.requestValuesMax + 1).fill(1) };
		for (const body of [
			pack(nested),
			pack(many),
			pack({ name: "t" }).subarray(1),
			Buffer.alloc(3, 0xc1),
		]) {
			expect(await post("/topics", type, body)).toEqual({ status: 400, name: "MALFORMED_FRAME" });
		}
	});

	test.each([
		"/topics?limit=1001",
		"/topics?limit=x",
		"/topics?limit=1&limit=2",
		"/topics?internal=yes",
		"/topics?nothing=1",
		"/topics/t/partitions/-1/records?offset=0&encoding=text",
		"/topics/t/partitions/x/offset?at=latest",
		"/topics/%ff",
	])("GET %s is 400", async (path) => {
		expect((await at.ask("GET", path)).status).toBe(400);
	});

	test("records of the wrong form", async () => {
		const topic = await at.topic();
		const wrong = [
			{},
			{ records: [] },
			{ records: [1] },
			{ records: new Array(LIMITS.httpRecordsMax + 1).fill({}) },
			{ records: [{ value: 1 }] },
			{ records: [{ headers: [["a"]] }] },
			{ records: [{ headers: [[1, "b"]] }] },
			{ records: [{ partition: -2 }] },
			{ records: [{ timestamp_ms: 0.5 }] },
		];
		for (const [type, encode] of [
			["application/json", JSON.stringify],
			["application/msgpack", pack],
		] as const) {
			for (const body of wrong) {
				const path = `/topics/${topic}/records?encoding=text`;
				expect(await post(path, { "content-type": type }, encode(body))).toEqual({
					status: 400,
					name: "INVALID_ARGUMENT",
				});
			}
		}
		expect((await at.ask("GET", `/topics/${topic}/offsets`)).body.partitions[0].log_end).toBe(0);
	});

	test("an answer that nobody has", async () => {
		expect((await at.ask("GET", "/topics", undefined, { accept: "text/html" })).status).toBe(406);
		expect((await at.ask("GET", "/topics", undefined, { accept: "text/html, */*" })).status).toBe(
			200,
		);
	});

	test("names are percent-encoded in paths", async () => {
		expect((await at.ask("GET", "/groups/a%2Fb%20c")).body).toMatchObject({
			name: "GROUP_ID_NOT_FOUND",
			detail: expect.stringContaining("a/b c"),
		});
		expect((await at.ask("GET", "/groups/")).status).toBe(404);
	});

	test("to delete all access rules by leaving the filter out", async () => {
		expect((await at.ask("DELETE", "/acls")).status).toBe(400);
	});
});
