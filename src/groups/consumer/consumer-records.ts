/**
 * The records of consumer groups in the offsets topic, in Kafka's own schemas. A group is an epoch,
 * the epoch of its target assignment, for each member what it said, what it should have and where
 * it stands, and for each pattern what it stood for.
 */
import {
	CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_KEY,
	CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_RECORD_TYPE,
	CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE,
} from "../../kafka/generated/data-consumer-group-current-member-assignment.ts";
import {
	CONSUMER_GROUP_MEMBER_METADATA_KEY,
	CONSUMER_GROUP_MEMBER_METADATA_RECORD_TYPE,
	CONSUMER_GROUP_MEMBER_METADATA_VALUE,
	type ConsumerGroupMemberMetadataValue,
} from "../../kafka/generated/data-consumer-group-member-metadata.ts";
import {
	CONSUMER_GROUP_METADATA_KEY,
	CONSUMER_GROUP_METADATA_RECORD_TYPE,
	CONSUMER_GROUP_METADATA_VALUE,
	type ConsumerGroupMetadataValue,
} from "../../kafka/generated/data-consumer-group-metadata.ts";
import {
	CONSUMER_GROUP_PARTITION_METADATA_KEY,
	CONSUMER_GROUP_PARTITION_METADATA_RECORD_TYPE,
} from "../../kafka/generated/data-consumer-group-partition-metadata.ts";
import {
	CONSUMER_GROUP_REGULAR_EXPRESSION_KEY,
	CONSUMER_GROUP_REGULAR_EXPRESSION_RECORD_TYPE,
	CONSUMER_GROUP_REGULAR_EXPRESSION_VALUE,
} from "../../kafka/generated/data-consumer-group-regular-expression.ts";
import {
	CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_KEY,
	CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_RECORD_TYPE,
	CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE,
} from "../../kafka/generated/data-consumer-group-target-assignment-member.ts";
import {
	CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_KEY,
	CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_RECORD_TYPE,
	CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_VALUE,
	type ConsumerGroupTargetAssignmentMetadataValue,
} from "../../kafka/generated/data-consumer-group-target-assignment-metadata.ts";
import type { KafkaReader } from "../../kafka/wire/reader.ts";
import type { KafkaSchema } from "../../kafka/wire/schema.ts";
import type { GroupRecord } from "../group.ts";
import { decodeValue, encodeRecord } from "../log/record-codec.ts";
import { type Assignment, assignmentFrom, toTopicIdPartitions } from "./assignment.ts";
import { grantsFrom, withEpochs } from "./grants.ts";
import type { MemberState, Standing } from "./reconciliation.ts";

/** What a member said about itself, as its record has it. */
export type StoredMember = ConsumerGroupMemberMetadataValue;

/** What a record of a consumer group is about. */
export type ConsumerKey =
	| { readonly part: "epoch" | "targetEpoch" | "partitionMetadata"; readonly group: string }
	| {
			readonly part: "member" | "target" | "standing";
			readonly group: string;
			readonly memberId: string;
	  }
	| { readonly part: "pattern"; readonly group: string; readonly pattern: string };

const VERSION = 0;

/** As Kafka numbers them. */
const STATES: readonly MemberState[] = ["stable", "unrevoked", "unreleased"];

function record<Key, Value>(
	type: number,
	keySchema: KafkaSchema<Key>,
	key: Key,
	valueSchema: KafkaSchema<Value>,
	value: Value | null,
): GroupRecord {
	return encodeRecord([type, keySchema, key], [VERSION, valueSchema, value]);
}

/** The record of the group's epoch, or with null the one that removes it; as all of these. */
export function epochRecord(
	groupId: string,
	value: ConsumerGroupMetadataValue | null,
): GroupRecord {
	return record(
		CONSUMER_GROUP_METADATA_RECORD_TYPE,
		CONSUMER_GROUP_METADATA_KEY,
		{ groupId },
		CONSUMER_GROUP_METADATA_VALUE,
		value,
	);
}

