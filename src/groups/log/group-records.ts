/** The records of the offsets topic, in Kafka's own schemas: tools that read Kafka's read these. */
import {
	GROUP_METADATA_KEY,
	GROUP_METADATA_RECORD_TYPE,
	GROUP_METADATA_VALUE,
	type GroupMetadataValue,
} from "../../kafka/generated/data-group-metadata.ts";
import {
	OFFSET_COMMIT_KEY,
	OFFSET_COMMIT_RECORD_TYPE,
	OFFSET_COMMIT_VALUE,
	type OffsetCommitKey,
} from "../../kafka/generated/data-offset-commit.ts";
import { type ConsumerKey, decodeConsumerKey } from "../consumer/consumer-records.ts";
import type { GroupRecord } from "../group.ts";
import type { CommittedOffset } from "../offsets/committed-offsets.ts";
import { decodeValue, encodeRecord, readerOf } from "./record-codec.ts";

/** Kafka before 0.9 wrote offsets with this type; the key is the same. */
const OFFSET_COMMIT_RECORD_TYPE_OLD = 0;
/** The newest versions that Kafka 4.3 writes without being asked otherwise. */
const OFFSET_COMMIT_VERSION = 4;
/** The one version with an expiry of its own, which Kafka writes where a commit names one. */
const OFFSET_COMMIT_VERSION_EXPIRING = 1;
const GROUP_METADATA_VERSION = 3;

/** What the key of a record of the offsets topic is about. */
export type DecodedKey =
	| (OffsetCommitKey & { readonly kind: "offset" })
	| { readonly kind: "group"; readonly group: string }
	| { readonly kind: "consumer"; readonly key: ConsumerKey }
	/** A type that this broker does not know. */
	| { readonly kind: "foreign"; readonly type: number };

/** The record that commits an offset, or with null the one that removes it. */
export function offsetRecord(
	group: string,
	topic: string,
	partition: number,
	offset: CommittedOffset | null,
): GroupRecord {
	const key = { group, topic, partition };
	const version =
		offset === null || offset.expireMs < 0 ? OFFSET_COMMIT_VERSION : OFFSET_COMMIT_VERSION_EXPIRING;
	const value = offset && {
		offset: offset.offset,
		leaderEpoch: offset.leaderEpoch,
		metadata: offset.metadata,
		commitTimestamp: offset.commitMs,
		expireTimestamp: offset.expireMs,
		topicId: offset.topicId,
	};
	return encodeRecord(
		[OFFSET_COMMIT_RECORD_TYPE, OFFSET_COMMIT_KEY, key],
		[version, OFFSET_COMMIT_VALUE, value],
	);
}

/** The record that holds a classic group, or with null the one that removes it. */
export function groupRecord(group: string, value: GroupMetadataValue | null): GroupRecord {
	return encodeRecord(
		[GROUP_METADATA_RECORD_TYPE, GROUP_METADATA_KEY, { group }],
		[GROUP_METADATA_VERSION, GROUP_METADATA_VALUE, value],
	);
}

/** Records but for that of a classic group. */
export function withoutGroupRecord(
	group: string,
	records: readonly GroupRecord[],
): readonly GroupRecord[] {
	if (records.length === 0) return records;
	const own = groupRecord(group, null).key;
	return records.filter(({ key }) => Buffer.compare(key, own) !== 0);
}

/** Throws KafkaFrameError when the bytes are not what their type says. */
export function decodeKey(key: Uint8Array): DecodedKey {
	const reader = readerOf(key);
	const type = reader.int16();
	switch (type) {
		case OFFSET_COMMIT_RECORD_TYPE_OLD:
		case OFFSET_COMMIT_RECORD_TYPE:
			return { kind: "offset", ...OFFSET_COMMIT_KEY.read(reader, 0) };
		case GROUP_METADATA_RECORD_TYPE:
			return { kind: "group", ...GROUP_METADATA_KEY.read(reader, 0) };
		default: {
			const consumer = decodeConsumerKey(type, reader);
			return consumer === null ? { kind: "foreign", type } : { kind: "consumer", key: consumer };
		}
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
