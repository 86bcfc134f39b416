/** The offsets topic is kept short, and whatever interrupts that, nothing is lost. */
import { describe, expect, test } from "vitest";

import type { GroupCoordinatorOptions } from "../../src/groups/coordinator.ts";
import type { Storage, TopicHandle } from "../../src/storage/storage.ts";
import { text } from "./group-host.ts";
import { commitRequest, type Harness, joinRequest, start, temporaryDataDir } from "./harness.ts";

type DeleteRecords = (
	topic: TopicHandle,
	partition: number,
	offset: number,
	storage: Storage,
) => Promise<unknown>;

const options = { offsetsTopicNumPartitions: 1 };
const PARTITIONS = 100;

/** Storage whose records are deleted by the test. */
function deleting(
	deleteRecords: DeleteRecords,
): (storage: Storage) => GroupCoordinatorOptions["storage"] {
	return (storage) =>
		new Proxy(storage, {
			get(target, name) {
				if (name === "deleteRecords") {
					return (topic: TopicHandle, partition: number, offset: number) =>
						deleteRecords(topic, partition, offset, target);
				}
				const value = Reflect.get(target, name, target) as unknown;
				return typeof value === "function" ? value.bind(target) : value;
			},
		});
}

/** Storage of which everything before an offset is gone. */
function startingAt(logStart: number): (storage: Storage) => GroupCoordinatorOptions["storage"] {
	return (storage) =>
		new Proxy(storage, {
			get(target, name) {
				if (name === "offsets") {
					return (topic: TopicHandle, partition: number) => ({
						...target.offsets(topic, partition),
						logStart,
					});
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
	return coordinator
		.listGroups({ states: [], types: [] })
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

describe("rolling up", () => {
	test("a log that has grown is written once more and deleted before that", async () => {
		const dataDir = await temporaryDataDir();
		const deletions: number[] = [];
		const first = await prepared(
			dataDir,
			deleting(async (_topic, _partition, offset) => deletions.push(offset)),
		);
		for (let round = 0; round < 12; round++) await commitRound(first, round);
		await expect.poll(() => deletions.length).toBe(1);
		const before = knowledge(first);
		expect(before).toHaveLength(32 + 1 + 30 + PARTITIONS);
		expect(deletions[0]).toBeGreaterThan(PARTITIONS * 9);
		await first.stop();
		const again = await start({ dataDir, options, storage: startingAt(deletions[0]!) });
		expect(knowledge(again)).toEqual(before);
		expect(again.complaints).toEqual([]);
	});

	test("what happens meanwhile counts, before and behind what is written", async () => {
		const dataDir = await temporaryDataDir();
		const deletions: number[] = [];
		const first = await prepared(
			dataDir,
			deleting(async (_topic, _partition, offset) => deletions.push(offset)),
		);
		const all: Promise<unknown>[] = [];
		for (let round = 0; round < 40; round++) {
			all.push(commitRound(first, round, `g${round % 3}`));
			all.push(first.coordinator.deleteGroups([`small-${round}`, round % 7 === 0 ? "g1" : "none"]));
			all.push(
				first.coordinator
					.deleteOffsets({
						groupId: `g${(round + 1) % 3}`,
						topics: [{ topic: "orders", partitions: [round] }],
					})
					.catch(() => undefined),
			);
			await new Promise((resolve) => setImmediate(resolve));
		}
		await Promise.all(all);
		await expect.poll(() => deletions.length).toBeGreaterThanOrEqual(1);
		const before = knowledge(first);
		await first.stop();
		for (const offset of deletions) {
			const again = await start({ dataDir, options, storage: startingAt(offset) });
			expect(knowledge(again)).toEqual(before);
			await again.stop();
		}
	});

	test("when nothing could be deleted, the whole log still says the same", async () => {
		const dataDir = await temporaryDataDir();
		let attempts = 0;
		const first = await prepared(
			dataDir,
			deleting(() => {
				attempts++;
				return Promise.reject(new Error("killed here"));
			}),
		);
		for (let round = 0; round < 12; round++) await commitRound(first, round);
		await expect.poll(() => attempts).toBe(1);
		const before = knowledge(first);
		await first.stop();
		const again = await start({ dataDir, options });
		expect(knowledge(again)).toEqual(before);
	});

	test("a log that is as long as it needs to be is left alone", async () => {
		const deletions: number[] = [];
		const harness = await start({
			options,
			storage: deleting(async (_topic, _partition, offset) => deletions.push(offset)),
		});
		await harness.catalogue.create({ name: "orders", partitions: PARTITIONS });
		// Twice what there is to keep.
		for (let round = 0; round < 2; round++) {
			for (let group = 0; group < 20; group++) await commitRound(harness, round, `g${group}`);
		}
		expect(deletions).toEqual([]);
	});
});
