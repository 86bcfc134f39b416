/**
 * What Kafka's consumers put into their metadata and assignments. The broker looks into it only to
 * know which topics a group reads: everything else stays between the members.
 */
import {
	type ConsumerProtocolAssignment,
	readConsumerProtocolAssignment,
} from "../kafka/generated/data-consumer-protocol-assignment.ts";
import * as subscription from "../kafka/generated/data-consumer-protocol-subscription.ts";
import { KafkaFrameError } from "../kafka/wire/frame-error.ts";
import { KafkaReader } from "../kafka/wire/reader.ts";

/** The protocol type of groups whose members are Kafka consumers. */
export const CONSUMER_PROTOCOL_TYPE = "consumer";

const reader = new KafkaReader();

/** The topics of a subscription; null when it is not one. */
export function subscribedTopics(metadata: Uint8Array): readonly string[] | null {
	// Version 0 is the front part of all versions, those to come included.
	return attempt(metadata, () => subscription.readConsumerProtocolSubscription(reader, 0).topics);
}

/** The partitions of an assignment, topic by topic; null when it is not one, or is empty. */
export function assignedPartitions(
	assignment: Uint8Array,
): ConsumerProtocolAssignment["assignedPartitions"] | null {
	return attempt(assignment, () => readConsumerProtocolAssignment(reader, 0).assignedPartitions);
}

function attempt<Result>(bytes: Uint8Array, read: () => Result): Result | null {
	reader.reset(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
	try {
		const version = reader.int16();
		return version < 0 ? null : read();
	} catch (error) {
		if (error instanceof KafkaFrameError) return null;
		throw error;
	}
}
