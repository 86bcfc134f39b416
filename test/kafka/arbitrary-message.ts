/** Random messages of any definition and version, for fast-check. */
import fc from "fast-check";
import { type Field, type Message, PRIMITIVES } from "../../src/kafka/definitions/parse.mjs";
import { defaultOf, type Fields, messageOf, structOf, type Value, within } from "./client-codec.ts";

const UUID_BYTES = 16;

const primitives: Record<string, fc.Arbitrary<Value>> = {
	bool: fc.boolean(),
	int8: fc.integer({ min: -128, max: 127 }),
	int16: fc.integer({ min: -32_768, max: 32_767 }),
	uint16: fc.integer({ min: 0, max: 65_535 }),
	int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
	int64: fc.maxSafeInteger(),
	// Never whole: Kafka's JSON would take it for an integer.
	float64: fc
		.double({ noNaN: true, min: -1e9, max: 1e9 })
		.map((value) => (Number.isInteger(value) ? value + 0.5 : value)),
	uuid: fc
		.uint8Array({ minLength: UUID_BYTES, maxLength: UUID_BYTES })
		.map((bytes) => hyphenated(Buffer.from(bytes).toString("hex"))),
	// Also longer than what the length takes one byte for.
	string: fc.oneof(fc.string({ unit: "grapheme", maxLength: 20 }), fc.string({ minLength: 130 })),
	bytes: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
	records: fc.uint8Array({ maxLength: 1_500 }).map((bytes) => Buffer.from(bytes)),
};

function hyphenated(hex: string): string {
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Messages with a value for each field that the version has. */
export function arbitraryMessage(name: string, version: number): fc.Arbitrary<Fields> {
	const message = messageOf(name);
	return arbitraryStruct(message, version, message.fields);
}

function arbitraryStruct(
	message: Message,
	version: number,
	fields: readonly Field[],
): fc.Arbitrary<Fields> {
	const present = fields.filter((field) => within(version, field.versions));
	return fc.record(
		Object.fromEntries(
			present.map((field) => [field.name, arbitraryField(message, version, field)]),
		),
	);
}

function arbitraryField(message: Message, version: number, field: Field): fc.Arbitrary<Value> {
	const element = PRIMITIVES.has(field.type)
		? (primitives[field.type] as fc.Arbitrary<Value>)
		: arbitraryStruct(message, version, structOf(message, field));
	const value: fc.Arbitrary<Value> = field.array ? fc.array(element, { maxLength: 3 }) : element;
	const choices = [{ weight: 6, arbitrary: value }];
	if (within(version, field.nullable)) choices.push({ weight: 1, arbitrary: fc.constant(null) });
	if (field.tag !== null) {
		choices.push({ weight: 2, arbitrary: fc.constant(defaultOf(message, field)) });
	}
	return fc.oneof(...choices);
}
