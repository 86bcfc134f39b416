import { connect } from "node:net";
import { describe, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { type FrameValue, FrameWriter } from "../../src/protocol/writer.ts";
import { seed } from "../seed.ts";
import { serve, TRANSPORTS } from "./harness.ts";

const encode = (value: FrameValue) => new FrameWriter().value(value).finishCopy();
const nested = (depth: number): FrameValue => (depth === 0 ? 1 : [nested(depth - 1)]);

describe.each(TRANSPORTS)("bad input over %s", (transport) => {
	const at = serve(transport);

	test.each([
		["an empty message", new Uint8Array(0)],
		["something that is no array", encode({ hello: 1 })],
		["an empty array", encode([])],
		["an operation that is no number", encode(["hello", 1])],
		["a known operation without an id", encode([9])],
		["an id that is negative", encode([9, -1])],
		["an id beyond uint32", encode([9, 2 ** 32])],
		["an id that is a string", encode([9, "1"])],
		["bytes that are not MessagePack", new Uint8Array([0xc1, 0xff, 0x00])],
		["credit with a negative count", encode([5, 1, -1, 0])],
		["credit that is cut short", encode([5, 1])],
	])("%s is closed with 4400, told why, and harms nobody else", async (_, bytes) => {
		const client = await at.client();
		const neighbour = await at.client();
		client.sendBytes(bytes);
		const error = await client.take(([operation]) => operation === 130);
		expect(error.slice(0, 3)).toEqual([130, null, 1000]);
		expect(await client.closed()).toBe(4400);
		await neighbour.ping();
	});

	test.each([
		["a truncated call", encode([7, 5, "topics.list", {}]).subarray(0, 9)],
		["an array that claims to be huge", new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff, 9, 5])],
		["a call whose name is a number", encode([7, 5, 1, {}])],
		["a call without a name", encode([7, 5])],
		["arguments that are no map", encode([7, 5, "topics.list", 3])],
		["structure nested too deeply", encode([7, 5, "topics.list", { x: nested(16) }])],
		[
			"more values than a request may have",
			encode([7, 5, "topics.list", { x: Array(70_000).fill(0) }]),
		],
		["more values than that behind the known ones", encode([9, 5, Array(70_000).fill(0)])],
		["a string longer than the frame", new Uint8Array([0x93, 7, 5, 0xdb, 0x7f, 255, 255, 255])],
		[
			"a map larger than the frame",
			new Uint8Array([0x94, 7, 5, 0xa1, 97, 0xdf, 255, 255, 255, 255]),
		],
		["an extension type", new Uint8Array([0x94, 7, 5, 0xa1, 97, 0xd4, 1, 1])],
		["bytes behind the frame", new Uint8Array([...encode([9, 5]), 0])],
		["a subscription without a topic", encode([4, 5, 1])],
		["a produce frame without entries", encode([3, 5, 1])],
		["a produce frame whose entry is cut short", encode([3, 5, 1, [["t", 0]]])],
		[
			"a produce frame with an ack that does not exist",
			encode([3, 5, 9, [["t", 0, -1, 0, [["v"]]]]]),
		],
	])("%s is answered with MALFORMED_FRAME and the connection goes on", async (_, bytes) => {
		const client = await at.client();
		client.sendBytes(bytes);
		expect((await client.reply(5)).slice(0, 3)).toEqual([130, 5, 1000]);
		await client.ping();
	});

	test("an unknown operation is answered and the connection goes on", async () => {
		const client = await at.client();
		expect(await client.error(77, 5, "whatever")).toBe(1001);
		client.send(77, "no id");
		expect((await client.take(([operation]) => operation === 130)).slice(0, 3)).toEqual([
			130,
			null,
			1001,
		]);
		expect(await client.error(7, 6, "no.such.call", {})).toBe(1001);
		await client.ping();
	});

	test("trailing elements and unknown map keys are ignored", async () => {
		const client = await at.client();
		await client.answer(9, 5, "of", ["a", { later: "version" }]);
		await client.answer(7, 6, "topics.list", { of_a_later: "version" }, 1, null);
	});

	test("a text message is closed with 1003", async () => {
		const client = await at.client();
		client.socket.send("hello");
		expect(await client.closed()).toBe(1003);
	});

	test("a message at the frame limit is read, one beyond it is closed with 1009", async () => {
		const client = await at.client();
		const overhead = encode([9, 5, new Uint8Array(LIMITS.frameBytesMax - 100)]).length;
		const padding = 2 * LIMITS.frameBytesMax - 100 - overhead;
		const largest = encode([9, 5, new Uint8Array(padding)]);
		expect(largest.length).toBe(LIMITS.frameBytesMax);
		client.sendBytes(largest);
		await client.reply(5);
		client.sendBytes(new Uint8Array([...largest.subarray(0, 20), ...largest]));
		expect(await client.closed()).toBe(1009);
	});

	test("fragments add up to the limit, too", async () => {
		const client = await at.client();
		const fragment = new Uint8Array(LIMITS.frameBytesMax / 2 + 1);
		client.socket.send(fragment, { fin: false });
		client.socket.send(fragment, { fin: true });
		expect(await client.closed()).toBe(1009);
	});

	test("a message far beyond the limit ends only its own connection", async () => {
		const client = await at.client();
		const neighbour = await at.client();
		client.sendBytes(new Uint8Array(3 * LIMITS.frameBytesMax));
		expect([1006, 1009]).toContain(await client.closed());
		await neighbour.ping();
	});

	test("broken WebSocket framing ends only its own connection", async () => {
		const neighbour = await at.client();
		const { port } = at.server.address;
		const upgrade =
			`GET / HTTP/1.1\r\nHost: localhost:${port}\r\n` +
			"Upgrade: websocket\r\nConnection: Upgrade\r\n";
		const websocket =
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
		const garbage = [
			"GET / HTTP/1.1\r\n\r\n",
			"\x16\x03\x01\x02\x00\x01",
			`${upgrade}\r\n`,
			`${upgrade}${websocket}\r\n\xff\xff\xff`,
		];
		for (const text of garbage) {
			await new Promise<void>((resolve) => {
				const socket = connect(port, "127.0.0.1", () => {
					socket.write(text, "latin1");
					setTimeout(() => socket.destroy(), 50);
				});
				socket.resume();
				socket.on("close", () => resolve());
			});
		}
		await neighbour.ping();
		expect(at.errors).toEqual([]);
	});

	test("random bytes behind a known operation never break the session or the server", async () => {
		const random = randomBytes(seed);
		const neighbour = await at.client();
		for (let round = 0; round < 100; round++) {
			const client = await at.client();
			for (let index = 0; index < 5; index++) {
				const bytes = random(1 + (round % 40));
				client.sendBytes(new Uint8Array([0x95, 1 + (index % 9), index, ...bytes]));
			}
			await Promise.race([client.ping(), client.closed()]).catch(() => undefined);
			client.close();
		}
		await neighbour.ping();
		expect(at.errors, `SEED=${seed}`).toEqual([]);
	});
});

/** A generator of bytes that depends on nothing but its seed. */
function randomBytes(seed: number): (count: number) => number[] {
	let state = seed >>> 0;
	return (count) =>
		Array.from({ length: count }, () => {
			state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
			return state >>> 24;
		});
}
