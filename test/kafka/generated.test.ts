/**
 * The generated codec against one that interprets the definitions: every message, at every
 * version. What the definitions say is held against Kafka elsewhere.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Field, Message } from "../../src/kafka/definitions/parse.mjs";
import { APIS } from "../../src/kafka/generated/apis.ts";
import { KafkaReader } from "../../src/kafka/wire/reader.ts";
import type { AnyKafkaApi } from "../../src/kafka/wire/schema.ts";
import { KafkaWriter } from "../../src/kafka/wire/writer.ts";
import { seed } from "../seed.ts";
import { arbitraryMessage } from "./arbitrary-message.ts";
import {
	defaultOf,
	definitions,
	encodeMessage,
	type Fields,
	messageOf,
	structOf,
	type Value,
	within,
} from "./client-codec.ts";
import { generatedSchemas, versionsOf } from "./generated-schemas.ts";

const RUNS = 20;
const schemas = await generatedSchemas();

/** What the generated reader must answer: every field, in versions without it the default. */
function read(message: Message, fields: readonly Field[], version: number, given: Fields): Fields {
	const convert = (field: Field, value: Value): Value => {
		if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
		// int64 is a number, which rounds 2^63-1.
		if (typeof value === "bigint") return Number(value);
		if (Array.isArray(value)) {
			const elements: readonly Value[] = value;
			return elements.map((element) => convert(field, element));
		}
		if (typeof value !== "object" || value === null) return value;
		return read(message, structOf(message, field), version, value as Fields);
	};
	return Object.fromEntries(
		fields.map((field) => {
			const present = given[field.name] !== undefined && within(version, field.versions);
			const value = present ? (given[field.name] as Value) : defaultOf(message, field);
			return [field.name, convert(field, value)];
		}),
	);
}

/** The same with all bytes as text, so that views compare with buffers. */
function comparable(value: unknown): unknown {
	if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
	if (Array.isArray(value)) return value.map(comparable);
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(
		Object.entries(value).map(([name, inner]) => [name, comparable(inner)]),
	);
}

function expectRead(
	name: string,
	version: number,
	readBody: (reader: KafkaReader, version: number) => unknown,
	fields: Fields,
): void {
	const message = messageOf(name);
	const reader = new KafkaReader(encodeMessage(name, version, fields));
	const answer = readBody(reader, version);
	expect(reader.remaining).toBe(0);
	expect(comparable(answer)).toEqual(read(message, message.fields, version, fields));
}

function expectWritten(
	name: string,
	version: number,
	write: (writer: KafkaWriter, fields: Fields, version: number) => void,
	fields: Fields,
): void {
	const writer = new KafkaWriter();
	write(writer.start(), fields, version);
	const expected = encodeMessage(name, version, fields);
	expect(Buffer.from(writer.finish()).toString("hex")).toBe(expected.toString("hex"));
}

const writeResponse = (api: AnyKafkaApi) =>
	api.writeResponse as unknown as (w: KafkaWriter, fields: Fields, version: number) => void;

/** Holds what a check says of random messages at every version. */
function forAll(
	name: string,
	versions: { oldest: number; latest: number },
	check: (fields: Fields, version: number) => void,
): void {
	for (const version of versionsOf(versions)) {
		const property = fc.property(arbitraryMessage(name, version), (fields) =>
			check(fields, version),
		);
		fc.assert(property, { seed, numRuns: RUNS });
	}
}

test.for(APIS.map((api) => [api.name, api] as const))("requests of %s are read", ([, api]) => {
	const name = `${api.name}Request`;
	forAll(name, api, (fields, version) => expectRead(name, version, api.readRequest, fields));
});

test.for(APIS.map((api) => [api.name, api] as const))("responses of %s are written", ([, api]) => {
	const name = `${api.name}Response`;
	forAll(name, api, (fields, version) => expectWritten(name, version, writeResponse(api), fields));
});

test.for(schemas.map((schema) => [schema.name, schema] as const))(
	"%s is read and written",
	([name, schema]) => {
		const { fields: definition } = messageOf(name);
		forAll(name, schema, (fields, version) => {
			expectRead(name, version, schema.read, fields);
			// Unlike a response it leaves nothing out.
			const defaults = definition.map((field) => [field.name, defaultOf(messageOf(name), field)]);
			const complete = { ...Object.fromEntries(defaults), ...fields };
			expectWritten(name, version, schema.write, complete);
		});
	},
);

test("every definition is an API in the table, or schemas", () => {
	const named = (kind: string) => definitions.filter((definition) => definition.kind === kind);
	expect(APIS.map(({ key, name }) => `${key} ${name}`)).toEqual(
		named("api").map(({ number, name }) => `${number} ${name}`),
	);
	const data = [...named("record"), ...named("data")].flatMap(({ messages }) => messages);
	expect(schemas.map(({ name }) => name).sort()).toEqual(data.map(({ name }) => name).sort());
});
