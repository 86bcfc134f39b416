/**
 * The definitions against Apache Kafka: field by field against its own, and by the bytes that its
 * classes write.
 */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Field, type Message, PRIMITIVES } from "../../src/kafka/definitions/parse.mjs";
import { MISSING_KAFKA_JAVA } from "../optional-parts.ts";
import { seed } from "../seed.ts";
import { arbitraryMessage } from "./arbitrary-message.ts";
import { defaultOf, definitions, encodeMessage, structOf } from "./client-codec.ts";
import { exampleMessage } from "./example-message.ts";
import {
	type KafkaDefinition,
	type KafkaField,
	kafkaBytes,
	kafkaDefinitions,
	type Question,
} from "./kafka-serializer.ts";

/** Asking Kafka takes a Java process, on a slow machine some seconds, on a busy one many. */
const JAVA_MS_MAX = 600_000;
const RANDOM_MESSAGES = 4;
const messages = definitions.flatMap((definition) => definition.messages);

/** Every message in every version, with fields. */
function questions(fieldsOf: (name: string, version: number) => Question["fields"]): Question[] {
	return messages.flatMap(({ name, oldest, latest }) =>
		Array.from({ length: latest - oldest + 1 }, (_, index) => {
			const version = oldest + index;
			return { name, version, fields: fieldsOf(name, version) };
		}),
	);
}

const examples = questions(exampleMessage);
const lineOf = ({ name, version }: Question, bytes: Buffer) =>
	`${name} ${version} ${bytes.toString("hex")}`;

describe("the bytes of every message and version", () => {
	const fixture = new URL("../fixtures/kafka/messages.txt", import.meta.url);

	test("are those that Kafka wrote", () => {
		const lines = examples.map((question) => {
			const { name, version, fields } = question;
			return lineOf(question, encodeMessage(name, version, fields));
		});
		expect(lines).toEqual(readFileSync(fixture, "utf8").trimEnd().split("\n"));
	});

	test("are those that Kafka writes today", { timeout: JAVA_MS_MAX }, async (context) => {
		const bytes = kafkaBytes(examples) ?? context.skip(MISSING_KAFKA_JAVA);
		const lines = examples.map((question, index) => lineOf(question, bytes[index] as Buffer));
		await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(fixture.pathname);
	});

	test("are Kafka's for random fields", { timeout: JAVA_MS_MAX }, (context) => {
		const random = Array.from({ length: RANDOM_MESSAGES }, (_, round) =>
			questions((name, version) => {
				const options = { seed: seed + round, numRuns: 1 };
				return fc.sample(arbitraryMessage(name, version), options)[0] as Question["fields"];
			}),
		).flat();
		const bytes = kafkaBytes(random) ?? context.skip(MISSING_KAFKA_JAVA);
		for (const [index, question] of random.entries()) {
			const { name, version, fields } = question;
			const ours = encodeMessage(name, version, fields);
			expect(lineOf(question, ours)).toBe(lineOf(question, bytes[index] as Buffer));
		}
	});
});

// Field by field

type Range = readonly [number, number];
const NEVER: Range = [1, 0];

function rangeOf(text: string | undefined): Range {
	const match = /^(\d+)(?:-(\d+)|(\+))?$/.exec(text ?? "none");
	if (match === null) return NEVER;
	const first = Number(match[1]);
	if (match[3] === "+") return [first, Number.MAX_SAFE_INTEGER];
	return [first, match[2] === undefined ? first : Number(match[2])];
}

const both = (left: Range, right: Range): Range => [
	Math.max(left[0], right[0]),
	Math.min(left[1], right[1]),
];
const isNever = ([first, last]: Range): boolean => first > last;
const textOf = (range: Range): string => (isNever(range) ? "never" : `${range[0]}-${range[1]}`);

/** What matters of a field, in one line; `known` are the versions of what contains it. */
function summary(
	path: string,
	field: { type: string; versions: Range; nullable: Range; tag: number | null; ignorable: boolean },
	fallback: unknown,
	known: Range,
): string {
	const versions = both(field.versions, known);
	// What every version has is never left out.
	const leftOut = versions[0] > known[0] || versions[1] < known[1];
	return [
		`${path}: ${field.type} ${textOf(versions)}`,
		`nullable ${textOf(both(field.nullable, versions))}`,
		field.tag === null ? "" : `tag ${field.tag}`,
		leftOut && field.ignorable ? "ignorable" : "",
		`= ${JSON.stringify(fallback)}`,
	].join(" ");
}

