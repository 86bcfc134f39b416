/** The offsets topic is kept short, and whatever interrupts that, nothing is lost. */
import { describe, expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import type { GroupCoordinatorOptions } from "../../src/groups/coordinator.ts";
import type { Storage, TopicHandle } from "../../src/storage/storage.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { text } from "./group-host.ts";
import { commitRequest, type Harness, joinRequest, start } from "./harness.ts";

const options = { offsetsTopicNumPartitions: 1 };
const PARTITIONS = 100;

/** Storage whose deletions of records a test sees, and may let fail. */
function deleting(
	seen: number[],
	fails = false,
): (storage: Storage) => GroupCoordinatorOptions["storage"] {
	return (storage) =>
		new Proxy(storage, {
			get(target, name) {
				if (name === "deleteRecords") {
					return async (topic: TopicHandle, partition: number, offset: number) => {
						if (fails) {
							seen.push(offset);
							throw new MillraceError("KAFKA_STORAGE_ERROR", "killed here");
						}
						const logStart = await target.deleteRecords(topic, partition, offset);
						seen.push(logStart);
						return logStart;
					};
				}
				const value = Reflect.get(target, name, target) as unknown;
				return typeof value === "function" ? value.bind(target) : value;
			},
		});
}

/** Commits an offset to every partition, with so much metadata that a few rounds fill a log. */
function commitRound(at: Harness, round: number, groupId = "g"): Promise<unknown> {
	const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({
		partition,
		offset: round,
		leaderEpoch: -1,
		metadata: "m".repeat(4_000),
	}));
	const topics = [{ topic: "orders", partitions }];
	return at.coordinator.commitOffsets(commitRequest(0, { groupId, topics }));
}

/** Everything that the coordinator knows, to be compared. */
function knowledge({ coordinator }: Harness): string[] {
	return [...coordinator.listGroups()]
		.flatMap(({ groupId, state, protocolType }) => [
			`${groupId} ${state} ${protocolType}`,
			...coordinator
				.describeClassicGroup(groupId)
				.members.map(({ memberId, assignment }) => `${groupId} ${memberId} ${text(assignment)}`),
			...coordinator
				.fetchOffsets({ groupId, topics: null })
				.flatMap(({ topic, partitions }) =>
					partitions.map(
						({ partition, offset, metadata }) =>
							`${groupId} ${topic}/${partition} at ${offset}, ${metadata.length} characters`,
					),
				),
		])
		.sort();
}

async function prepared(
	dataDir: string,
	storage: (storage: Storage) => GroupCoordinatorOptions["storage"],
): Promise<Harness> {
	const harness = await start({ dataDir, options, storage });
	await harness.catalogue.create({ name: "orders", partitions: PARTITIONS });
	const joined = await harness.coordinator.join(joinRequest({ groupId: "members" }));
	const { memberId, generation } = joined;
	await harness.coordinator.sync({
		groupId: "members",
		memberId,
		generation,
		groupInstanceId: null,
		protocolType: null,
		protocolName: null,
		assignments: [{ memberId, assignment: Buffer.from("all") }],
	});
	for (let group = 0; group < 30; group++) {
		await harness.coordinator.commitOffsets(commitRequest(group, { groupId: `small-${group}` }));
	}
	return harness;
}

/** Where the one partition of the offsets topic begins. */
function logStart({ catalogue, storage }: Harness): number {
	return storage.offsets(catalogue.get("__consumer_offsets")!.handle, 0).logStart;
}

