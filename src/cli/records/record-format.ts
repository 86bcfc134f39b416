/** How `consume` writes a record. */
import { Unpackr } from "msgpackr";

import { formatJson } from "./json-values.ts";

export const RECORD_FORMATS = ["value", "json", "msgpack"] as const;
export type RecordFormat = (typeof RECORD_FORMATS)[number];

/** What is shown of a record; those that the client delivers have it. */
export interface ShownRecord {
	readonly topic: string;
	readonly partition: number;
	readonly offset: number;
	/** Milliseconds since 1970. */
	readonly timestamp: number;
	readonly key: Uint8Array | null;
	/** As it is stored; null for a tombstone. */
	readonly valueBytes: Uint8Array | null;
	readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
}

/** A record cannot be shown in the format asked for. */
export class RecordFormatError extends Error {
	override readonly name = "RecordFormatError";
}

const EMPTY = new Uint8Array(0);

// Integers beyond 2^53 come as bigint, maps as Map, so that nothing is rounded and no key is lost.
const unpackr = new Unpackr({ useRecords: false, int64AsType: "bigint", mapsAsObjects: false });
const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The line of a record, without its newline:
 *
 * - `value`: the bytes of the value as they are; a tombstone is an empty line.
 * - `json`: the whole record; key, value and headers as text where they are UTF-8, else as
 *   `key_base64`, `value_base64` and `{"base64": ...}`.
 * - `msgpack`: the value, decoded from MessagePack, as JSON; a tombstone is `null`.
 *
 * Throws RecordFormatError for a value that is not MessagePack in the last.
 */
export function formatRecord(record: ShownRecord, format: RecordFormat): Uint8Array {
	switch (format) {
		case "value":
			return record.valueBytes ?? EMPTY;
		case "json":
			return Buffer.from(jsonOf(record));
		case "msgpack":
			return Buffer.from(
				record.valueBytes === null ? "null" : decodeValue(record, record.valueBytes),
			);
	}
}

function decodeValue(record: ShownRecord, value: Uint8Array): string {
	try {
		return formatJson(unpackr.unpack(value));
	} catch (cause) {
		const place = `offset ${record.offset} of ${record.topic}-${record.partition}`;
		throw new RecordFormatError(`the value at ${place} is not MessagePack`, { cause });
	}
}

function jsonOf(record: ShownRecord): string {
	return JSON.stringify({
		topic: record.topic,
		partition: record.partition,
		offset: record.offset,
		timestamp_ms: record.timestamp,
		...named("key", record.key),
		...named("value", record.valueBytes),
		...(record.headers.length === 0
			? {}
			: { headers: record.headers.map(([name, value]) => [name, textOrBase64(value)]) }),
	});
}

function named(name: string, bytes: Uint8Array | null): Record<string, string | null> {
	const text = textOrBase64(bytes);
	return typeof text === "object" && text !== null
		? { [`${name}_base64`]: text.base64 }
		: { [name]: text };
}

function textOrBase64(bytes: Uint8Array | null): string | null | { base64: string } {
	if (bytes === null) return null;
	try {
		return strictText.decode(bytes);
	} catch {
		return { base64: Buffer.from(bytes).toString("base64") };
	}
}
