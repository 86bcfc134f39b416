import { describe, expect, test } from "vitest";
import { PRODUCE } from "../../../src/kafka/generated/00-produce.ts";
import { FETCH } from "../../../src/kafka/generated/01-fetch.ts";
import { METADATA } from "../../../src/kafka/generated/03-metadata.ts";
import { KafkaWriter } from "../../../src/kafka/wire/writer.ts";
import { decodeResponse } from "../client-codec.ts";

/** The bytes, in hexadecimal, of what a test writes. */
function written(write: (writer: KafkaWriter) => void): string {
	const writer = new KafkaWriter().start();
	write(writer);
	return Buffer.from(writer.finish()).toString("hex");
}

describe("numbers", () => {
	test("are big-endian, with their signs", () => {
		expect(written((writer) => writer.int8(-1).int16(-2).uint16(65_534).int32(-3))).toBe(
			"fffffefffefffffffd",
		);
		expect(written((writer) => writer.boolean(true).boolean(false).float64(1.5))).toBe(
			"01003ff8000000000000",
		);
	});

	test("of 64 bits end at the largest int64, which a number rounds up", () => {
		expect(written((writer) => writer.int64(Number.MAX_SAFE_INTEGER))).toBe("001fffffffffffff");
		expect(written((writer) => writer.int64(-1))).toBe("ffffffffffffffff");
		expect(written((writer) => writer.int64(2 ** 63))).toBe("7fffffffffffffff");
		expect(written((writer) => writer.int64(-(2 ** 63)))).toBe("8000000000000000");
	});

	test("that do not fit are refused", () => {
		const writer = new KafkaWriter().start();
		for (const write of [
			() => writer.int8(128),
			() => writer.int16(-32_769),
			() => writer.uint16(-1),
			() => writer.int32(2 ** 31),
			() => writer.int32(0.5),
			() => writer.int64(0.5),
			() => writer.int64(Number.NaN),
			() => writer.int64(-(2 ** 64)),
			() => writer.unsignedVarint(-1),
			() => writer.unsignedVarint(2 ** 32),
		]) {
			expect(write).toThrow(RangeError);
		}
	});

	test("of variable length take what they need", () => {
		expect(written((writer) => writer.unsignedVarint(127).unsignedVarint(128))).toBe("7f8001");
		expect(written((writer) => writer.unsignedVarint(2 ** 32 - 1))).toBe("ffffffff0f");
	});
});

describe("strings", () => {
	test("have a classic and a compact form, long or short, ASCII or not", () => {
		const texts = [
			"",
			"ascii",
			"hé",
			"é".repeat(40),
			"x".repeat(64),
			"x".repeat(65),
			"x".repeat(200),
		];
		for (const text of texts) {
			const bytes = Buffer.from(text);
			const length = bytes.length.toString(16).padStart(4, "0");
			expect(written((writer) => writer.string(text, false))).toBe(length + bytes.toString("hex"));
			const compact = written((writer) => writer.unsignedVarint(bytes.length + 1));
			expect(written((writer) => writer.string(text, true))).toBe(compact + bytes.toString("hex"));
		}
	});

	test("may be null", () => {
		expect(written((writer) => writer.nullableString(null, false))).toBe("ffff");
		expect(written((writer) => writer.nullableString(null, true))).toBe("00");
	});

	test("beyond Kafka's bound are refused", () => {
		expect(() => written((writer) => writer.string("x".repeat(32_768), true))).toThrow(RangeError);
	});
});

test("UUIDs are taken in canonical form only", () => {
	const uuid = "01234567-89ab-cdef-0123-456789abcdef";
	expect(written((writer) => writer.uuid(uuid))).toBe(uuid.replaceAll("-", ""));
	for (const text of [uuid.toUpperCase(), uuid.slice(1), uuid.replace("-", "0"), `${uuid}0`, ""]) {
		expect(() => written((writer) => writer.uuid(text))).toThrow("not a UUID");
	}
});

test("tagged fields of any length have that length before them", () => {
	for (const count of [0, 1, 127, 128, 16_383, 16_384, 100_000]) {
		const text = written((writer) => {
			const start = writer.startTagged(3);
			for (let index = 0; index < count; index++) writer.int8(index & 0x7f);
			writer.endTagged(start);
			writer.int8(-1);
		});
		const content = Buffer.from(Array.from({ length: count }, (_, index) => index & 0x7f));
		const length = written((writer) => writer.unsignedVarint(count));
		expect(text).toBe(`03${length}${content.toString("hex")}ff`);
	}
});