export function targetEpochRecord(
	groupId: string,
	value: ConsumerGroupTargetAssignmentMetadataValue | null,
): GroupRecord {
	return record(
		CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_RECORD_TYPE,
		CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_KEY,
		{ groupId },
		CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_VALUE,
		value,
	);
}

export function memberRecord(
	groupId: string,
	memberId: string,
	value: ConsumerGroupMemberMetadataValue | null,
): GroupRecord {
	return record(
		CONSUMER_GROUP_MEMBER_METADATA_RECORD_TYPE,
		CONSUMER_GROUP_MEMBER_METADATA_KEY,
		{ groupId, memberId },
		CONSUMER_GROUP_MEMBER_METADATA_VALUE,
		value,
	);
}

export function targetRecord(
	groupId: string,
	memberId: string,
	target: Assignment | null,
): GroupRecord {
	return record(
		CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_RECORD_TYPE,
		CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_KEY,
		{ groupId, memberId },
		CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE,
		target === null ? null : { topicPartitions: toTopicIdPartitions(target) },
	);
}

export function standingRecord(
	groupId: string,
	memberId: string,
	standing: Standing | null,
): GroupRecord {
	const value = standing && {
		memberEpoch: standing.epoch,
		previousMemberEpoch: standing.previousEpoch,
		state: STATES.indexOf(standing.state),
		assignedPartitions: withEpochs(standing.assigned, standing.grants),
		partitionsPendingRevocation: withEpochs(standing.revoking, standing.grants),
	};
	return record(
		CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_RECORD_TYPE,
		CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_KEY,
		{ groupId, memberId },
		CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE,
		value,
	);
}

export function patternRecord(
	groupId: string,
	pattern: string,
	value: { readonly topics: readonly string[]; readonly version: number; timestamp: number } | null,
): GroupRecord {
	return record(
		CONSUMER_GROUP_REGULAR_EXPRESSION_RECORD_TYPE,
		CONSUMER_GROUP_REGULAR_EXPRESSION_KEY,
		{ groupId, regularExpression: pattern },
		CONSUMER_GROUP_REGULAR_EXPRESSION_VALUE,
		value,
	);
}

/** Null for a type that is not of consumer groups. Throws KafkaFrameError. */
export function decodeConsumerKey(type: number, reader: KafkaReader): ConsumerKey | null {
	switch (type) {
		case CONSUMER_GROUP_METADATA_RECORD_TYPE:
			return { part: "epoch", group: CONSUMER_GROUP_METADATA_KEY.read(reader, 0).groupId };
		case CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_RECORD_TYPE: {
			const { groupId } = CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_KEY.read(reader, 0);
			return { part: "targetEpoch", group: groupId };
		}
		case CONSUMER_GROUP_PARTITION_METADATA_RECORD_TYPE: {
			const { groupId } = CONSUMER_GROUP_PARTITION_METADATA_KEY.read(reader, 0);
			return { part: "partitionMetadata", group: groupId };
		}
		case CONSUMER_GROUP_MEMBER_METADATA_RECORD_TYPE:
			return { part: "member", ...ofMember(CONSUMER_GROUP_MEMBER_METADATA_KEY.read(reader, 0)) };
		case CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_RECORD_TYPE: {
			const key = CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_KEY.read(reader, 0);
			return { part: "target", ...ofMember(key) };
		}
		case CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_RECORD_TYPE: {
			const key = CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_KEY.read(reader, 0);
			return { part: "standing", ...ofMember(key) };
		}
		case CONSUMER_GROUP_REGULAR_EXPRESSION_RECORD_TYPE: {
			const key = CONSUMER_GROUP_REGULAR_EXPRESSION_KEY.read(reader, 0);
			return { part: "pattern", group: key.groupId, pattern: key.regularExpression };
		}
		default:
			return null;
	}
}

