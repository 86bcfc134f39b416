/** What many partitions that get a record now and then take of the page cache. */
import { join } from "node:path";

import { residentBytes } from "../page-cache.ts";
import { type Scenario, withTestBed } from "../scenario.ts";
import { measurePaced, type PacedLoad } from "./curves.ts";

const LOAD = {
	durability: "flushed",
	recordBytes: 100,
	perSecond: 4_000,
	percentile: "p50",
} as const satisfies PacedLoad;

/** Records of each partition in the timed part; the one before them makes its files. */
const TURNS = 4;

export function slowPartitionsScenario(wanted: number): Scenario {
	return {
		name: `page-cache-partitions-${wanted}`,
		about: `page cache of partitions (${wanted}) that get small records by turns, acked flushed`,
		tier: "full",
		run(context) {
			const { durability } = LOAD;
			const partitions = Math.min(wanted, context.profile.countMax);
			const seconds = (TURNS * partitions) / LOAD.perSecond;
			const profile = { ...context.profile, seconds, warmUpSeconds: 0 };
			return withTestBed(context, { durability, partitions }, async (bed) => {
				const producer = bed.client.producer<Uint8Array>({ codec: "bytes" });
				const result = await measurePaced(bed, { ...context, profile }, LOAD, {
					curve: { of: "slow partitions", count: partitions },
					producerOf: () => producer,
					partitions,
					extras: [],
				});
				// Of the topic's files alone; and behind the reading back: what readers bring in stays
				// there, and what was evicted of it is there again.
				const { topic_id: topicId } = await bed.client.topics.describe(bed.topic);
				const bytes = await residentBytes(join(context.directory, "data", "logs", topicId));
				if (bytes === null) return result;
				const value = bytes / partitions;
				const extra = { name: "page cache a slow partition", unit: "bytes", value } as const;
				return { ...result, extras: [extra] };
			});
		},
	};
}
