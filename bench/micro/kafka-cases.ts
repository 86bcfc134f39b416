/** Kafka's requests in and responses out, without the socket. */
import { PRODUCE } from "#dist/kafka/generated/00-produce.js";
import { FETCH, type FetchResponse } from "#dist/kafka/generated/01-fetch.js";
import { KafkaReader } from "#dist/kafka/wire/reader.js";
import { KafkaWriter } from "#dist/kafka/wire/writer.js";

import type { MicroCase } from "./micro-case.ts";

const PARTITION_COUNTS = [1, 100];
/** Records of one partition: more than what is copied into an answer. */
const RECORDS = new Uint8Array(2_048);
const TOPIC = "orders.placed";
const TOPIC_ID = "01234567-89ab-cdef-0123-456789abcdef";
/** From here on topics go by their ids. */
const TOPIC_ID_VERSION = 13;

export function kafkaCases(): MicroCase[] {
	return PARTITION_COUNTS.flatMap((partitions) => [
		...[9, 13].map((version) => readProduce(version, partitions)),
		...[12, 18].map((version) => writeFetch(version, partitions)),
	]);
}

function readProduce(version: number, partitions: number): MicroCase {
	const writer = new KafkaWriter().start();
	writer.nullableString(null, true).int16(-1).int32(30_000).unsignedVarint(2);
	if (version >= TOPIC_ID_VERSION) writer.uuid(TOPIC_ID);
	else writer.string(TOPIC, true);
	writer.unsignedVarint(partitions + 1);
	for (let index = 0; index < partitions; index++) {
		writer.int32(index).bytes(RECORDS, true).unsignedVarint(0);
	}
	const frame = Buffer.from(writer.unsignedVarint(0).unsignedVarint(0).finish());
	return {
		name: `kafka: read Produce ${version} of ${partitions} partitions`,
		run: () => void PRODUCE.readRequest(new KafkaReader(frame), version),
	};
}

function writeFetch(version: number, partitions: number): MicroCase {
	const writer = new KafkaWriter();
	const response: FetchResponse = {
		sessionId: 7,
		responses: [
			{
				...(version >= TOPIC_ID_VERSION ? { topicId: TOPIC_ID } : { topic: TOPIC }),
				partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
					partitionIndex,
					errorCode: 0,
					highWatermark: 5_000_000_000,
					lastStableOffset: 5_000_000_000,
					logStartOffset: 1_000,
					abortedTransactions: null,
					records: RECORDS,
				})),
			},
		],
	};
	return {
		name: `kafka: write Fetch ${version} of ${partitions} partitions`,
		run() {
			FETCH.writeResponse(writer.startFrame(7, true), response, version);
			writer.finishFrame();
		},
	};
}
