/**
 * DeleteRecords: v0-2 (KIP-107).
 *
 * Behavior:
 * - Moves the start of a partition forward, durably, and answers where it is; -1 is the high
 *   watermark. An offset before the start changes nothing, one behind the high watermark is
 *   OFFSET_OUT_OF_RANGE.
 * - Records of topics that are compacted and not deleted stay: POLICY_VIOLATION.
 * - The broker's internal topics stay as they are: INVALID_TOPIC_EXCEPTION.
 * - There are no followers to wait for, so `timeoutMs` means nothing.
 */
import { CODES } from "../../protocol/codes.ts";
import { effectiveValue } from "../../topics/configuration.ts";
import { isInternalTopic } from "../../topics/internal-topics.ts";
import { serveApi } from "../api.ts";
import { firstError } from "../audited.ts";
import { reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DELETE_RECORDS,
	type DeleteRecordsRequest,
	type DeleteRecordsResponse,
} from "../generated/21-delete-records.ts";
import { findAllowedTopic } from "../topics.ts";

type RequestTopic = DeleteRecordsRequest["topics"][number];
type ResponsePartition = DeleteRecordsResponse["topics"][number]["partitions"][number];

/** Partitions that are at work together: each waits for the disk. */
const AT_ONCE_MAX = 16;

/** The offset that stands for the high watermark. */
const TO_HIGH_WATERMARK = -1;
const UNKNOWN = -1;

export const deleteRecordsApi = serveApi(DELETE_RECORDS, deleteRecords, (_, { topics }) =>
	topics.map(({ name, partitions }) => ({
		resource: `records of topic ${name}`,
		errorCode: firstError(partitions),
	})),
);

async function deleteRecords(
	{ topics }: DeleteRecordsRequest,
	exchange: Exchange,
): Promise<DeleteRecordsResponse> {
	const answers: { name: string; partitions: ResponsePartition[] }[] = [];
	for (const [name, offsets] of offsetsByTopic(topics)) {
		const asked = [...offsets];
		const partitions: ResponsePartition[] = [];
		while (asked.length > 0) {
			const together = asked.splice(0, AT_ONCE_MAX);
			const deletions = together.map(([partition, offset]) =>
				deleteOne(name, partition, offset, exchange),
			);
			partitions.push(...(await Promise.all(deletions)));
		}
		answers.push({ name, partitions });
	}
	return { topics: answers };
}

/** What is asked of each partition; the last counts where there are several, as in Kafka. */
function offsetsByTopic(topics: readonly RequestTopic[]): Map<string, Map<number, number>> {
	const byTopic = new Map<string, Map<number, number>>();
	for (const { name, partitions } of topics) {
		const offsets = byTopic.get(name) ?? new Map<number, number>();
		for (const { partitionIndex, offset } of partitions) offsets.set(partitionIndex, offset);
		byTopic.set(name, offsets);
	}
	return byTopic;
}

async function deleteOne(
	name: string,
	partitionIndex: number,
	offset: number,
	exchange: Exchange,
): Promise<ResponsePartition> {
	const { catalogue, storage } = exchange.host;
	const failed = (errorCode: number) => ({ partitionIndex, lowWatermark: UNKNOWN, errorCode });
	const topic = findAllowedTopic(exchange, { name });
	if (typeof topic === "number") return failed(topic);
	if (isInternalTopic(name)) return failed(CODES.INVALID_TOPIC_EXCEPTION.code);
	if (effectiveValue(topic.overrides, "cleanup.policy", catalogue.defaults) === "compact") {
		return failed(CODES.POLICY_VIOLATION.code);
	}
	if (offset < TO_HIGH_WATERMARK) return failed(CODES.OFFSET_OUT_OF_RANGE.code);
	try {
		const lowWatermark = await storage.deleteRecords(topic.handle, partitionIndex, offset);
		return { partitionIndex, lowWatermark, errorCode: CODES.NONE.code };
	} catch (error) {
		return failed(reportedFailure(error, exchange).errorCode);
	}
}
