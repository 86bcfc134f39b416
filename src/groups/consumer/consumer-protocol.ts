/**
 * What Kafka's consumers put into their metadata and assignments. While a group is classic the
 * broker looks into it only to know which topics the group reads: everything else stays between the
 * members. In a consumer group it reads their metadata and writes their assignments.
 */
import {
	CONSUMER_PROTOCOL_ASSIGNMENT as assignmentSchema,
	type ConsumerProtocolAssignment,
	readConsumerProtocolAssignment,
} from "../../kafka/generated/data-consumer-protocol-assignment.ts";
import {
	type ConsumerProtocolSubscription,
	readConsumerProtocolSubscription,
	CONSUMER_PROTOCOL_SUBSCRIPTION as subscriptionSchema,
} from "../../kafka/generated/data-consumer-protocol-subscription.ts";
import { KafkaFrameError } from "../../kafka/wire/frame-error.ts";
import { KafkaReader } from "../../kafka/wire/reader.ts";
import { KafkaWriter } from "../../kafka/wire/writer.ts";
import type { TopicPartitions } from "../requests.ts";

/** The protocol type of groups whose members are Kafka consumers. */
export const CONSUMER_PROTOCOL_TYPE = "consumer";

const reader = new KafkaReader();
const writer = new KafkaWriter();

/** The topics of a subscription; null when it is not one. */
export function subscribedTopics(metadata: Uint8Array): readonly string[] | null {
	// Version 0 is the front part of all versions, those to come included.
	return attempt(metadata, () => readConsumerProtocolSubscription(reader, 0).topics);
}

export type { ConsumerProtocolSubscription };

/** A subscription as its version has it; null when it is not one. */
export function readSubscription(metadata: Uint8Array): ConsumerProtocolSubscription | null {
	return attempt(metadata, (version) =>
		readConsumerProtocolSubscription(reader, Math.min(version, subscriptionSchema.latest)),
	);
}

/** The partitions of an assignment, topic by topic; null when it is not one, or is empty. */
export function assignedPartitions(
	assignment: Uint8Array,
): ConsumerProtocolAssignment["assignedPartitions"] | null {
	return readAssignment(assignment)?.assignedPartitions ?? null;
}

/** Null when it is not one, or is empty; `userData` is a view of it. */
export function readAssignment(assignment: Uint8Array): ConsumerProtocolAssignment | null {
	return attempt(assignment, () => readConsumerProtocolAssignment(reader, 0));
}

/** An assignment in the version of a member's metadata, as the member understands that one. */
export function writeAssignment(
	topics: readonly TopicPartitions<number>[],
	metadata: Uint8Array,
): Uint8Array {
	const version = Math.min(attempt(metadata, (its) => its) ?? 0, assignmentSchema.latest);
	writer.start().int16(version);
	assignmentSchema.write(writer, { assignedPartitions: topics, userData: null }, version);
	return writer.finish();
}

function attempt<Result>(bytes: Uint8Array, read: (version: number) => Result): Result | null {
	reader.reset(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
	try {
		const version = reader.int16();
		return version < 0 ? null : read(version);
	} catch (error) {
		if (error instanceof KafkaFrameError) return null;
		throw error;
	}
}