function ofMember({ groupId, memberId }: { readonly groupId: string; readonly memberId: string }) {
	return { group: groupId, memberId };
}

/** What the log says of one consumer group: the newest value of each record. */
export class ConsumerGroupImage {
	epoch: ConsumerGroupMetadataValue | null = null;
	targetEpoch: ConsumerGroupTargetAssignmentMetadataValue | null = null;
	readonly members = new Map<string, ConsumerGroupMemberMetadataValue>();
	readonly targets = new Map<string, Assignment>();
	readonly standings = new Map<string, Standing>();
	/** The patterns that there are records of. */
	readonly patterns = new Set<string>();

	/** Whether there is no such group, whatever else is left of it. */
	get isGone(): boolean {
		return this.epoch === null;
	}

	/**
	 * Takes a record in; false for one of a version that this broker does not know. Nothing of
	 * `value` is kept. Throws KafkaFrameError.
	 */
	take(key: ConsumerKey, value: Uint8Array | null): boolean {
		switch (key.part) {
			case "epoch":
				this.epoch = value === null ? null : decodeValue(CONSUMER_GROUP_METADATA_VALUE, value);
				return value === null || this.epoch !== null;
			case "targetEpoch": {
				const schema = CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA_VALUE;
				this.targetEpoch = value === null ? null : decodeValue(schema, value);
				return value === null || this.targetEpoch !== null;
			}
			case "partitionMetadata":
				// What Kafka before 4.1 wrote of the topics; they are looked up instead.
				return true;
			case "member": {
				const schema = CONSUMER_GROUP_MEMBER_METADATA_VALUE;
				return put(this.members, key.memberId, value, (bytes) => decodeMember(schema, bytes));
			}
			case "target":
				return put(this.targets, key.memberId, value, decodeTarget);
			case "standing":
				return put(this.standings, key.memberId, value, decodeStanding);
			case "pattern":
				if (value === null) this.patterns.delete(key.pattern);
				else this.patterns.add(key.pattern);
				return true;
		}
	}
}

/** Whether the value could be read, or was none. */
function put<Value>(
	map: Map<string, Value>,
	key: string,
	bytes: Uint8Array | null,
	decode: (bytes: Uint8Array) => Value | null,
): boolean {
	const value = bytes === null ? null : decode(bytes);
	if (value === null) map.delete(key);
	else map.set(key, value);
	return bytes === null || value !== null;
}

function decodeMember(
	schema: KafkaSchema<ConsumerGroupMemberMetadataValue>,
	bytes: Uint8Array,
): ConsumerGroupMemberMetadataValue | null {
	const value = decodeValue(schema, bytes);
	const classic = value?.classicMemberMetadata ?? null;
	if (value === null || classic === null) return value;
	// Copies: the record's memory is used again.
	const supportedProtocols = classic.supportedProtocols.map(({ name, metadata }) => ({
		name,
		metadata: new Uint8Array(metadata),
	}));
	return { ...value, classicMemberMetadata: { ...classic, supportedProtocols } };
}

function decodeTarget(bytes: Uint8Array): Assignment | null {
	const value = decodeValue(CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER_VALUE, bytes);
	return value === null ? null : assignmentFrom(value.topicPartitions);
}

/** Null as well for a state that this broker does not know. */
function decodeStanding(bytes: Uint8Array): Standing | null {
	const value = decodeValue(CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT_VALUE, bytes);
	const state = value === null ? undefined : STATES[value.state];
	if (value === null || state === undefined) return null;
	const { memberEpoch, assignedPartitions, partitionsPendingRevocation } = value;
	return {
		state,
		epoch: memberEpoch,
		previousEpoch: value.previousMemberEpoch,
		assigned: assignmentFrom(assignedPartitions),
		revoking: assignmentFrom(partitionsPendingRevocation),
		grants: grantsFrom([...assignedPartitions, ...partitionsPendingRevocation], memberEpoch),
	};
}
