/**
 * The promise: a hostile client can end its own connection and nothing else. Whatever it sends gets
 * a clear error or a close, while a neighbour goes on producing and consuming through the same
 * broker and misses nothing.
 */
import { connect as connectSocket, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CODES, type CodeName } from "../../src/protocol/codes.ts";
import type { FrameValue } from "../../src/protocol/writer.ts";
import { atEndOfSuite, BrokerProcess } from "../broker-process.ts";
import { recordBatch, records } from "../record-batch.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";
import { RawClient } from "../websocket/raw-client.ts";
import { Neighbour } from "./neighbour.ts";

const GZIP = 1;
const VALUES = ["one", "two", "three"].map((text) => new Uint8Array(Buffer.from(text)));
/** More than a batch may expand to. */
const BOMB_BYTES = 128 * 1_048_576;

/** Less than a batch may expand to: stored, after a while. */
const LARGE_BYTES = 60 * 1_048_576;
/** More than the event loop expands by itself. */
const NOT_SMALL_BYTES = 1_048_576;

const bomb = () => gzipSync(records([new Uint8Array(BOMB_BYTES)]));

/** Batches that a broker must not store, and what it says. */
const BATCHES: [name: string, code: CodeName, make: () => Uint8Array][] = [
	["a wrong checksum", "CORRUPT_MESSAGE", () => recordBatch(VALUES, { checksumError: 1 })],
	["a length beyond its end", "INVALID_RECORD", () => recordBatch(VALUES, { length: 10_000 })],
	["a length before its end", "CORRUPT_MESSAGE", () => recordBatch(VALUES, { length: 50 })],
	["a negative length", "CORRUPT_MESSAGE", () => recordBatch(VALUES, { length: -1 })],
	["less than a header", "INVALID_RECORD", () => recordBatch(VALUES).subarray(0, 60)],
	["nothing", "INVALID_RECORD", () => new Uint8Array(0)],
	["an old magic", "INVALID_RECORD", () => recordBatch(VALUES, { magic: 1 })],
	["too many records said", "INVALID_RECORD", () => recordBatch(VALUES, { count: 4 })],
	["too few records said", "INVALID_RECORD", () => recordBatch(VALUES, { count: 2 })],
	["a negative count", "INVALID_RECORD", () => recordBatch(VALUES, { count: -1 })],
	["another last offset", "INVALID_RECORD", () => recordBatch(VALUES, { lastOffsetDelta: 7 })],
	[
		"offsets out of order",
		"INVALID_RECORD",
		() => recordBatch(VALUES, { body: records(VALUES, [0, 2, 1]) }),
	],
	[
		"an unknown codec",
		"UNSUPPORTED_COMPRESSION_TYPE",
		() => recordBatch(VALUES, { attributes: 7 }),
	],
	[
		"what does not decompress",
		"RECORDS_NOT_DECOMPRESSED",
		() => recordBatch(VALUES, { attributes: GZIP }),
	],
	[
		"what is cut short within its compression",
		"RECORDS_NOT_DECOMPRESSED",
		() =>
			recordBatch(VALUES, { attributes: GZIP, body: gzipSync(records(VALUES)).subarray(0, 20) }),
	],
	[
		"a decompression bomb",
		"MESSAGE_TOO_LARGE",
		() => recordBatch([new Uint8Array(1)], { attributes: GZIP, body: bomb() }),
	],
	[
		"more than max.message.bytes",
		"MESSAGE_TOO_LARGE",
		() => recordBatch([new Uint8Array(1_100_000)]),
	],
];

const TOPIC_NAMES = ["a/b", "..", ".", "../../escape", "", "x".repeat(250), "nul\0", "caf\u00e9"];

