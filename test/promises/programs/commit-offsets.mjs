/**
 * Commits offsets as fast as it can until it is killed: `node commit-offsets.mjs DIR FROM`. Each
 * line of its output is a round that was acknowledged: all groups have at least that offset.
 */
import { writeSync } from "node:fs";

import { systemClock } from "../../../dist/clock.js";
import { loadConfig } from "../../../dist/config/load.js";
import { GroupCoordinator } from "../../../dist/groups/coordinator.js";
import { GroupConfigs } from "../../../dist/groups/group-configs.js";
import { EmbeddedMetadataStore } from "../../../dist/metadata/embedded-store.js";
import { MetadataWriter } from "../../../dist/metadata/metadata-writer.js";
import { Storage } from "../../../dist/storage/storage.js";
import { TopicCatalogue } from "../../../dist/topics/catalogue.js";

const [, , dataDir, from] = process.argv;
const GROUPS = 8;
const PARTITIONS = 60;

const storage = await Storage.open({ dataDir });
const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
const catalogue = await TopicCatalogue.open(storage, opened, {
	partitionsDefault: 1,
	createsAutomatically: true,
	onDeletionFailed: (_, error) => {
		throw error;
	},
});
const complain = (details, message) => {
	throw new Error(message, { cause: details.err });
};
const { config } = await loadConfig({ flags: { "offsets-topic-num-partitions": "3" } });
const coordinator = new GroupCoordinator({
	options: config,
	configs: GroupConfigs.open(opened, config),
	storage,
	catalogue,
	clock: systemClock,
	log: { debug: () => undefined, warn: complain, error: complain },
});
await coordinator.load();
await catalogue.create({ name: "orders", partitions: PARTITIONS, ifNotExists: true });

// Enough metadata that logs are rolled up again and again.
const metadata = "m".repeat(2_000);
for (let offset = Number(from); ; offset++) {
	const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({
		partition,
		offset,
		leaderEpoch: -1,
		metadata,
	}));
	await Promise.all(
		Array.from({ length: GROUPS }, (_, group) =>
			coordinator.commitOffsets({
				groupId: `group-${group}`,
				memberId: "",
				groupInstanceId: null,
				generation: -1,
				retentionMs: null,
				knowsGroupIdNotFound: true,
				topics: [{ topic: "orders", partitions }],
			}),
		),
	);
	writeSync(1, `${offset}\n`);
}
