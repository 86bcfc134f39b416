/** Keys, values and headers of records: bytes in the log, and text in JSON. */
import { invalid } from "../../calls/arguments.ts";
import { MillraceError } from "../../errors.ts";
import type { DecodedValue } from "../../protocol/reader.ts";
import type { Media } from "./media.ts";

/** How bytes are told in JSON: as the text whose UTF-8 they are, or as base64 (RFC 4648). */
export type Encoding = "text" | "base64";

/** What a binary of the record at an offset becomes; its memory is used again afterwards. */
export type ValueEncoder = (bytes: Uint8Array | null, offset: number) => string | Uint8Array | null;

/** Throws INVALID_ARGUMENT where JSON is asked for and not what bytes are in it. */
export function encoderOf(media: Media, encoding: Encoding | undefined): ValueEncoder {
	if (media === "msgpack") return (bytes) => bytes?.slice() ?? null;
	const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
	if (needed(encoding) === "base64") {
		return (bytes) => bytes && buffer(bytes).toString("base64");
	}
	return (bytes, offset) => {
		try {
			return bytes && text.decode(bytes);
		} catch (cause) {
			throw notText(offset, cause);
		}
	};
}

function notText(offset: number, cause: unknown): MillraceError {
	const particular = `the record at offset ${offset} is not UTF-8; ask with encoding=base64`;
	return new MillraceError("UNREPRESENTABLE_VALUE", particular, { cause });
}

/** What a key, value or header in a body becomes: a string goes into the log as its UTF-8. */
export type ValueDecoder = (
	value: DecodedValue | undefined,
	name: string,
) => string | Uint8Array | null;

export function decoderOf(media: Media, encoding: Encoding | undefined): ValueDecoder {
	const isBase64 = media === "json" && needed(encoding) === "base64";
	return (value, name) => {
		if (value === undefined || value === null) return null;
		if (typeof value === "string") return isBase64 ? fromBase64(value, name) : value;
		if (value instanceof Uint8Array && media === "msgpack") return value;
		return invalid(name, media === "json" ? "is not a string" : "is neither a string nor a binary");
	};
}

function needed(encoding: Encoding | undefined): Encoding {
	return encoding ?? invalid("encoding", "is missing: text or base64");
}

/** Node passes over what is no base64; here it is an error. */
function fromBase64(value: string, name: string): Uint8Array {
	const bytes = Buffer.from(value, "base64");
	if (bytes.toString("base64") === value) return bytes;
	return invalid(name, "is not base64, with its padding");
}

function buffer(bytes: Uint8Array): Buffer {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
