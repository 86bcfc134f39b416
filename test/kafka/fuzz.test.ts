/**
 * Bytes from anyone: random ones, and whole messages that were damaged. Whatever they say, the
 * codec answers a message no larger than the bytes allow, or a KafkaFrameError.
 */
import { expect, test } from "vitest";
import { APIS } from "../../src/kafka/generated/apis.ts";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import { openRequest } from "../../src/kafka/headers.ts";
import { KafkaFrameError } from "../../src/kafka/wire/frame-error.ts";
import { KafkaReader } from "../../src/kafka/wire/reader.ts";
import { seed } from "../seed.ts";
import { encodeMessage } from "./client-codec.ts";
import { damaged, numbersOf, oneOf } from "./damage.ts";
import { exampleMessage } from "./example-message.ts";
import { generatedSchemas, versionsOf } from "./generated-schemas.ts";

const ROUNDS = 60;

/**
 * Values that are decoded from one byte at most: the smallest struct has an empty array and
 * tags.
 */
const VALUES_PER_BYTE = 4;
/** Values of an empty message. */
const VALUES_MIN = 64;

/** Values in a message, itself included. */
function valuesIn(value: unknown): number {
	if (value instanceof Uint8Array || typeof value !== "object" || value === null) return 1;
	return Object.values(value).reduce((sum: number, inner) => sum + valuesIn(inner), 1);
}

/** Whether the bytes were read as a message; anything but a frame error fails the test. */
function isRead(bytes: Buffer, read: (reader: KafkaReader) => unknown): boolean {
	const reader = new KafkaReader(bytes);
	try {
		const message = read(reader);
		expect(reader.position).toBeLessThanOrEqual(bytes.length);
		expect(valuesIn(message)).toBeLessThan(VALUES_MIN + VALUES_PER_BYTE * bytes.length);
		return true;
	} catch (error) {
		if (error instanceof KafkaFrameError) return false;
		throw new Error(`seed ${seed}, bytes ${bytes.toString("hex")}`, { cause: error });
	}
}

/** Damages messages of every version again and again. */
function expectSafe(
	name: string,
	versions: { oldest: number; latest: number },
	read: (reader: KafkaReader, version: number) => unknown,
): void {
	const below = numbersOf(seed + name.length * 7_919);
	let refused = 0;
	let bytesMax = 0;
	for (const version of versionsOf(versions)) {
		const whole = encodeMessage(name, version, exampleMessage(name, version));
		bytesMax = Math.max(bytesMax, whole.length);
		for (let round = 0; round < ROUNDS && whole.length > 0; round++) {
			const bytes = damaged(Buffer.from(whole), below);
			if (!isRead(bytes, (reader) => read(reader, version))) refused++;
		}
	}
	// Only what has no fields has nothing that could be wrong.
	expect(refused > 0).toBe(bytesMax > 0);
}

test.for(APIS.map((api) => [`${api.name}Request`, api] as const))("%s", ([name, api]) => {
	expectSafe(name, api, api.readRequest);
});

test.for((await generatedSchemas()).map((schema) => [schema.name, schema] as const))(
	"%s",
	([name, schema]) => expectSafe(name, schema, schema.read),
);

test("headers, and bodies behind them", () => {
	const below = numbersOf(seed);
	const served = [...SERVED_APIS.values()];
	for (let round = 0; round < 5_000; round++) {
		const frame = Buffer.from(Array.from({ length: below(200) }, () => below(256)));
		const { facts } = oneOf(served, below);
		if (frame.length >= 4 && below(4) > 0) {
			frame.writeInt16BE(facts.key);
			frame.writeInt16BE(facts.oldest + below(facts.latest - facts.oldest + 2), 2);
		}
		isRead(frame, () => {
			const { reader, header, isVersionUnknown } = openRequest(frame, SERVED_APIS);
			const api = APIS.find(({ key }) => key === header.apiKey);
			return isVersionUnknown ? null : api?.readRequest(reader, header.apiVersion);
		});
	}
});

test("a reader that fails otherwise, or makes too much of its bytes, is found out", () => {
	const fails = () => {
		throw new TypeError("not a frame error");
	};
	expect(() => isRead(Buffer.alloc(3), fails)).toThrow(`seed ${seed}, bytes 000000`);
	expect(() => isRead(Buffer.alloc(3), () => Array.from({ length: 100 }))).toThrow("seed");
});
