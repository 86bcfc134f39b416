/**
 * How records are written into the metadata store: JSON objects in UTF-8 that carry the number of
 * their format. Configuration values are strings in them, so that 64-bit ones stay exact.
 */
import { MillraceError } from "../errors.ts";

/** Records of one kind in the metadata store. */
export interface RecordKind<Decoded> {
	/** What their keys begin with, or the whole key where there is one of them. */
	readonly prefix: string;
	/**
	 * Throws DATA_DAMAGED for what is none of them, DATA_DIRECTORY_NEWER for one of a newer format.
	 */
	readonly decode: (key: string, value: Uint8Array) => Decoded;
}

export function encodeRecord(format: number, fields: object): Uint8Array {
	return new TextEncoder().encode(JSON.stringify({ format, ...fields }));
}

/**
 * The fields of a record. Throws DATA_DAMAGED for what is no record, DATA_DIRECTORY_NEWER for one
 * of a newer format.
 */
export function decodeRecord(
	format: number,
	key: string,
	value: Uint8Array,
): Record<string, unknown> {
	const fields = parseRecord(key, value);
	if (typeof fields.format === "number" && fields.format > format) {
		throw new MillraceError("DATA_DIRECTORY_NEWER", `metadata entry ${key}`);
	}
	if (fields.format !== format) throw damaged(key, "has no known format");
	return fields;
}

/** The fields of a record of any format. Throws DATA_DAMAGED for what is no record. */
export function parseRecord(key: string, value: Uint8Array): Record<string, unknown> {
	let fields: unknown;
	try {
		fields = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
	} catch (cause) {
		throw damaged(key, "is not JSON", cause);
	}
	if (!isObject(fields)) throw damaged(key, "is no object");
	return fields;
}

/** The texts by name that stand in a field. Throws DATA_DAMAGED for anything else. */
export function decodeTexts(key: string, field: unknown): Map<string, string> {
	if (!isObject(field)) throw damaged(key, "has no configuration");
	const texts = new Map<string, string>();
	for (const [name, value] of Object.entries(field)) {
		if (typeof value !== "string") throw damaged(key, `has no text for ${name}`);
		texts.set(name, value);
	}
	return texts;
}

export function damaged(key: string, what: string, cause?: unknown): MillraceError {
	return new MillraceError("DATA_DAMAGED", `metadata entry ${key} ${what}`, { cause });
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
