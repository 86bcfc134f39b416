/** JSON as the command reads and writes it: exact, or refused. */
import { C1 } from "msgpackr";

/** A value that cannot be taken over exactly. */
export class InexactJsonError extends Error {
	override readonly name = "InexactJsonError";
}

/**
 * Parses one JSON text. Throws SyntaxError, or InexactJsonError for a number that JavaScript would
 * silently round (a whole number beyond 2^53) or overflow: such a value would be stored altered.
 */
export function parseExactJson(text: string): unknown {
	const value: unknown = JSON.parse(text);
	// Only a run of 16 digits, or an exponent, can make a number that does not fit.
	if (/\d{16}|\d[eE]/.test(text)) refuseInexact(value);
	return value;
}

function refuseInexact(value: unknown): void {
	if (typeof value === "number") {
		const rounded = Number.isInteger(value) && !Number.isSafeInteger(value);
		if (rounded || !Number.isFinite(value)) {
			throw new InexactJsonError(
				`the number ${value} is beyond what JSON in JavaScript keeps exactly`,
			);
		}
	} else if (typeof value === "object" && value !== null) {
		for (const part of Object.values(value)) refuseInexact(part);
	}
}

/**
 * A decoded MessagePack value as one line of JSON: 64-bit integers keep all their digits, binary
 * becomes base64, timestamps ISO 8601, numbers that JSON lacks (NaN, infinities) null. Throws
 * InexactJsonError for the byte that MessagePack never uses, which the decoder lets pass.
 */
export function formatJson(value: unknown): string {
	if (typeof value === "bigint") return value.toString();
	if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString("base64"));
	if (value === C1) throw new InexactJsonError("0xc1 is no MessagePack");
	if (Array.isArray(value)) return `[${value.map(formatJson).join(",")}]`;
	if (value instanceof Map) {
		const entries = [...value].map(([key, part]) => `${formatKey(key)}:${formatJson(part)}`);
		return `{${entries.join(",")}}`;
	}
	return JSON.stringify(value) ?? "null";
}

function formatKey(key: unknown): string {
	return JSON.stringify(typeof key === "string" ? key : formatJson(key));
}
