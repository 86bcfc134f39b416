/** The offsets topic is short after a long life, and says the same as before. */
import { describe, expect, test } from "vitest";

import { temporaryDirectory } from "../broker-process.ts";
import { COMPACTING, commitOf, commitRequest, type Harness, start } from "./harness.ts";

const options = { offsetsTopicNumPartitions: 1 };
const PARTITIONS = 10;
const COMMITS = 200_000;
const COMMITS_OF_BATCH = 1_000;
const SEGMENT_BYTES = 1_048_576;

/** A group that has committed for years, and another that came and went. */
async function longLife(dataDir: string): Promise<void> {
	const harness = await start({ dataDir, options });
	await harness.catalogue.create({ name: "orders", partitions: PARTITIONS });
	await harness.coordinator.commitOffsets(commitRequest(0, { groupId: "gone" }));
	await harness.coordinator.deleteGroups(["gone"]);
	for (let from = 0; from < COMMITS; from += COMMITS_OF_BATCH) {
		const records = Array.from({ length: COMMITS_OF_BATCH }, (_, index) =>
			commitOf("old", from + index),
		);
		await harness.appendRecords("old", records);
	}
	await harness.stop();
}

/** Starts again, and tells how many bytes of log were read for that. */
async function restart(dataDir: string): Promise<{ harness: Harness; readBytes: number }> {
	let readBytes = 0;
	const harness = await start({
		dataDir,
		options,
		storage: (storage) =>
			new Proxy(storage, {
				get(target, name) {
					const value = Reflect.get(target, name, target) as unknown;
					if (typeof value !== "function") return value;
					if (name !== "readRecords") return value.bind(target);
					return (...parameters: Parameters<typeof target.readRecords>) => {
						const result = target.readRecords(...parameters);
						if (result.status === "data") readBytes += result.bytes;
						return result;
					};
				},
			}),
	});
	return { harness, readBytes };
}

function checkOffsets({ coordinator, complaints }: Harness): void {
	expect([...coordinator.listGroups()].map(({ groupId }) => groupId)).toEqual(["old"]);
	const [orders] = coordinator.fetchOffsets({ groupId: "old", topics: null });
	const found = orders?.partitions.map(({ partition, offset }) => [partition, offset]);
	expect(found?.sort()).toEqual(
		Array.from({ length: PARTITIONS }, (_, partition) => [
			partition,
			COMMITS - PARTITIONS + partition,
		]),
	);
	expect(complaints).toEqual([]);
}

describe("a group with 200,000 commits", () => {
	test("is read from one segment once its log is compacted", async () => {
		const dataDir = temporaryDirectory();
		await longLife(dataDir);

		const before = await restart(dataDir);
		checkOffsets(before.harness);
		expect(before.readBytes).toBeGreaterThan(10 * SEGMENT_BYTES);
		const { storage, catalogue } = before.harness;
		const { handle } = catalogue.get("__consumer_offsets")!;
		storage.startUpkeep(COMPACTING);
		await expect.poll(() => storage.logBytes(handle)[0]).toBeLessThan(1.25 * SEGMENT_BYTES);
		checkOffsets(before.harness);
		await before.harness.stop();

		const after = await restart(dataDir);
		checkOffsets(after.harness);
		expect(after.readBytes).toBeLessThan(1.25 * SEGMENT_BYTES);
		// It goes on from there.
		await after.harness.coordinator.commitOffsets(commitRequest(COMMITS, { groupId: "old" }));
	});

	test("is read while its log is compacted", async () => {
		const dataDir = temporaryDirectory();
		await longLife(dataDir);
		const harness = await start({ dataDir, options, unloaded: true });
		harness.storage.startUpkeep(COMPACTING);
		await harness.coordinator.load();
		checkOffsets(harness);
	});
});
