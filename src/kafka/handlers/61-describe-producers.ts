/**
 * DescribeProducers: v0 (KIP-664).
 *
 * Behavior:
 * - The producers that numbered their records in a partition, as its log remembers them. What a
 *   request has twice is answered once.
 * - There are no transactions: no coordinator has written, and none is open.
 */
import { CODES } from "../../protocol/codes.ts";
import { isTopicName } from "../../topics/names.ts";
import { serveApi } from "../api.ts";
import { type Failure, failed, reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_PRODUCERS,
	type DescribeProducersRequest,
	type DescribeProducersResponse,
} from "../generated/61-describe-producers.ts";
import { checkNamedCount, partitionsByTopic } from "../requests.ts";
import { Turns } from "../turns.ts";

type ResponsePartition = DescribeProducersResponse["topics"][number]["partitions"][number];

const NO_EPOCH = -1;
const NO_OFFSET = -1;

export const describeProducersApi = serveApi(DESCRIBE_PRODUCERS, describeProducers);

async function describeProducers(
	{ topics }: DescribeProducersRequest,
	exchange: Exchange,
): Promise<DescribeProducersResponse> {
	checkNamedCount(topics.length);
	const turns = new Turns(exchange.host.clock);
	const answers: { name: string; partitions: ResponsePartition[] }[] = [];
	const asked = partitionsByTopic(
		topics.map(({ name, partitionIndexes }) => ({ name, partitions: partitionIndexes })),
	);
	for (const [name, indexes] of asked) {
		const partitions: ResponsePartition[] = [];
		for (const partitionIndex of indexes) {
			partitions.push({ partitionIndex, ...producersOf(name, partitionIndex, exchange) });
			await turns.pause();
		}
		answers.push({ name, partitions });
	}
	return { topics: answers };
}

function producersOf(
	name: string,
	partition: number,
	exchange: Exchange,
): Omit<ResponsePartition, "partitionIndex"> {
	const { catalogue, storage } = exchange.host;
	const refused = (failure: Failure) => ({ ...failure, activeProducers: [] });
	if (!exchange.allows("topic", name)) return refused(failed("TOPIC_AUTHORIZATION_FAILED"));
	if (!isTopicName(name)) return refused(failed("INVALID_TOPIC_EXCEPTION", name.slice(0, 100)));
	const topic = catalogue.get(name);
	if (topic === undefined) return refused(failed("UNKNOWN_TOPIC_OR_PARTITION", name));
	// Without a message, as in Kafka.
	if (partition < 0 || partition >= topic.partitions) {
		return refused({
			errorCode: CODES.UNKNOWN_TOPIC_OR_PARTITION.code,
			errorMessage: null,
		});
	}
	try {
		const activeProducers = storage.activeProducers(topic.handle, partition).map((producer) => ({
			producerId: producer.producerId,
			producerEpoch: producer.epoch,
			lastSequence: producer.lastSequence,
			lastTimestamp: producer.lastAppendMs,
			coordinatorEpoch: NO_EPOCH,
			currentTxnStartOffset: NO_OFFSET,
		}));
		return { errorCode: CODES.NONE.code, errorMessage: null, activeProducers };
	} catch (error) {
		return refused(reportedFailure(error, exchange));
	}
}
