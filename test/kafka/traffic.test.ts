/**
 * What real clients sent to a real Apache Kafka, and what that answered: our codec reads the
 * requests as they were meant, and writes the responses as they were.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { APIS } from "../../src/kafka/generated/apis.ts";
import { KafkaReader } from "../../src/kafka/wire/reader.ts";
import type { AnyKafkaApi } from "../../src/kafka/wire/schema.ts";
import { KafkaWriter } from "../../src/kafka/wire/writer.ts";
import {
	decodeMessage,
	decodeResponse,
	encodeMessage,
	encodeRequestHeader,
	type Fields,
} from "./client-codec.ts";

interface Exchange {
	readonly api: string;
	readonly version: number;
	/** Frames without their length, in base64. */
	readonly request: string;
	readonly response: string;
}

const UNSUPPORTED_VERSION = 35;

type WriteFields = (writer: KafkaWriter, fields: Fields, version: number) => void;

const directory = new URL("../fixtures/kafka/traffic/", import.meta.url);
const files = readdirSync(directory);

test("there is traffic of seven clients", () => {
	expect(files.length).toBe(7);
});

/** Where the body of a request begins. */
function bodyStart({ api, version }: Exchange, frame: Buffer): number {
	const clientIdBytes = Math.max(frame.readInt16BE(8), 0);
	const clientId = frame.readInt16BE(8) < 0 ? null : "x".repeat(clientIdBytes);
	return encodeRequestHeader(api, version, { clientId }).length;
}

describe.each(files)("%s", (file) => {
	const lines = readFileSync(new URL(file, directory), "utf8").trimEnd().split("\n");
	const exchanges: Exchange[] = lines.map((line) => JSON.parse(line));

	test.for(exchanges)("$api $version", (exchange) => {
		const { version } = exchange;
		const api = APIS.find(({ name }) => name === exchange.api) as AnyKafkaApi;
		const request = Buffer.from(exchange.request, "base64");
		const response = Buffer.from(exchange.response, "base64");
		if (version > api.latest) {
			// A client that asks which versions there are may do so in one that is not served.
			const { fields } = decodeResponse(exchange.api, 0, response);
			expect([exchange.api, fields.errorCode]).toEqual(["ApiVersions", UNSUPPORTED_VERSION]);
			return;
		}
		const body = request.subarray(bodyStart(exchange, request));
		const reader = new KafkaReader(body);
		const read = api.readRequest(reader, version);
		// librdkafka leaves bytes behind some requests, which Kafka passes over.
		const meant = body.subarray(0, body.length - reader.remaining);
		const fields = decodeMessage(`${api.name}Request`, version, meant);
		expect(encodeMessage(`${api.name}Request`, version, fields).equals(meant)).toBe(true);
		expect(comparable(read)).toMatchObject(comparable(fields) as Record<string, unknown>);

		const answered = decodeResponse(api.name, version, response);
		expect(answered.correlationId).toBe(request.readInt32BE(4));
		const writer = new KafkaWriter();
		const writeResponse = api.writeResponse as unknown as WriteFields;
		writeResponse(writer.start(), answered.fields, version);
		const written = Buffer.from(writer.finish());
		expect(written.toString("hex")).toBe(
			response.subarray(response.length - written.length).toString("hex"),
		);
	});
});

/** Bytes as text, so that views compare with buffers, and numbers as the codec gives them. */
function comparable(value: unknown): unknown {
	if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
	if (typeof value === "bigint") return Number(value);
	if (Array.isArray(value)) return value.map(comparable);
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(
		Object.entries(value).map(([name, inner]) => [name, comparable(inner)]),
	);
}
