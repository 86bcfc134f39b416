import { Packr, pack } from "msgpackr";
import { describe, expect, test } from "vitest";

import {
	formatRecord,
	RecordFormatError,
	type ShownRecord,
} from "../../../src/cli/records/record-format.ts";

const record = (fields: Partial<ShownRecord>): ShownRecord => ({
	topic: "t",
	partition: 0,
	offset: 7,
	timestamp: 1_000,
	key: null,
	valueBytes: null,
	headers: [],
	...fields,
});
const line = (fields: Partial<ShownRecord>, format: "value" | "json" | "msgpack") =>
	Buffer.from(formatRecord(record(fields), format)).toString("latin1");

describe("how consume writes a record", () => {
	test("value: the bytes themselves, whatever they are, and nothing else", () => {
		expect(line({ valueBytes: Uint8Array.of(0xff, 0x00) }, "value")).toBe("\xff\x00");
		expect(line({ valueBytes: new Uint8Array(0) }, "value")).toBe("");
		expect(line({}, "value")).toBe("");
	});

	test("json: text where it is UTF-8, base64 where it is not", () => {
		const fields = {
			key: Buffer.from("k"),
			valueBytes: Uint8Array.of(0xff),
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
		expect(line({ valueBytes: pack({ a: [1, "x"] }) }, "msgpack")).toBe('{"a":[1,"x"]}');
		expect(line({ valueBytes: packr.pack(9007199254740993n) }, "msgpack")).toBe("9007199254740993");
		expect(line({}, "msgpack")).toBe("null");
		expect(() => line({ valueBytes: Uint8Array.of(0xc1) }, "msgpack")).toThrow(RecordFormatError);
		expect(() => line({ valueBytes: Uint8Array.of(1, 2) }, "msgpack")).toThrow(RecordFormatError);
	});
});
