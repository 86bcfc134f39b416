import { MillraceError } from "../../protocol/error.ts";
import { BODY_FORMAT } from "../../protocol/operations.ts";
import { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { writeValue } from "./value-writer.ts";

/** How values become bytes and come back: your own, beside the built-in ones. */
export interface Codec<Value> {
	/** The bytes to store; they are copied before `encode` is called again. */
	encode(value: Value): Uint8Array;
	/**
	 * The value of stored bytes; `bytes` is a view that is only valid as long as the delivery is
	 * held.
	 */
	decode(bytes: Uint8Array): Value;
}

/**
 * `messagepack` is the default; `json` and `string` store UTF-8, `bytes` stores a Uint8Array as it
 * is.
 */
export type CodecName = "messagepack" | "bytes" | "json" | "string";

/**
 * A codec as the producer and the consumer use it: it writes into and reads from larger buffers.
 */
export interface ValueCodec<Value> {
	/** The format of produce entries whose values it wrote. */
	readonly bodyFormat: number;
	/** Writes one value element; throws UNREPRESENTABLE_VALUE or what a custom codec throws. */
	write(writer: ByteWriter, value: Value): void;
	/** The value of `bytes[start..end)`; throws when they are not what this codec writes. */
	read(bytes: Uint8Array, start: number, end: number): Value;
}

const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const READER = new ByteReader(new Uint8Array(0));

const messagepack: ValueCodec<unknown> = {
	bodyFormat: BODY_FORMAT.msgpack,
	write: (writer, value) => writeValue(writer, value),
	read(bytes, start, end) {
		READER.reset(bytes, start, end);
		const value = READER.value(0);
		if (READER.position !== end) throw new TypeError("bytes follow the MessagePack value");
		return value;
	},
};

const bytesCodec: ValueCodec<Uint8Array> = {
	bodyFormat: BODY_FORMAT.bytes,
	write(writer, value) {
		if (!(value instanceof Uint8Array)) {
			throw new MillraceError("UNREPRESENTABLE_VALUE", "the bytes codec takes a Uint8Array");
		}
		writer.binary(value);
	},
	read: (bytes, start, end) => bytes.subarray(start, end),
};

const string: ValueCodec<string> = {
	bodyFormat: BODY_FORMAT.bytes,
	write(writer, value) {
		if (typeof value !== "string" || !value.isWellFormed()) {
			throw new MillraceError(
				"UNREPRESENTABLE_VALUE",
				"the string codec takes well-formed strings",
			);
		}
		writer.string(value);
	},
	read: (bytes, start, end) => TEXT.decode(bytes.subarray(start, end)),
};

const json: ValueCodec<unknown> = {
	bodyFormat: BODY_FORMAT.bytes,
	write(writer, value) {
		// JSON.stringify escapes lone surrogates, so its text is always well formed.
		const text = JSON.stringify(value) as string | undefined;
		if (text === undefined) {
			throw new MillraceError("UNREPRESENTABLE_VALUE", `JSON has no ${typeof value}`);
		}
		writer.string(text);
	},
	read: (bytes, start, end) => JSON.parse(TEXT.decode(bytes.subarray(start, end))) as unknown,
};

const BUILT_IN = { messagepack, bytes: bytesCodec, json, string };

/** The codec of a name, or one that wraps a custom one. */
export function valueCodec<Value>(codec: CodecName | Codec<Value>): ValueCodec<Value> {
	if (typeof codec === "string") {
		if (!Object.hasOwn(BUILT_IN, codec)) {
			throw new MillraceError("INVALID_ARGUMENT", `no codec is called ${String(codec)}`);
		}
		return BUILT_IN[codec] as unknown as ValueCodec<Value>;
	}
	return {
		bodyFormat: BODY_FORMAT.bytes,
		write: (writer, value) => bytesCodec.write(writer, codec.encode(value)),
		read: (bytes, start, end) => codec.decode(bytes.subarray(start, end)),
	};
}
