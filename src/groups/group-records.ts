/**
 * The records of the offsets topic, in Kafka's own schemas: an int16 that says what the key is, the
 * key; an int16 that is the value's version, the value. Tools that read Kafka's topic read this
 * one.
 */
import {
	GROUP_METADATA_KEY,
	GROUP_METADATA_RECORD_TYPE,
	GROUP_METADATA_VALUE,
	type GroupMetadataValue,
} from "../kafka/generated/data-group-metadata.ts";
import {
	OFFSET_COMMIT_KEY,
	OFFSET_COMMIT_RECORD_TYPE,
	OFFSET_COMMIT_VALUE,
	type OffsetCommitKey,
} from "../kafka/generated/data-offset-commit.ts";
import { KafkaReader } from "../kafka/wire/reader.ts";
import type { KafkaSchema } from "../kafka/wire/schema.ts";
import { KafkaWriter } from "../kafka/wire/writer.ts";
import type { CommittedOffset } from "./committed-offsets.ts";
import type { GroupRecord } from "./group.ts";

/** Kafka before 0.9 wrote offsets with this type; the key is the same. */
const OFFSET_COMMIT_RECORD_TYPE_OLD = 0;
/** The newest versions that Kafka 4.3 writes without being asked otherwise. */
const OFFSET_COMMIT_VERSION = 4;
/** The one version with an expiry of its own, which Kafka writes where a commit names one. */
const OFFSET_COMMIT_VERSION_EXPIRING = 1;
const GROUP_METADATA_VERSION = 3;

const writer = new KafkaWriter();
const reader = new KafkaReader();

/** What the key of a record of the offsets topic is about. */
export type DecodedKey =
	| (OffsetCommitKey & { readonly kind: "offset" })
	| { readonly kind: "group"; readonly group: string }
	/** A type that this broker does not know. */
	| { readonly kind: "foreign"; readonly type: number };

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

/** The record that commits an offset, or with null the one that removes it. */
export function offsetRecord(
	group: string,
	topic: string,
	partition: number,
	offset: CommittedOffset | null,
): GroupRecord {
	const key = encode(OFFSET_COMMIT_KEY, { group, topic, partition }, OFFSET_COMMIT_RECORD_TYPE, 0);
	if (offset === null) return { key, value: null };
	const version = offset.expireMs < 0 ? OFFSET_COMMIT_VERSION : OFFSET_COMMIT_VERSION_EXPIRING;
	const fields = {
		offset: offset.offset,
		leaderEpoch: offset.leaderEpoch,
		metadata: offset.metadata,
		commitTimestamp: offset.commitMs,
		expireTimestamp: offset.expireMs,
		topicId: offset.topicId,
	};
	return { key, value: encode(OFFSET_COMMIT_VALUE, fields, version, version) };
}

/** The record that holds a classic group, or with null the one that removes it. */
export function groupRecord(group: string, value: GroupMetadataValue | null): GroupRecord {
	const key = encode(GROUP_METADATA_KEY, { group }, GROUP_METADATA_RECORD_TYPE, 0);
	if (value === null) return { key, value: null };
	const version = GROUP_METADATA_VERSION;
	return { key, value: encode(GROUP_METADATA_VALUE, value, version, version) };
}

/** Throws KafkaFrameError when the bytes are not what their type says. */
export function decodeKey(key: Uint8Array): DecodedKey {
	const type = reader.reset(asBuffer(key)).int16();
	switch (type) {
		case OFFSET_COMMIT_RECORD_TYPE_OLD:
		case OFFSET_COMMIT_RECORD_TYPE:
			return { kind: "offset", ...OFFSET_COMMIT_KEY.read(reader, 0) };
		case GROUP_METADATA_RECORD_TYPE:
			return { kind: "group", ...GROUP_METADATA_KEY.read(reader, 0) };
		default:
			return { kind: "foreign", type };
	}
}

/** Null for a version that this broker does not know. Throws KafkaFrameError. */
export function decodeOffset(value: Uint8Array): CommittedOffset | null {
	const decoded = decodeValue(OFFSET_COMMIT_VALUE, value);
	if (decoded === null) return null;
	return {
		offset: decoded.offset,
		leaderEpoch: decoded.leaderEpoch,
		metadata: decoded.metadata,
		commitMs: decoded.commitTimestamp,
		expireMs: decoded.expireTimestamp,
		topicId: decoded.topicId,
	};
}

/**
 * Null for a version that this broker does not know; parts of the answer are views of `value`.
 * Throws KafkaFrameError.
 */
export function decodeGroup(value: Uint8Array): GroupMetadataValue | null {
	return decodeValue(GROUP_METADATA_VALUE, value);
}

function decodeValue<Message>(schema: KafkaSchema<Message>, value: Uint8Array): Message | null {
	const version = reader.reset(asBuffer(value)).int16();
	if (version < schema.oldest || version > schema.latest) return null;
	return schema.read(reader, version);
}

function asBuffer(bytes: Uint8Array): Buffer {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
