/** How a history ends: readers get the time to read everything, then all that is there is noted. */
import { setTimeout as sleep } from "node:timers/promises";

import type { Client } from "../../../src/client/index.ts";
import { type FinalLog, type History, recordName } from "./history.ts";

const DRAIN_MS_MAX = 180_000;

/**
 * Resolves when these readers and groups have seen the last record of every partition, and notes
 * that they had the time to see all. Nothing may be produced any more.
 * @throws with what they lack when that takes too long
 */
export async function drain(
	client: Client,
	history: History,
	topic: string,
	readers: readonly string[],
): Promise<void> {
	const ends = await client.offsets.describe(topic);
	for (const deadlineMs = Date.now() + DRAIN_MS_MAX; ; await sleep(20)) {
		const highest = new Map<string, number>();
		for (const { session, offset } of history.sightings) {
			if (session.topic !== topic) continue;
			const place = `${session.group ?? session.reader} ${session.partition}`;
			highest.set(place, Math.max(highest.get(place) ?? -1, offset));
		}
		const lacking = readers.flatMap((reader) =>
			ends.flatMap(({ partition, high_watermark: end }) => {
				const next = (highest.get(`${reader} ${partition}`) ?? -1) + 1;
				return next < end ? [`${reader} is at ${next} of ${end} in ${topic}-${partition}`] : [];
			}),
		);
		if (lacking.length === 0) break;
		if (Date.now() > deadlineMs) throw new Error(lacking.join(", "));
	}
	for (const reader of readers) history.drained.push({ reader, topic });
}

/** What a broker serves, for the end of a history. */
export async function noteFinalState(
	client: Client,
	history: History,
	topics: readonly string[],
	groups: readonly string[] = [],
): Promise<void> {
	for (const topic of topics) {
		const ends = await client.offsets.describe(topic);
		const served = ends.map((): FinalLog["records"][number][] => []);
		const options = { codec: "bytes", from: "earliest", until: "end" } as const;
		for await (const record of client.consumer<Uint8Array>({ topics: topic, ...options })) {
			const { offset, valueBytes } = record;
			served[record.partition]?.push({ ...recordName(valueBytes as Uint8Array), offset });
		}
		for (const { partition, log_start, high_watermark } of ends) {
			const records = served[partition] ?? [];
			history.finalLogs.push({
				topic,
				partition,
				logStart: log_start,
				end: high_watermark,
				records,
			});
		}
	}
	for (const group of groups) {
		const { partitions } = await client.groups.describe(group);
		for (const { topic, partition, committed } of partitions) {
			if (committed !== null)
				history.finalCommits.push({ group, topic, partition, offset: committed });
		}
	}
}
