/**
 * The form of every record in the offsets topic: an int16 that says what the key is, the key; an
 * int16 that is the value's version, the value.
 */
import { KafkaReader } from "../../kafka/wire/reader.ts";
import type { KafkaSchema } from "../../kafka/wire/schema.ts";
import { KafkaWriter } from "../../kafka/wire/writer.ts";
import type { GroupRecord } from "../group.ts";

const writer = new KafkaWriter();
const reader = new KafkaReader();

/** A record of a type, its value in a version; with null the one that removes it. */
export function encodeRecord<Key, Value>(
	[type, keySchema, key]: readonly [type: number, schema: KafkaSchema<Key>, key: Key],
	[version, valueSchema, value]: readonly [
		version: number,
		schema: KafkaSchema<Value>,
		value: Value | null,
	],
): GroupRecord {
	const keyBytes = encode(keySchema, key, type, 0);
	return { key: keyBytes, value: value && encode(valueSchema, value, version, version) };
}

function encode<Message>(
	schema: KafkaSchema<Message>,
	message: Message,
	prefix: number,
	version: number,
): Uint8Array {
	writer.start().int16(prefix);
	schema.write(writer, message, version);
	return writer.finish();
}

/** A reader that stands at the start of the bytes; the same one every time. */
export function readerOf(bytes: Uint8Array): KafkaReader {
	return reader.reset(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
}

/**
 * Null for a version that this broker does not know; parts of the answer are views of `value`.
 * Throws KafkaFrameError.
 */
export function decodeValue<Message>(
	schema: KafkaSchema<Message>,
	value: Uint8Array,
): Message | null {
	const from = readerOf(value);
	const version = from.int16();
	if (version < schema.oldest || version > schema.latest) return null;
	return schema.read(from, version);
}
