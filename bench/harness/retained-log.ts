/** A log that a load may write to for as long as it likes: retention deletes what is old. */
import { setTimeout as sleep } from "node:timers/promises";

import { type Payload, RecordHash } from "./payload.ts";
import type { Verified } from "./results.ts";
import { checkHash, type TestBed } from "./scenario.ts";

const CHECK_MS = 1_000;

/** How a topic of that kind is created, and its broker started. */
export const RETAINED = {
	// Several times what a consumer may be behind that reads along: it always finds its records.
	configs: {
		"retention.bytes": "1073741824",
		"segment.bytes": "67108864",
		"file.delete.delay.ms": "0",
	},
	brokerOptions: [`--log-retention-check-interval-ms=${CHECK_MS}`],
} as const;

/** Rejects unless what retention has left is the last of the `sent` records of the payload. */
export async function verifyLeft(
	{ client, topic }: Pick<TestBed, "client" | "topic">,
	payload: Payload,
	sent: number,
): Promise<Verified> {
	// Nothing is to go while it is read, and a check that has begun comes to its end.
	await client.topics.alter(topic, { "retention.bytes": "-1" });
	await sleep(CHECK_MS);
	const hash = new RecordHash();
	let first = sent;
	const options = { topics: topic, from: "earliest", until: "end", codec: "bytes" } as const;
	const consumer = client.consumer<Uint8Array>(options);
	for await (const batch of consumer.batches()) {
		for (const { offset, value } of batch) {
			first = Math.min(first, offset);
			hash.add(offset, value ?? new Uint8Array());
		}
	}
	await consumer.close();
	return checkHash(hash, payload, sent - first, first);
}
