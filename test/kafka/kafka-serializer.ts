/**
 * Apache Kafka's own classes, asked about its messages; where there is no Java these answer
 * null.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { kafkaJava } from "../optional-parts.ts";
import type { Fields, Value } from "./client-codec.ts";

const OUTPUT_BYTES_MAX = 1 << 28;
const program = fileURLToPath(new URL("./KafkaSerializer.java", import.meta.url));

/** A message in the version in which it is to be written. */
export interface Question {
	readonly name: string;
	readonly version: number;
	readonly fields: Fields;
}

/** A field of Kafka's JSON, as far as bytes depend on it. */
export interface KafkaField {
	readonly name: string;
	readonly type: string;
	readonly versions?: string;
	readonly nullableVersions?: string;
	readonly taggedVersions?: string;
	readonly tag?: number;
	readonly ignorable?: boolean;
	readonly default?: string | number | boolean | null;
	readonly flexibleVersions?: string;
	readonly fields?: readonly KafkaField[];
}

/** One of Kafka's definitions. */
export interface KafkaDefinition {
	readonly name: string;
	readonly type: string;
	readonly apiKey?: number;
	readonly listeners?: readonly string[];
	readonly validVersions: string;
	readonly flexibleVersions: string;
	readonly latestVersionUnstable?: boolean;
	readonly fields: readonly KafkaField[];
	readonly commonStructs?: readonly { name: string; fields: readonly KafkaField[] }[];
}

let definitions: KafkaDefinition[] | null = null;

/** Kafka's definitions of all its messages. */
export function kafkaDefinitions(): KafkaDefinition[] | null {
	definitions ??= run("definitions", "")?.map((line): KafkaDefinition => JSON.parse(line)) ?? null;
	return definitions;
}

/** The bytes that Kafka writes for each message. */
export function kafkaBytes(questions: readonly Question[]): Buffer[] | null {
	const lines = questions.map((question) => {
		const json = JSON.stringify(question, asJson);
		return `${json.replace(/"integer (-?\d+)"/g, "$1")}\n`;
	});
	return run("serialize", lines.join(""))?.map((line) => Buffer.from(line, "hex")) ?? null;
}

function run(mode: string, input: string): string[] | null {
	const java = kafkaJava();
	if (java === null) return null;
	const [command, ...rest] = java;
	const result = spawnSync(command as string, [...rest, program, mode], {
		input,
		maxBuffer: OUTPUT_BYTES_MAX,
	});
	if (result.status !== 0) throw new Error(`Kafka's classes failed: ${result.stderr}`);
	return result.stdout.toString().split("\n").slice(0, -1);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Kafka's JSON has bytes in base64, and UUIDs in base64 for addresses. Buffers come here as
 * objects; integers that are no numbers leave as text, to be unquoted.
 */
function asJson(_name: string, value: Value | { type: "Buffer"; data: number[] }): unknown {
	if (typeof value === "string" && UUID.test(value)) {
		return Buffer.from(value.replaceAll("-", ""), "hex").toString("base64url");
	}
	if (typeof value === "bigint") return `integer ${value}`;
	if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
	const { type, data } = value as { type: unknown; data: unknown };
	return type === "Buffer" ? Buffer.from(data as number[]).toString("base64") : value;
}
