import { describe, expect, test } from "vitest";
import { KafkaFrameError } from "../../../src/kafka/wire/frame-error.ts";
import { KafkaReader, readInt32 } from "../../../src/kafka/wire/reader.ts";
import { NIL_UUID } from "../../../src/kafka/wire/uuid.ts";
import { LIMITS } from "../../../src/limits.ts";

const of = (hex: string): KafkaReader =>
	new KafkaReader(Buffer.from(hex.replaceAll(" ", ""), "hex"));

describe("numbers", () => {
	test("are big-endian, with their signs", () => {
		const reader = of("80 7f  8000 7fff ffff  80000000 7fffffff  01 00 02");
		expect([reader.int8(), reader.int8()]).toEqual([-128, 127]);
		expect([reader.int16(), reader.int16(), reader.uint16()]).toEqual([-32_768, 32_767, 65_535]);
		expect([reader.int32(), reader.int32()]).toEqual([-(2 ** 31), 2 ** 31 - 1]);
		// Whatever is not zero is true, as in Kafka.
		expect([reader.boolean(), reader.boolean(), reader.boolean()]).toEqual([true, false, true]);
		expect(reader.remaining).toBe(0);
	});

	test("of 64 bits are exact up to 2^53-1, and rounded beyond", () => {
		expect(of("001fffffffffffff").int64()).toBe(Number.MAX_SAFE_INTEGER);
		expect(of("ffe0000000000001").int64()).toBe(Number.MIN_SAFE_INTEGER);
		expect(of("ffffffffffffffff").int64()).toBe(-1);
		expect(of("7fffffffffffffff").int64()).toBe(2 ** 63);
		expect(of("8000000000000000").int64()).toBe(-(2 ** 63));
	});

	test("of floating point are IEEE 754", () => {
		expect(of("3ff8000000000000").float64()).toBe(1.5);
	});

	test("of variable length have 32 bits at most", () => {
		expect(of("00").unsignedVarint()).toBe(0);
		expect(of("7f").unsignedVarint()).toBe(127);
		expect(of("8001").unsignedVarint()).toBe(128);
		expect(of("ffffffff0f").unsignedVarint()).toBe(2 ** 32 - 1);
		expect(() => of("ffffffff1f").unsignedVarint()).toThrow(KafkaFrameError);
		expect(() => of("8080808080").unsignedVarint()).toThrow(KafkaFrameError);
		expect(() => of("80").unsignedVarint()).toThrow(KafkaFrameError);
	});
});

describe("strings and bytes", () => {
	test("have a classic and a compact form", () => {
		expect(of("0003 68c3a9").string(false)).toBe("hé");
		expect(of("04 68c3a9").string(true)).toBe("hé");
		expect(of("00000002 0102").bytes(false)).toEqual(Buffer.from([1, 2]));
		expect(of("03 0102").bytes(true)).toEqual(Buffer.from([1, 2]));
	});

	test("are null where that is allowed, and refused elsewhere", () => {
		expect(of("ffff").nullableString(false)).toBeNull();
		expect(of("00").nullableString(true)).toBeNull();
		expect(of("ffffffff").nullableBytes(false)).toBeNull();
		expect(of("00").nullableBytes(true)).toBeNull();
		for (const read of [
			() => of("ffff").string(false),
			() => of("00").string(true),
			() => of("ffffffff").bytes(false),
			() => of("00").bytes(true),
			() => of("ffffffff").array(readInt32, 0, false, 4),
		]) {
			expect(read).toThrow(KafkaFrameError);
		}
	});

	test("bytes are views of the frame", () => {
		const frame = Buffer.from("ff03 0102 ff".replaceAll(" ", ""), "hex");
		const reader = new KafkaReader(frame);
		reader.int8();
		const bytes = reader.bytes(true);
		expect(bytes.buffer).toBe(frame.buffer);
		expect([bytes.byteOffset - frame.byteOffset, bytes.length]).toEqual([2, 2]);
	});

	test("what is not UTF-8 becomes replacement characters", () => {
		expect(of("0003 ff41fe").string(false)).toBe("\ufffdA\ufffd");
	});

	test("strings beyond Kafka's bound are refused although their bytes are there", () => {
		const compact = Buffer.concat([Buffer.from("818002", "hex"), Buffer.alloc(32_768, "a")]);
		expect(() => new KafkaReader(compact).string(true)).toThrow("a string of 32768 bytes");
	});

	test("strings that replacement characters make longer than any string can be are refused", () => {
		const read = (length: string, bytes: Buffer, flexible: boolean) =>
			new KafkaReader(Buffer.concat([Buffer.from(length, "hex"), bytes])).string(flexible);
		const most = Buffer.alloc(10_922, 0xff);
		expect(Buffer.byteLength(read("2aaa", most, false))).toBe(32_766);
		const tooMany = Buffer.alloc(10_923, 0xff);
		expect(() => read("2aab", tooMany, false)).toThrow(KafkaFrameError);
		expect(() => read("ac55", tooMany, true)).toThrow(KafkaFrameError);
		const ascii = Buffer.alloc(32_767, 0x61);
		expect(read("7fff", ascii, false)).toBe(ascii.toString());
	});

	test("lengths beyond the frame are refused", () => {
		expect(() => of("0005 6162").string(false)).toThrow(KafkaFrameError);
		expect(() => of("7fffffff 00").bytes(false)).toThrow(KafkaFrameError);
		expect(() => of("ffffffff0f 00").bytes(true)).toThrow(KafkaFrameError);
	});
});

