/** Millrace's own client over WebSocket. */
import { type Client, connect } from "millrace/client";

import type { RecordHash } from "../../harness/payload.ts";
import { NEVER } from "../../harness/scenario.ts";
import { type LoadClient, type Sums, UNACKNOWLEDGED_BYTES_MAX } from "./client.ts";
import type { LoadOrder, ReadStyle } from "./order.ts";

export async function connectMillrace(order: LoadOrder): Promise<LoadClient> {
	const client = await connect(order.address);
	const { topic, durability } = order;
	const producer = client.producer<Uint8Array>({
		codec: "bytes",
		durability,
		bufferBytesMax: UNACKNOWLEDGED_BYTES_MAX,
	});
	return {
		async create({ flushMs }) {
			const configs = {
				"flush.messages": durability === "written" ? NEVER : "1",
				"flush.ms": flushMs === null ? NEVER : `${flushMs}`,
			};
			await client.topics.create(topic, { partitions: 1, configs });
		},
		async remove(name) {
			await client.topics.delete(name);
		},
		send: (value) => (producer.write({ topic, value }) ? null : producer.drained()),
		acknowledged: () => producer.flush(),
		read: (style, _records, hash) => read(client, topic, style, hash),
		close: () => client.close(),
	};
}

async function read(
	client: Client,
	topic: string,
	style: ReadStyle,
	hash: RecordHash | null,
): Promise<Sums> {
	const consumer = client.consumer<Uint8Array>({
		topics: topic,
		from: "earliest",
		until: "end",
		codec: "bytes",
	});
	const sums = { records: 0, bytes: 0 };
	if (style === "each") {
		for await (const { offset, value } of consumer) {
			sums.records += 1;
			sums.bytes += value?.length ?? 0;
			hash?.add(offset, value ?? new Uint8Array());
		}
	} else {
		for await (const batch of consumer.batches()) {
			for (const { offset, value } of batch) {
				sums.records += 1;
				sums.bytes += value?.length ?? 0;
				hash?.add(offset, value ?? new Uint8Array());
			}
		}
	}
	await consumer.close();
	return sums;
}
