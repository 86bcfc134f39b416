import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, test } from "vitest";
import { ByteWriter } from "../../src/client/values/byte-writer.ts";
import { type CodecName, valueCodec } from "../../src/client/values/codecs.ts";
import { seed } from "../seed.ts";

const packr = new Packr({ useRecords: false, int64AsType: "number", mapsAsObjects: true });

function encode(codec: CodecName, value: unknown): Uint8Array {
	const writer = new ByteWriter(4);
	valueCodec<unknown>(codec).write(writer, value);
	return writer.written().slice();
}

const decode = (bytes: Uint8Array) => valueCodec("messagepack").read(bytes, 0, bytes.length);

/** Text of every kind, without lone surrogates. */
const text = fc.oneof(fc.string(), fc.string({ unit: "grapheme", maxLength: 80 }));

const key = text.filter((each) => each !== "__proto__");

const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double());

const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
	value: fc.oneof(
		{ depthSize: "small" },
		fc.constantFrom(null, true, false),
		number,
		text,
		fc.date({ noInvalidDate: true }),
		fc.uint8Array(),
		fc.array(tie("value"), { maxLength: 20 }),
		fc.dictionary(key, tie("value"), { maxKeys: 20 }),
	),
})).value;

/** Buffers, Uint8Arrays and objects without a prototype compare by what is in them. */
function plain(each: unknown, negativeZero = -0): unknown {
	if (Object.is(each, -0)) return negativeZero;
	if (each instanceof Uint8Array) return { bytes: [...each] };
	if (Array.isArray(each)) return each.map((inner) => plain(inner, negativeZero));
	if (each instanceof Date || each === null || typeof each !== "object") return each;
	return Object.fromEntries(
		Object.entries(each).map(([name, inner]) => [name, plain(inner, negativeZero)]),
	);
}

describe("MessagePack values", () => {
	test("survive the round trip", () => {
		fc.assert(
			fc.property(value, (each) => {
				expect(plain(decode(encode("messagepack", each)))).toEqual(plain(each));
			}),
			{ seed, numRuns: 2_000 },
		);
	});

	test("are read alike by another library, and its encoding by us", () => {
		fc.assert(
			fc.property(value, (each) => {
				expect(plain(packr.unpack(encode("messagepack", each)))).toEqual(plain(each));
				// It writes -0 as an integer.
				expect(plain(decode(packr.pack(each)))).toEqual(plain(each, 0));
			}),
			{ seed, numRuns: 1_000 },
		);
	});

	test("integers take their shortest form", () => {
		const bytesOf: [number, number][] = [
			[127, 1],
			[128, 2],
			[255, 2],
			[256, 3],
			[65_535, 3],
			[65_536, 5],
			[4_294_967_295, 5],
			[4_294_967_296, 9],
			[-32, 1],
			[-33, 2],
			[-128, 2],
			[-129, 3],
			[-32_769, 5],
			[-2_147_483_649, 9],
		];
		for (const [each, bytes] of bytesOf)
			expect([each, encode("messagepack", each).length]).toEqual([each, bytes]);
	});

	test("__proto__ as a key stays a key", () => {
		const hostile = JSON.parse('{"__proto__": {"admin": true}}') as object;
		const back = decode(encode("messagepack", hostile)) as Record<string, unknown>;
		expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
		expect(Object.keys(back)).toEqual(["__proto__"]);
	});

	test("undefined properties are left out; elsewhere undefined is refused", () => {
		expect(decode(encode("messagepack", { a: undefined, b: 1 }))).toEqual({ b: 1 });
		expect(() => encode("messagepack", [undefined])).toThrow(
			expect.objectContaining({ code: "UNREPRESENTABLE_VALUE" }),
		);
	});

	const cyclic: unknown[] = [];
	cyclic.push(cyclic);
	test.each([
		["a bigint", 1n],
		["a function", () => 1],
		["a symbol", Symbol("x")],
		["a Map", new Map()],
		["a class instance", new (class Thing {})()],
		["an invalid date", new Date(Number.NaN)],
		["a lone surrogate", "\ud800"],
		["a key with a lone surrogate", { "\udc00": 1 }],
		["other typed arrays", new Float32Array(1)],
		["a hole", new Array(1)],
		["a cycle", cyclic],
	])("%s is refused", (_name, each) => {
		expect(() => encode("messagepack", { each })).toThrow(
			expect.objectContaining({ code: "UNREPRESENTABLE_VALUE", retriable: false }),
		);
	});

	test("whatever bytes are read: a value or an error, never more", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
				try {
					decode(bytes);
				} catch (error) {
					expect(["FrameError", "TypeError"]).toContain((error as Error).name);
				}
			}),
			{ seed, numRuns: 5_000 },
		);
	});

	test("lying lengths, deep nesting and other extensions are refused", () => {
		const hostile = [
			[0xdd, 0xff, 0xff, 0xff, 0xff],
			[0xdf, 0xff, 0xff, 0xff, 0xff],
			[0xc6, 0xff, 0xff, 0xff, 0xff, 1],
			[0xd4, 0x72, 1],
			[0xc7, 3, 0xff, 1, 2, 3],
			Array(2_000).fill(0x91),
		];
		for (const bytes of hostile) expect(() => decode(Uint8Array.from(bytes))).toThrow(/at byte/);
	});
});

describe("other codecs", () => {
	test("string and json store UTF-8, bytes what they are given", () => {
		fc.assert(
			fc.property(text, fc.jsonValue(), fc.uint8Array(), (string, json, bytes) => {
				expect(packr.unpack(encode("string", string))).toBe(string);
				expect(packr.unpack(encode("json", json))).toBe(JSON.stringify(json));
				expect(new Uint8Array(packr.unpack(encode("bytes", bytes)) as Uint8Array)).toEqual(bytes);
			}),
			{ seed },
		);
		const stored = new TextEncoder().encode('{"a":"é"}');
		expect(valueCodec("json").read(stored, 0, stored.length)).toEqual({ a: "é" });
		expect(valueCodec("string").read(stored, 1, 4)).toBe('"a"');
	});

	test("what they cannot hold is refused", () => {
		const refused = expect.objectContaining({ code: "UNREPRESENTABLE_VALUE" });
		expect(() => encode("string", 1)).toThrow(refused);
		expect(() => encode("string", "\ud800")).toThrow(refused);
		expect(() => encode("bytes", "text")).toThrow(refused);
		expect(() => encode("json", undefined)).toThrow(refused);
		expect(() => valueCodec("xml" as CodecName)).toThrow(
			expect.objectContaining({ code: "INVALID_ARGUMENT" }),
		);
	});

	test("a codec of your own writes bytes and reads them", () => {
		const codec = valueCodec<number>({
			encode: (each) => Uint8Array.of(each),
			decode: (bytes) => bytes[0] as number,
		});
		const writer = new ByteWriter(1);
		codec.write(writer, 7);
		expect([...writer.written()]).toEqual([0xc4, 1, 7]);
		expect(codec.read(writer.written(), 2, 3)).toBe(7);
	});
});
