import { MillraceError } from "../../protocol/error.ts";
import { murmur2 } from "../producer/murmur2.ts";
import type { HeadersToSend, RecordToSend } from "../records.ts";
import { headerEntries, type Propagate, withContext } from "../trace.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { ValueCodec } from "./codecs.ts";

/** The largest time a record may carry, in milliseconds since 1970. */
const TIMESTAMP_MS_MAX = Number.MAX_SAFE_INTEGER;

/** Headers of one record, as the broker has it. */
const HEADERS_MAX = 1_024;

/**
 * Writes records as produce frames carry them: `[value, key?, timestamp_ms?, headers?]`. A key is
 * taken first, as it decides where the record is written.
 */
export class RecordWriter {
	readonly #key = new ByteWriter(256);
	readonly #propagate: Propagate | undefined;
	#keyBytes: Uint8Array | null = null;

	/** Each record gets what `propagate` writes into its headers. */
	constructor(propagate?: Propagate) {
		this.#propagate = propagate;
	}

	/** Takes the record's key in; whether it has one. */
	takeKey(key: string | Uint8Array | null | undefined): boolean {
		if (key === undefined || key === null) {
			this.#keyBytes = null;
			return false;
		}
		if (typeof key === "string") {
			if (!key.isWellFormed()) {
				throw new MillraceError("UNREPRESENTABLE_VALUE", "a key with a lone surrogate");
			}
			this.#key.length = 0;
			this.#key.text(key);
			this.#keyBytes = this.#key.written();
		} else if (key instanceof Uint8Array) this.#keyBytes = key;
		else throw new MillraceError("UNREPRESENTABLE_VALUE", "keys are strings or bytes");
		return true;
	}

	/** Hash of the key that was taken. */
	keyHash(): number {
		return this.#keyBytes === null ? 0 : murmur2(this.#keyBytes);
	}

	/**
	 * Writes `record` with the key that was taken; returns how many headers it has. Throws what the
	 * codec throws, or INVALID_ARGUMENT; the caller sets the writer's length back then.
	 */
	write<Value>(writer: ByteWriter, record: RecordToSend<Value>, codec: ValueCodec<Value>): number {
		const { value, timestamp } = record;
		const propagate = this.#propagate;
		const headers =
			propagate === undefined ? record.headers : withContext(record.headers, propagate);
		const key = this.#keyBytes;
		const fields = headers !== undefined ? 4 : timestamp !== undefined ? 3 : key !== null ? 2 : 1;
		writer.arrayHeader(fields);
		if (value === null) writer.nil();
		else codec.write(writer, value);
		if (fields === 1) return 0;
		if (key === null) writer.nil();
		else writer.binary(key);
		if (fields === 2) return 0;
		if (timestamp === undefined) writer.nil();
		else writer.integer(millisecondsOf(timestamp));
		return headers === undefined ? 0 : writeHeaders(writer, headers);
	}
}

function millisecondsOf(timestamp: number | Date): number {
	const milliseconds = typeof timestamp === "number" ? timestamp : timestamp.getTime();
	if (Number.isInteger(milliseconds) && milliseconds >= 0 && milliseconds <= TIMESTAMP_MS_MAX) {
		return milliseconds;
	}
	throw new MillraceError("INVALID_ARGUMENT", "a timestamp is whole milliseconds since 1970");
}

function writeHeaders(writer: ByteWriter, headers: HeadersToSend): number {
	const entries = headerEntries(headers);
	if (entries.length > HEADERS_MAX) {
		throw new MillraceError("INVALID_ARGUMENT", `a record has at most ${HEADERS_MAX} headers`);
	}
	writer.arrayHeader(entries.length);
	for (const [name, value] of entries) {
		if (typeof name !== "string" || !name.isWellFormed()) {
			throw new MillraceError("INVALID_ARGUMENT", "a header's name is a well-formed string");
		}
		writer.arrayHeader(2);
		writer.string(name);
		if (value === null) writer.nil();
		else if (value instanceof Uint8Array) writer.binary(value);
		else if (typeof value === "string" && value.isWellFormed()) {
			writer.binary(TEXT.encode(value));
		} else {
			throw new MillraceError("INVALID_ARGUMENT", `header ${name} is no string, bytes or null`);
		}
	}
	return entries.length;
}

const TEXT = new TextEncoder();
