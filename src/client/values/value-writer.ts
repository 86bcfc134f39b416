import { MillraceError } from "../../protocol/error.ts";
import { VALUE_NESTING_MAX } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";

/** The largest time a JavaScript Date holds, in milliseconds from 1970 in either direction. */
const DATE_MS_MAX = 8_640_000_000_000_000;

/**
 * Writes a value as MessagePack, and refuses with UNREPRESENTABLE_VALUE what would not come back
 * equal: functions, symbols, bigint, undefined elements, class instances, Map and Set, strings with
 * a lone surrogate, invalid dates, cycles. Properties that are undefined are left out and read as
 * undefined afterwards; a Buffer comes back as Uint8Array.
 */
export function writeValue(writer: ByteWriter, value: unknown, nesting = 0): void {
	switch (typeof value) {
		case "string":
			if (!value.isWellFormed()) throw unrepresentable("a string with a lone surrogate");
			writer.string(value);
			return;
		case "number":
			// As an integer -0 would come back as 0.
			if (Number.isSafeInteger(value) && (value !== 0 || 1 / value > 0)) writer.integer(value);
			else writer.float64(value);
			return;
		case "boolean":
			writer.boolean(value);
			return;
		case "object":
			if (value === null) writer.nil();
			else writeObject(writer, value, nesting);
			return;
		default:
			throw unrepresentable(typeof value);
	}
}

function writeObject(writer: ByteWriter, value: object, nesting: number): void {
	if (nesting >= VALUE_NESTING_MAX) {
		throw unrepresentable(`nested deeper than ${VALUE_NESTING_MAX}, or in a cycle`);
	}
	if (Array.isArray(value)) {
		writer.arrayHeader(value.length);
		for (let index = 0; index < value.length; index++) {
			writeValue(writer, value[index], nesting + 1);
		}
		return;
	}
	const prototype: unknown = Object.getPrototypeOf(value);
	if (prototype === Object.prototype || prototype === null) writeMap(writer, value, nesting);
	else if (value instanceof Uint8Array) writer.binary(value);
	else if (value instanceof Date) writeDate(writer, value);
	else if (isForeignPlainObject(prototype)) writeMap(writer, value, nesting);
	else throw unrepresentable(`an instance of ${value.constructor?.name ?? "an unknown class"}`);
}

function writeMap(writer: ByteWriter, value: object, nesting: number): void {
	const map = value as Record<string, unknown>;
	const keys = Object.keys(map);
	let count = keys.length;
	for (const key of keys) if (map[key] === undefined) count--;
	writer.mapHeader(count);
	for (const key of keys) {
		const element = map[key];
		if (element === undefined) continue;
		if (!key.isWellFormed()) throw unrepresentable("a key with a lone surrogate");
		writer.string(key);
		writeValue(writer, element, nesting + 1);
	}
}

function writeDate(writer: ByteWriter, value: Date): void {
	const milliseconds = value.getTime();
	if (!(Math.abs(milliseconds) <= DATE_MS_MAX)) throw unrepresentable("an invalid date");
	writer.timestamp(milliseconds);
}

/** Plain objects of another realm (vm contexts, frames) have another Object.prototype. */
function isForeignPlainObject(prototype: unknown): boolean {
	return (
		typeof prototype === "object" &&
		prototype !== null &&
		Object.getPrototypeOf(prototype) === null &&
		Object.hasOwn(prototype, "isPrototypeOf")
	);
}

function unrepresentable(what: string): MillraceError {
	return new MillraceError("UNREPRESENTABLE_VALUE", what);
}
