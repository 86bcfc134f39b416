import { Packr, Unpackr } from "msgpackr";
import { describe, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { FrameError, FrameReader, NESTING_MAX } from "../../src/protocol/reader.ts";
import { type FrameValue, FrameWriter } from "../../src/protocol/writer.ts";

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
const write = (value: FrameValue) => new FrameWriter(1).value(value).finishCopy();
const read = (bytes: Uint8Array) => {
	const reader = new FrameReader(bytes);
	const value = reader.value();
	reader.end();
	return value;
};

const VALUES: FrameValue[] = [
	null,
	true,
	false,
	...[0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffffff, 0x100000000].flatMap((edge) => [
		edge,
		-1 - edge,
	]),
	Number.MAX_SAFE_INTEGER,
	Number.MIN_SAFE_INTEGER,
	0.5,
	-1e300,
	...[0, 10, 11, 31, 32, 85, 86, 255, 256, 21_845, 21_846, 65_535, 65_536].map((length) =>
		"x".repeat(length),
	),
	"caf\u00e9 \u4e16\u754c \u{1f600}",
	...[0, 255, 256, 65_535, 65_536].map((length) => new Uint8Array(length).fill(7)),
	[],
	Array.from({ length: 16 }, (_, index) => index),
	Array.from({ length: 65_536 }, () => null),
	{},
	Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`key-${index}`, index])),
	{ nested: [{ deeper: ["x", null, 1] }] },
];

/** Buffers, typed arrays and maps without prototype compare as what they hold. */
function plain(value: unknown): unknown {
	if (value instanceof Uint8Array) return { bytes: [...value] };
	if (Array.isArray(value)) return value.map(plain);
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(Object.entries(value).map(([key, element]) => [key, plain(element)]));
}

describe("the writer", () => {
	test.each(VALUES.map((value) => [value]))("writes what msgpackr reads back: %#", (value) => {
		expect(plain(unpackr.unpack(write(value)))).toEqual(plain(value));
	});

	test("replaces lone surrogates, as TextEncoder does", () => {
		for (const text of ["\ud800", "a\udc00b", "\ud800\ud800\udc00", "\ud83d"]) {
			const bytes = new FrameWriter().string(text).finish();
			expect(bytes.subarray(1)).toEqual(new Uint8Array(new TextEncoder().encode(text)));
		}
	});

	test("refuses integers that a receiver would not get exactly", () => {
		expect(() => new FrameWriter().integer(2 ** 53)).toThrow(RangeError);
		expect(() => new FrameWriter().integer(0.5)).toThrow(RangeError);
		expect(() => new FrameWriter().bigint(2n ** 63n)).toThrow(RangeError);
	});

	test("leaves out map entries that are undefined", () => {
		expect(plain(read(write({ there: 1, absent: undefined })))).toEqual({ there: 1 });
	});
});

describe("the reader", () => {
	test.each(VALUES.map((value) => [value]))("reads what msgpackr writes: %#", (value) => {
		expect(plain(read(packr.pack(value)))).toEqual(plain(value));
	});

	test("keeps integers beyond 2^53 exact", () => {
		for (const value of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n]) {
			expect(read(new FrameWriter().bigint(value).finishCopy())).toBe(value);
		}
	});

	test("takes a float that holds a whole number where an integer is due, and no other", () => {
		expect(new FrameReader(new FrameWriter().float(2 ** 40).finish()).integer()).toBe(2 ** 40);
		for (const value of [0.5, 2 ** 53, Number.NaN]) {
			const reader = new FrameReader(new FrameWriter().float(value).finish());
			expect(() => reader.integer()).toThrow(FrameError);
		}
	});

	test("skips exactly what value() would take", () => {
		for (const value of VALUES) {
			const reader = new FrameReader(write(value));
			reader.skip();
			expect(reader.remaining).toBe(0);
		}
	});

	test.each([
		["an extension", [0xd4, 1, 0]],
		["a timestamp", [0xd6, 0xff, 0, 0, 0, 0]],
		["the byte that MessagePack never uses", [0xc1]],
		["an integer beyond int64", [0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0]],
		["an array that claims four billion elements", [0xdd, 0xff, 0xff, 0xff, 0xff]],
		["a map that claims four billion entries", [0xdf, 0xff, 0xff, 0xff, 0xff]],
		["a binary longer than the frame", [0xc6, 0x7f, 0xff, 0xff, 0xff, 0]],
		["a string longer than the frame", [0xd9, 5, 0x61]],
		["a string that is not UTF-8", [0xa2, 0xc3, 0x28]],
		["an overlong encoding", [0xa2, 0xc0, 0x80]],
		["a surrogate in UTF-8", [0xa3, 0xed, 0xa0, 0x80]],
		["a map whose key is not a string", [0x81, 1, 1]],
		["nothing", []],
		["a number cut short", [0xcb, 0, 0]],
		["bytes behind the value", [1, 2]],
	])("refuses %s", (_, bytes) => {
		expect(() => read(new Uint8Array(bytes))).toThrow(FrameError);
	});

	test("bounds nesting at the limit of the core", () => {
		expect(NESTING_MAX).toBe(LIMITS.nestingMax);
		const nested = (depth: number) => new Uint8Array([...Array(depth - 1).fill(0x91), 0x90]);
		new FrameReader(nested(NESTING_MAX)).value(0);
		new FrameReader(nested(NESTING_MAX)).skip(0);
		expect(() => new FrameReader(nested(NESTING_MAX + 1)).value(0)).toThrow(FrameError);
		expect(() => new FrameReader(nested(NESTING_MAX + 1)).skip(0)).toThrow(FrameError);
		expect(() => new FrameReader(new Uint8Array(1_000_000).fill(0x91)).skip(0)).toThrow(FrameError);
	});

	test("a key such as __proto__ is a key like any other", () => {
		const bytes = new FrameWriter()
			.map(1)
			.string("__proto__")
			.map(1)
			.string("polluted")
			.boolean(true);
		const map = read(bytes.finish()) as Record<string, unknown>;
		expect(Object.keys(map)).toEqual(["__proto__"]);
		expect(({} as Record<string, unknown>).polluted).toBeUndefined();
	});

	test("survives every truncation and every changed byte of a frame", () => {
		const frame = write([
			7,
			1,
			"topics.create",
			{ name: "t", configs: { a: "b" }, n: [1.5, null] },
		]);
		for (let length = 0; length < frame.length; length++) {
			expect(() => read(frame.subarray(0, length))).toThrow(FrameError);
		}
		for (let at = 0; at < frame.length; at++) {
			for (let byte = 0; byte < 256; byte++) {
				const changed = frame.slice();
				changed[at] = byte;
				try {
					read(changed);
				} catch (error) {
					expect(error).toBeInstanceOf(FrameError);
				}
			}
		}
	});
});
