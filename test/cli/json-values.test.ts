import { Packr, pack } from "msgpackr";
import { describe, expect, test } from "vitest";

import { formatJson, InexactJsonError, parseExactJson } from "../../src/cli/json-values.ts";
import { formatRecord, RecordFormatError, type StoredRecord } from "../../src/cli/record-format.ts";

const record = (fields: Partial<StoredRecord>): StoredRecord => ({
	topic: "t",
	partition: 0,
	offset: 7,
	timestampMs: 1_000,
	key: null,
	value: null,
	headers: [],
	...fields,
});
const line = (fields: Partial<StoredRecord>, format: "value" | "json" | "msgpack") =>
	Buffer.from(formatRecord(record(fields), format)).toString("latin1");

describe("JSON on the command line", () => {
	test("a number that JavaScript would round is refused, wherever it stands", () => {
		expect(parseExactJson('{"a":[9007199254740991]}')).toEqual({ a: [9007199254740991] });
		expect(() => parseExactJson('{"a":[9007199254740993]}')).toThrow(InexactJsonError);
		expect(() => parseExactJson("1e999")).toThrow(InexactJsonError);
		expect(parseExactJson('"9007199254740993"')).toBe("9007199254740993");
		expect(() => parseExactJson("{")).toThrow(SyntaxError);
	});

	test("what MessagePack has and JSON has not is written so that nothing is lost", () => {
		const value = new Map<unknown, unknown>([
			["a", 18446744073709551615n],
			[1, new Uint8Array([255, 0])],
			["b", [true, null, "ä\n", 1.5]],
		]);
		expect(formatJson(value)).toBe(
			'{"a":18446744073709551615,"1":"/wA=","b":[true,null,"ä\\n",1.5]}',
		);
	});
});

describe("how consume writes a record", () => {
	test("value: the bytes themselves, whatever they are, and a newline", () => {
		expect(line({ value: Uint8Array.of(0xff, 0x00) }, "value")).toBe("\xff\x00\n");
		expect(line({ value: new Uint8Array(0) }, "value")).toBe("\n");
		expect(line({}, "value")).toBe("\n");
	});

	test("json: text where it is UTF-8, base64 where it is not", () => {
		const fields = {
			key: Buffer.from("k"),
			value: Uint8Array.of(0xff),
			headers: [["h", Uint8Array.of(0xfe)] as const],
		};
		expect(JSON.parse(line(fields, "json"))).toEqual({
			topic: "t",
			partition: 0,
			offset: 7,
			timestamp_ms: 1_000,
			key: "k",
			value_base64: "/w==",
			headers: [["h", { base64: "/g==" }]],
		});
	});

	test("msgpack: the decoded value as JSON", () => {
		const packr = new Packr({ useRecords: false, largeBigIntToFloat: false });
		expect(line({ value: pack({ a: [1, "x"] }) }, "msgpack")).toBe('{"a":[1,"x"]}\n');
		expect(line({ value: packr.pack(9007199254740993n) }, "msgpack")).toBe("9007199254740993\n");
		expect(line({}, "msgpack")).toBe("null\n");
		expect(() => line({ value: Uint8Array.of(0xc1) }, "msgpack")).toThrow(RecordFormatError);
		expect(() => line({ value: Uint8Array.of(1, 2) }, "msgpack")).toThrow(RecordFormatError);
	});
});