describe("frames", () => {
	const response = (records: Uint8Array) => ({
		responses: [
			{
				topic: "t",
				partitions: [
					{ partitionIndex: 0, errorCode: 0, highWatermark: 5, abortedTransactions: null, records },
					{
						partitionIndex: 1,
						errorCode: 3,
						highWatermark: -1,
						abortedTransactions: [],
						records: null,
					},
				],
			},
		],
	});
	const whole = (chunks: readonly Uint8Array[]): Buffer => {
		const bytes = Buffer.concat(chunks);
		expect(bytes.readInt32BE()).toBe(bytes.length - 4);
		return bytes.subarray(4);
	};

	test("keep records where they are", () => {
		const writer = new KafkaWriter();
		const records = Buffer.alloc(5_000, 7);
		FETCH.writeResponse(writer.startFrame(9, false), response(records), 11);
		const chunks = writer.finishFrame();
		expect(chunks).toHaveLength(3);
		expect(chunks[1]).toBe(records);
		const { correlationId, fields } = decodeResponse("Fetch", 11, whole(chunks));
		expect(correlationId).toBe(9);
		expect(fields).toMatchObject({ responses: [{ partitions: [{ records }, { records: null }] }] });
	});

	test("keep what was written before where it is, unless it is little", () => {
		const writer = new KafkaWriter();
		const long = Buffer.alloc(1_024, 7);
		const short = Buffer.alloc(1_023, 8);
		writer.startFrame(9, false).verbatim(short).verbatim(long).int8(1);
		const chunks = writer.finishFrame();
		expect(chunks).toHaveLength(3);
		expect(chunks[1]).toBe(long);
		const frame = Buffer.concat(chunks);
		expect(frame.readInt32BE(0)).toBe(frame.length - 4);
		expect(frame.subarray(8).equals(Buffer.concat([short, long, Buffer.from([1])]))).toBe(true);
	});

	test("copy records that are few", () => {
		const writer = new KafkaWriter();
		const records = Buffer.alloc(1_023, 7);
		FETCH.writeResponse(writer.startFrame(9, true), response(records), 12);
		const chunks = writer.finishFrame();
		expect(chunks).toHaveLength(1);
		records.fill(0);
		const { fields } = decodeResponse("Fetch", 12, whole(chunks));
		expect(fields).toMatchObject({
			responses: [{ partitions: [{ records: Buffer.alloc(1_023, 7) }, {}] }],
		});
	});

	test("stay as they are while the writer goes on, whatever their sizes", () => {
		const writer = new KafkaWriter();
		const sizes = [10, 3_000, 1, 0, 40_000, 70_000, 200, 300_000, 5, 30_000, 30_000, 30_000, 60];
		const view = Buffer.alloc(2_000, 9);
		const frames = sizes.map((size, index) => {
			const text = Buffer.alloc(Math.min(size, 30_000), 97 + index).toString();
			writer.startFrame(index, false).array(
				Array.from({ length: 1 + Math.floor(size / 30_000) }, () => text),
				(to, element) => to.string(element, true).records(view, true),
				0,
				true,
			);
			return writer.finishFrame();
		});
		for (const [index, chunks] of frames.entries()) {
			const size = sizes[index] as number;
			const count = 1 + Math.floor(size / 30_000);
			const text = Buffer.alloc(Math.min(size, 30_000), 97 + index).toString();
			const bytes = whole(chunks);
			const expected = written((to) =>
				to.int32(index).array(
					Array.from({ length: count }, () => text),
					(again, element) => again.string(element, true).bytes(view, true),
					0,
					true,
				),
			);
			expect(bytes.toString("hex")).toBe(expected);
		}
	});

	test("that fail half-way leave no trace", () => {
		const writer = new KafkaWriter();
		writer.startFrame(1, false).string("begun", true).records(Buffer.alloc(2_000), true);
		expect(() => writer.int8(1_000)).toThrow(RangeError);
		expect(Buffer.concat(writer.startFrame(2, true).finishFrame()).toString("hex")).toBe(
			"000000050000000200",
		);
	});
});

describe("fields that a version does not have", () => {
	const written = (response: Parameters<typeof FETCH.writeResponse>[1], version: number) =>
		FETCH.writeResponse(new KafkaWriter().start(), response, version);

	test("are left out when they may be", () => {
		const writer = new KafkaWriter();
		METADATA.writeResponse(
			writer.startFrame(0, false),
			{ clusterId: "c", controllerId: 1, brokers: [], topics: [], errorCode: 7 },
			0,
		);
		const bytes = Buffer.concat(writer.finishFrame()).subarray(4);
		expect(decodeResponse("Metadata", 0, bytes).fields).toEqual({ brokers: [], topics: [] });
	});

	test("are an error when they may not, unless they have their default", () => {
		expect(() => written({ sessionId: 7, responses: [] }, 6)).toThrow(
			"FetchResponse.sessionId is set, which version 6 does not have",
		);
		written({ sessionId: 0, responses: [] }, 6);
		written({ sessionId: 7, responses: [] }, 7);
		const nodeEndpoints = [{ nodeId: 1, host: "h", port: 2 }];
		expect(() => written({ responses: [], nodeEndpoints }, 15)).toThrow(RangeError);
		written({ responses: [], nodeEndpoints: [] }, 15);
		const partition = { index: 0, errorCode: 0, baseOffset: 0, currentLeader: { leaderId: 1 } };
		const responses = [{ name: "t", partitionResponses: [partition] }];
		expect(() => PRODUCE.writeResponse(new KafkaWriter().start(), { responses }, 9)).toThrow(
			"ProduceResponse.currentLeader is set",
		);
	});

	test("null is refused in versions that do not allow it", () => {
		const topics = [
			{
				name: null,
				topicId: "01234567-89ab-cdef-0123-456789abcdef",
				errorCode: 100,
				partitions: [],
			},
		];
		const write = (version: number) =>
			METADATA.writeResponse(new KafkaWriter().start(), { brokers: [], topics }, version);
		write(12);
		expect(() => write(11)).toThrow("MetadataResponse.name is null");
	});
});