/** Our definition, a line a field; structs are nameless. */
function ourLines(message: Message, fields: readonly Field[], known: Range, path = ""): string[] {
	return fields.flatMap((field) => {
		const name = `${path}${field.name}`;
		const isStruct = !PRIMITIVES.has(field.type);
		const type = `${field.array ? "[]" : ""}${isStruct ? "struct" : field.type}`;
		const fallback = defaultOf(message, field);
		const plain = typeof fallback === "object" && fallback !== null ? undefined : String(fallback);
		const nullable = field.nullable ?? NEVER;
		const line = summary(name, { ...field, type, nullable }, plain, known);
		const inner = both(field.versions, known);
		const below = isStruct ? ourLines(message, structOf(message, field), inner, `${name}.`) : [];
		return [line, ...below];
	});
}

const IMPLICIT_DEFAULTS: Record<string, string> = {
	bool: "false",
	string: "",
	uuid: "00000000-0000-0000-0000-000000000000",
	records: "null",
};

/** Kafka's default of a field, as text; undefined for what has parts. */
function kafkaDefault(field: KafkaField): string | undefined {
	const { type } = field;
	// Null is no default for Kafka unless it is a string that says so.
	if (field.default !== undefined && field.default !== null) {
		const text = String(field.default);
		return /^0x/.test(text) ? String(Number(text)) : text;
	}
	if (type.startsWith("[]") || type === "bytes" || /^[A-Z]/.test(type)) return undefined;
	return IMPLICIT_DEFAULTS[type] ?? "0";
}

/** Kafka's definition in the same form. */
function kafkaLines(
	definition: KafkaDefinition,
	fields: readonly KafkaField[],
	known: Range,
	path = "",
): string[] {
	return fields.flatMap((field) => {
		const versions = rangeOf(field.versions ?? field.taggedVersions);
		// Defined for versions that are served no more, or not yet.
		if (isNever(both(versions, known))) return [];
		const name = `${path}${field.name.charAt(0).toLowerCase()}${field.name.slice(1)}`;
		const element = field.type.replace("[]", "");
		const isStruct = /^[A-Z]/.test(element);
		const line = summary(
			name,
			{
				type: isStruct ? field.type.replace(element, "struct") : field.type,
				versions,
				nullable: rangeOf(field.nullableVersions),
				tag: field.tag ?? null,
				ignorable: field.ignorable ?? false,
			},
			kafkaDefault(field),
			known,
		);
		if (!isStruct) return [line];
		const common = definition.commonStructs?.find((struct) => struct.name === element);
		const inner = both(versions, known);
		const parts = field.fields ?? common?.fields ?? [];
		return [line, ...kafkaLines(definition, parts, inner, `${name}.`)];
	});
}

test("every field is defined as Kafka defines it", { timeout: JAVA_MS_MAX }, (context) => {
	const known = kafkaDefinitions() ?? context.skip(MISSING_KAFKA_JAVA);
	const ofKafka = new Map(known.map((definition) => [definition.name, definition]));
	for (const { name, oldest, latest, flexibleFrom, fields, ...rest } of messages) {
		const kafka = ofKafka.get(name) as KafkaDefinition;
		const [kafkaOldest, kafkaNewest] = rangeOf(kafka.validVersions);
		const request = ofKafka.get(name.replace(/Response$/, "Request"));
		const kafkaLatest = request?.latestVersionUnstable ? kafkaNewest - 1 : kafkaNewest;
		const flexible = rangeOf(kafka.flexibleVersions);
		expect(
			[name, oldest, latest, flexibleFrom],
			"name, oldest and latest version, first flexible one",
		).toEqual([name, kafkaOldest, kafkaLatest, isNever(flexible) ? null : flexible[0]]);
		const versions: Range = [oldest, latest];
		const message: Message = { name, oldest, latest, flexibleFrom, fields, ...rest };
		expect(ourLines(message, fields, versions), name).toEqual(
			kafkaLines(kafka, kafka.fields, versions),
		);
	}
});

test("every API that a Kafka broker serves is defined", { timeout: JAVA_MS_MAX }, (context) => {
	const known = kafkaDefinitions() ?? context.skip(MISSING_KAFKA_JAVA);
	const served = known
		.filter(({ type, listeners }) => type === "request" && listeners?.includes("broker"))
		.filter(({ validVersions }) => validVersions !== "none")
		.map(({ apiKey, name }) => `${apiKey} ${name}`);
	const defined = definitions
		.filter(({ kind }) => kind === "api")
		.map(({ number, messages: [request] }) => `${number} ${request?.name}`);
	expect(defined).toEqual(
		served.sort((left, right) => Number.parseInt(left, 10) - Number.parseInt(right, 10)),
	);
});
