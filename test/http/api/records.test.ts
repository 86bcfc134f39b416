/** Records over HTTP: stored and read by their offsets, as JSON and as MessagePack. */
import { request } from "node:http";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { pack, unpack } from "msgpackr";
import { describe, expect, onTestFinished, test, vi } from "vitest";

import { LIMITS } from "../../../src/limits.ts";
import { CODES } from "../../../src/protocol/codes.ts";
import { records as encoded, recordBatch } from "../../record-batch.ts";
import { serveApi } from "./harness.ts";

const REQUESTS_MAX = 40;
const MSGPACK = "application/vnd.msgpack";

describe.each(["uws", "ws"] as const)("records over %s", (transport) => {
	const at = serveApi(transport, { requestsMax: REQUESTS_MAX });

	const produce = (topic: string, records: unknown, query = "encoding=text") =>
		at.ask("POST", `/topics/${topic}/records?${query}`, { records });
	const read = (topic: string, query: string, partition = 0) =>
		at.ask("GET", `/topics/${topic}/partitions/${partition}/records?${query}`);

	test("come back as they were sent, from where the answer before says", async () => {
		const topic = await at.topic();
		const records = [
			{
				key: "k",
				value: "ü",
				timestamp_ms: 1_000,
				headers: [
					["h", "1"],
					["h", null],
				],
			},
			{ key: null, value: "" },
			{ key: "gone", value: null },
		];
		const { status, body } = await produce(topic, records);
		expect({ status, body }).toMatchObject({
			status: 200,
			body: {
				topic,
				durability: expect.stringMatching(/^(written|flushed)$/),
				stored: [{ partition: 0, base_offset: 0, count: 3 }],
			},
		});
		const first = (await read(topic, "offset=earliest&encoding=text&max_records=1")).body;
		expect(first).toMatchObject({ next_offset: 1, log_start: 0, high_watermark: 3, gaps: [] });
		expect(first.records).toEqual([{ offset: 0, ...records[0] }]);
		const rest = (await read(topic, `offset=${first.next_offset}&encoding=text`)).body;
		expect(rest.next_offset).toBe(3);
		expect(rest.records).toMatchObject([
			{ offset: 1, ...records[1] },
			{ offset: 2, ...records[2] },
		]);
		const end = (await read(topic, `offset=${rest.next_offset}&encoding=text`)).body;
		expect(end).toMatchObject({ records: [], next_offset: 3 });
		expect((await read(topic, "offset=latest&encoding=text")).body.next_offset).toBe(3);
	});

	test("begin at a time", async () => {
		const topic = await at.topic();
		await produce(
			topic,
			[1_000, 2_000].map((timestamp_ms) => ({ value: "v", timestamp_ms })),
		);
		const from = async (ms: number) =>
			(await read(topic, `timestamp_ms=${ms}&encoding=text`)).body.next_offset;
		expect((await read(topic, "timestamp_ms=1001&encoding=text")).body.records).toMatchObject([
			{ offset: 1 },
		]);
		expect(await from(3_000)).toBe(2);
	});

	test("are any bytes as base64, and only UTF-8 as text", async () => {
		const topic = await at.topic();
		const value = Buffer.from([0xff, 0, 1]).toString("base64");
		expect(await produce(topic, [{ value }], "encoding=base64")).toMatchObject({ status: 200 });
		expect((await read(topic, "offset=0&encoding=base64")).body.records).toMatchObject([{ value }]);
		expect(await read(topic, "offset=0&encoding=text")).toMatchObject({
			status: 422,
			body: { name: "UNREPRESENTABLE_VALUE" },
		});
		for (const wrong of ["?", "/w", "/w==x"]) {
			expect(await produce(topic, [{ value: wrong }], "encoding=base64")).toMatchObject({
				status: 400,
			});
		}
		expect(await read(topic, "offset=0")).toMatchObject({ status: 400 });
	});

	test("come one at a time where one is larger than a WebSocket frame", async () => {
		const topic = await at.topic();
		const value = Buffer.alloc(LIMITS.frameBytesMax + 1, "z");
		const batch = recordBatch([value], { attributes: 1, body: gzipSync(encoded([value])) });
		const client = await at.client();
		client.send(3, 5, 2, [[topic, 0, -1, 2, batch]]);
		expect((await client.reply(5))[3]).toMatchObject([[0, 0, 0, expect.any(Number)]]);
		const { status, body } = await read(topic, "offset=0&encoding=text");
		expect([status, body.next_offset, body.records.length]).toEqual([200, 1, 1]);
		expect(body.records[0].value === value.toString()).toBe(true);
	});

	test("are binaries in MessagePack, both ways", async () => {
		const topic = await at.topic();
		const value = Buffer.from([0xff, 0, 1]);
		const records = [{ key: "k", value, headers: [["h", value]] }];
		const stored = await fetch(`${at.http}/v1/topics/${topic}/records`, {
			method: "POST",
			headers: { "content-type": MSGPACK, accept: MSGPACK },
			body: pack({ records }),
		});
		expect(stored.headers.get("content-type")).toBe(MSGPACK);
		expect(unpack(Buffer.from(await stored.arrayBuffer()))).toMatchObject({ topic });
		const path = `${at.http}/v1/topics/${topic}/partitions/0/records?offset=0`;
		const answer = await fetch(path, { headers: { accept: "application/x-msgpack, */*" } });
		const [record] = unpack(Buffer.from(await answer.arrayBuffer())).records;
		expect(record).toMatchObject({
			offset: 0,
			key: Buffer.from("k"),
			value,
			headers: [["h", value]],
		});
	});

	test("go where they are sent, or by their keys", async () => {
		const topic = await at.topic(3);
		const { body } = await produce(topic, [
			{ value: "a", partition: 2 },
			...Array.from({ length: 50 }, (_, key) => ({ key: `${key}`, value: "b" })),
			{ value: "c", partition: 2 },
		]);
		expect(body.stored[0]).toEqual({ partition: 2, base_offset: 0, count: 2 });
		const counts = body.stored.map(({ count }: { count: number }) => count);
		expect(counts.reduce((sum: number, count: number) => sum + count, 0)).toBe(52);
		expect(
			(await read(topic, "offset=0&encoding=text&max_records=2", 2)).body.records,
		).toMatchObject([{ value: "a" }, { value: "c" }]);
	});

	test("that are refused are told, and those that were stored beside them", async () => {
		const topic = await at.topic(2);
		const large = "x".repeat(LIMITS.httpBodyBytesMax / 2);
		await at.catalogue.alter(topic, { config: [["max.message.bytes", "1000"]] });
		const { status, body } = await produce(topic, [
			{ value: "small", partition: 0 },
			{ value: large, partition: 1 },
		]);
		const { code } = CODES.MESSAGE_TOO_LARGE;
		expect(status).toBe(413);
		expect(body).toMatchObject({
			name: "MESSAGE_TOO_LARGE",
			code,
			stored: [{ partition: 0, base_offset: 0, count: 1 }],
			refused: [{ partition: 1, count: 1, code }],
		});
		expect(await produce(topic, [{ value: "v", partition: 2 }])).toMatchObject({
			status: 404,
			body: { refused: [{ partition: 2 }], stored: [] },
		});
		expect(
			(await at.ask("POST", `/topics/none/records?encoding=text`, { records: [{}] })).status,
		).toBe(404);
	});

	test("outside of the log are told with its ends", async () => {
		const topic = await at.topic();
		await produce(topic, [{ value: "v" }]);
		expect(await read(topic, "offset=2&encoding=text")).toMatchObject({
			status: 416,
			body: { name: "OFFSET_OUT_OF_RANGE", log_start: 0, high_watermark: 1 },
		});
		expect((await read(topic, "offset=0&encoding=text", 1)).status).toBe(404);
	});

	test("are waited for", async () => {
		const topic = await at.topic();
		const watch = vi.spyOn(at.storage, "watch");
		onTestFinished(() => watch.mockRestore());
		const waiting = read(topic, "offset=latest&encoding=text&wait_ms=30000");
		await expect.poll(() => watch.mock.calls.length).toBeGreaterThan(0);
		await produce(topic, [{ value: "late" }]);
		expect((await waiting).body).toMatchObject({ records: [{ value: "late" }], next_offset: 1 });
		const nothing = await read(topic, "offset=latest&encoding=text&wait_ms=10");
		expect(nothing.body).toMatchObject({ records: [], next_offset: 1 });
	});

	test("are many and large, and come whole to a client that reads slowly", async () => {
		const topic = await at.topic();
		const value = "x".repeat(100_000);
		for (let round = 0; round < 3; round++) {
			await produce(
				topic,
				Array.from({ length: 5 }, () => ({ value })),
			);
		}
		const url = `${at.http}/v1/topics/${topic}/partitions/0/records?offset=0&encoding=text`;
		const answers = Array.from({ length: 20 }, () => readSlowly(url));
		for (const text of await Promise.all(answers)) {
			const { records, next_offset } = JSON.parse(text);
			expect(records.length).toBeGreaterThan(8);
			expect(next_offset).toBe(records.length);
			expect(records.every((record: { value: string }) => record.value === value)).toBe(true);
		}
	});

	test("that a client does not take are given up", async () => {
		const topic = await at.topic();
		const large = `${LIMITS.batchBytesMax}`;
		await at.catalogue.alter(topic, { config: [["max.message.bytes", large]] });
		await (await at.client()).produce(topic, ["x".repeat(LIMITS.batchBytesMax - 1_000)]);
		const path = `/v1/topics/${topic}/partitions/0/records?offset=0&encoding=base64`;
		const { hostname, port } = new URL(at.http);
		const sockets = Array.from({ length: REQUESTS_MAX }, () => connect(Number(port), hostname));
		for (const socket of sockets) {
			socket.pause();
			socket.on("error", () => undefined);
			socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
		}
		const status = async () => (await at.ask("GET", "/openapi.json")).status;
		await expect.poll(status).toBe(503);
		expect((await fetch(`${at.http}/v1/cluster`)).status).toBe(200);
		await expect.poll(status).toBe(200);
		for (const socket of sockets) socket.destroy();
	});

	test("nobody waits for are given up", async () => {
		const topic = await at.topic();
		const url = `${at.http}/v1/topics/${topic}/partitions/0/records?offset=0&encoding=text`;
		const leaving = new AbortController();
		const { signal } = leaving;
		const waiting = Array.from({ length: REQUESTS_MAX }, () =>
			fetch(`${url}&wait_ms=30000`, { signal }).catch(() => "gone"),
		);
		await expect.poll(async () => (await fetch(url)).status).toBe(503);
		leaving.abort();
		expect(new Set(await Promise.all(waiting))).toEqual(new Set(["gone"]));
		await expect.poll(async () => (await fetch(url)).status).toBe(200);
	});
});

/** Takes an answer piece by piece, with pauses. */
function readSlowly(url: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const sent = request(url, (response) => {
			let text = "";
			response.setEncoding("utf8");
			response.on("data", (piece: string) => {
				text += piece;
				response.pause();
				setTimeout(() => response.resume(), 5);
			});
			response.on("end", () => resolve(text));
			response.on("error", reject);
		});
		sent.on("error", reject);
		sent.end();
	});
}