describe.each(TRANSPORTS)("over %s", (transport) => {
	requireTransport(transport);
	let broker: BrokerProcess;
	let neighbour: Neighbour;
	let hostile: RawClient;

	const atEnd = atEndOfSuite();

	beforeAll(async () => {
		const flags = ["--websocket-transport", transport];
		broker = await BrokerProcess.start({ flags, atEnd });
		neighbour = await Neighbour.start(broker.url);
		hostile = await RawClient.greeted(broker.url);
		await hostile.call("topics.create", { name: "target", partitions: 1 });
	});

	afterAll(async () => {
		hostile.close();
		await neighbour.stop();
		const { code, signal, stderr } = await broker.stop();
		expect({ code, signal }).toEqual({ code: 0, signal: null });
		expect(stderr.split("\n").filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
	});

	test.each(BATCHES)("a batch with %s is %s", async (_, code, make) => {
		expect(await produceBatch(hostile, "target", make())).toBe(CODES[code].code);
		const [row] = await hostile.produce("target", ["still served"]);
		expect(row?.[0]).toBe(0);
		await neighbour.goesOn();
	});

	test.each(TOPIC_NAMES)("a topic called %j is refused everywhere", async (name) => {
		const invalid = CODES.INVALID_TOPIC_EXCEPTION.code;
		expect(await hostile.error(7, 1, "topics.create", { name, partitions: 1 })).toBe(invalid);
		expect(await hostile.error(2, 2, name)).toBe(invalid);
		expect(await produceBatch(hostile, name, recordBatch(VALUES))).toBe(invalid);
		await neighbour.goesOn();
	});

	test("an offset out of range is refused and the connection goes on", async () => {
		const code = await hostile.error(4, 1, 1, "target", 0, 1_000_000, { credit: [10, 10_000] });
		expect(code).toBe(CODES.OFFSET_OUT_OF_RANGE.code);
		await hostile.ping();
		await neighbour.goesOn();
	});

	test("a foreign origin is refused before it is a WebSocket", async () => {
		const opening = RawClient.open(broker.url, { origin: "https://evil.example" });
		await expect(opening).rejects.toThrow("403");
		await neighbour.goesOn();
	});

	test("batches that expand far and want no answer hold up no other connection", async () => {
		const [bomber, other] = [
			await RawClient.greeted(broker.url),
			await RawClient.greeted(broker.url),
		];
		for (const name of ["bombed", "beside"]) await other.call("topics.create", { name });
		const [large, batch] = [expandingBatch(LARGE_BYTES), expandingBatch(NOT_SMALL_BYTES)];
		const bombs = 32;
		for (let id = 100; id < 100 + bombs; id++) {
			bomber.send(3, id, 0, [["bombed", 0, -1, 2, large]]);
		}
		// Answered when everything before it is done.
		bomber.send(3, 99, 2, [["bombed", 0, -1, 2, large]]);
		// All at once: how long this process takes for what it is told is of no account. Written is
		// enough: a busy disk is not what it is to be held up by.
		for (const [index, topic] of ["beside", "bombed", "beside", "bombed"].entries()) {
			other.send(3, 10 + index, 1, [[topic, 0, -1, 2, batch]]);
		}
		for (const id of [10, 11, 12, 13]) {
			const [[code]] = (await other.reply(id))[3] as [[number]];
			expect(code).toBe(0);
		}
		await neighbour.goesOn();
		// A connection's own frames keep their order, and the other's two came in between.
		const [[code, , offset]] = (await bomber.reply(99))[3] as [[number, number, number]];
		expect([code, offset]).toEqual([0, bombs + 2]);
		bomber.close();
		other.close();
	});

	test("hundreds of connections that say nothing, or nonsense, or vanish", async () => {
		const sockets = await Promise.all(Array.from({ length: 300 }, () => open(broker.port)));
		for (const [index, socket] of sockets.entries()) {
			if (index % 3 === 1) socket.write(Buffer.alloc(10_000, index));
			if (index % 3 === 2) socket.resetAndDestroy();
		}
		await neighbour.goesOn();
		for (const socket of sockets) socket.destroy();
		await neighbour.goesOn();
	});

	test("clients that die in the middle of frames", async () => {
		for (let round = 0; round < 20; round++) {
			const client = await RawClient.greeted(broker.url);
			const values = Array<FrameValue>(50).fill(new Uint8Array(10_000));
			client.send(3, 1, 2, [["target", 0, -1, 0, values.map((value) => [value])]]);
			client.send(4, 2, 1, "target", 0, "earliest", { credit: [1_000_000, 60_000_000] });
			if (round % 2 === 0) await client.reply(2);
			client.close();
		}
		await neighbour.goesOn();
	});
});

/** A small batch of one record that expands to `bytes`. */
function expandingBatch(bytes: number): Uint8Array {
	const value = new Uint8Array(bytes);
	return recordBatch([new Uint8Array()], { attributes: GZIP, body: gzipSync(records([value])) });
}

/** Sends a ready batch and answers with the code it gets. */
async function produceBatch(client: RawClient, topic: string, batch: Uint8Array, ack = 2) {
	client.send(3, 5, ack, [[topic, 0, -1, 2, batch]]);
	const frame = await client.reply(5);
	return frame[0] === 130 ? frame[2] : (frame[3] as [[number]])[0][0];
}

function open(port: number): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket = connectSocket(port, "127.0.0.1", () => resolve(socket));
		socket.on("error", reject);
		socket.resume();
	});
}