describe("rolling up", () => {
	test("a log that has grown is written once more and deleted before that", async () => {
		const dataDir = temporaryDirectory();
		const deletions: number[] = [];
		const first = await prepared(dataDir, deleting(deletions));
		for (let round = 0; round < 12; round++) await commitRound(first, round);
		await expect.poll(() => deletions.length).toBe(1);
		const before = knowledge(first);
		expect(before).toHaveLength(32 + 1 + 30 + PARTITIONS);
		expect(deletions[0]).toBeGreaterThan(PARTITIONS * 9);
		await first.stop();
		const again = await start({ dataDir, options });
		expect(logStart(again)).toBe(deletions[0]);
		expect(knowledge(again)).toEqual(before);
		expect(again.complaints).toEqual([]);
	});

	test("on a small disk a log is rolled up sooner", async () => {
		const deletions: number[] = [];
		const seen = deleting(deletions);
		const harness = await start({
			options,
			storage: (storage) =>
				new Proxy(seen(storage), {
					get(target, name) {
						if (name !== "spaceWatermarks") return Reflect.get(target, name) as unknown;
						return () => ({ ...storage.spaceWatermarks(), refuseBelow: 2 * 1_048_576 });
					},
				}),
		});
		await harness.catalogue.create({ name: "orders", partitions: PARTITIONS });
		for (let round = 0; round < 6; round++) await commitRound(harness, round);
		await expect.poll(() => deletions.length).toBe(1);
		expect(harness.complaints).toEqual([]);
	});

	test("what happens meanwhile counts, before and behind what is written", async () => {
		const dataDir = temporaryDirectory();
		const deletions: number[] = [];
		const first = await prepared(dataDir, deleting(deletions));
		const all: Promise<unknown>[] = [];
		for (let round = 0; round < 40; round++) {
			all.push(commitRound(first, round, `g${round % 3}`));
			all.push(first.coordinator.deleteGroups([`small-${round}`, round % 7 === 0 ? "g1" : "none"]));
			const topics = [{ topic: "orders", partitions: [round] }];
			const groupId = `g${(round + 1) % 3}`;
			all.push(first.coordinator.deleteOffsets({ groupId, topics }).catch(() => undefined));
			await new Promise((resolve) => setImmediate(resolve));
		}
		await Promise.all(all);
		await expect.poll(() => deletions.length).toBeGreaterThanOrEqual(1);
		const before = knowledge(first);
		await first.stop();
		const again = await start({ dataDir, options });
		expect(logStart(again)).toBeGreaterThan(0);
		expect(knowledge(again)).toEqual(before);
	});

	test("when nothing could be deleted, the whole log still says the same", async () => {
		const dataDir = temporaryDirectory();
		const attempts: number[] = [];
		const first = await prepared(dataDir, deleting(attempts, true));
		for (let round = 0; round < 12; round++) await commitRound(first, round);
		await expect.poll(() => attempts.length).toBe(1);
		expect(first.complaints.map(({ message }) => message)).toEqual([
			"groups could not be rolled up",
		]);
		const before = knowledge(first);
		await first.stop();
		const again = await start({ dataDir, options });
		expect(knowledge(again)).toEqual(before);
		// What the first one left is found to be too long, and done now.
		await expect.poll(() => logStart(again)).toBeGreaterThan(0);
		expect(knowledge(again)).toEqual(before);
	});

	test("a log of which nothing is left is emptied", async () => {
		const harness = await start({ options });
		await harness.catalogue.create({ name: "orders", partitions: PARTITIONS });
		// Deleted as often as committed: tombstones are all there is in the end.
		for (let round = 0; round < 14; round++) {
			await commitRound(harness, round);
			await harness.coordinator.deleteGroups(["g"]);
		}
		await expect.poll(() => logStart(harness)).toBeGreaterThan(PARTITIONS);
		expect(harness.complaints).toEqual([]);
	});

	test("a log that is as long as it needs to be is left alone", async () => {
		const harness = await start({ options });
		await harness.catalogue.create({ name: "orders", partitions: PARTITIONS });
		// Twice what there is to keep.
		for (let round = 0; round < 2; round++) {
			for (let group = 0; group < 20; group++) await commitRound(harness, round, `g${group}`);
		}
		expect(logStart(harness)).toBe(0);
	});
});