test("UUIDs come in canonical form", () => {
	expect(of("0123456789abcdef0123456789abcdef").uuid()).toBe(
		"01234567-89ab-cdef-0123-456789abcdef",
	);
	expect(of("00".repeat(16)).uuid()).toBe(NIL_UUID);
	expect(() => of("00".repeat(15)).uuid()).toThrow(KafkaFrameError);
});

describe("arrays", () => {
	test("have a classic and a compact form, and may be null", () => {
		expect(of("00000002 00000001 00000002").array(readInt32, 0, false, 4)).toEqual([1, 2]);
		expect(of("02 00000001").array(readInt32, 0, true, 4)).toEqual([1]);
		expect(of("00").nullableArray(readInt32, 0, true, 4)).toBeNull();
		// Kafka takes any negative length for null.
		expect(of("fffffffe").nullableArray(readInt32, 0, false, 4)).toBeNull();
	});

	test("of more elements than fit into the rest are refused before one is read", () => {
		let reads = 0;
		const read = (reader: KafkaReader) => {
			reads++;
			return reader.int32();
		};
		expect(() => of("00000003 00000001 00000002").array(read, 0, false, 4)).toThrow(
			"an array of 3 elements at byte 4",
		);
		expect(reads).toBe(0);
	});

	test("of one frame have a bound on all their elements together", () => {
		const half = LIMITS.kafkaRequestElementsMax / 2 + 1;
		const array = Buffer.alloc(4 + half);
		array.writeInt32BE(half);
		const reader = new KafkaReader(Buffer.concat([array, array]));
		const read = (from: KafkaReader) => from.int8();
		expect(reader.array(read, 0, false, 1)).toHaveLength(half);
		expect(() => reader.array(read, 0, false, 1)).toThrow("more than 262144 elements");
		const tags = Buffer.alloc(3 + 2 * LIMITS.kafkaRequestElementsMax);
		tags.set([0x81, 0x80, 0x10]);
		expect(() => new KafkaReader(Buffer.concat([tags, tags])).skipTags()).toThrow(
			"more than 262144 elements",
		);
	});
});

describe("tagged fields", () => {
	test("that nobody knows are passed over", () => {
		const reader = of("02 05 03 010203 07 00  42");
		reader.skipTags();
		expect(reader.int8()).toBe(0x42);
	});

	test("longer than the frame, or more than it can hold, are refused", () => {
		expect(() => of("01 05 04 010203").skipTags()).toThrow(KafkaFrameError);
		expect(() => of("ffffffff0f 00 00").skipTags()).toThrow("4294967295 tagged fields");
	});

	test("of another length than they say are refused", () => {
		const reader = of("02 00000001");
		const end = reader.taggedEnd();
		reader.int32();
		expect(() => reader.expectAt(end)).toThrow(KafkaFrameError);
	});
});

test("nullable structs have a marker, tagged ones another", () => {
	expect([of("01").present(), of("ff").present()]).toEqual([true, false]);
	expect([of("01").presentTagged(), of("00").presentTagged()]).toEqual([true, false]);
});

test("errors say where", () => {
	const reader = of("00 00");
	reader.int8();
	expect(() => reader.int32()).toThrow("4 bytes expected where 1 are left at byte 1");
	try {
		reader.int32();
		expect.unreachable();
	} catch (error) {
		expect(error).toMatchObject({ name: "KafkaFrameError", position: 1 });
	}
});
