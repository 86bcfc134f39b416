/** Committed offsets through the coordinator, on real storage. */
import { describe, expect, test } from "vitest";

import { offsetRecord } from "../../src/groups/log/group-records.ts";
import type { CommitRequest, FetchedOffset } from "../../src/groups/requests.ts";
import { TICK_MS } from "../../src/groups/timers.ts";
import { CODES } from "../../src/protocol/codes.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { FakeClock } from "./fake-clock.ts";
import { codeOf, commitRequest, type Harness, joinRequest, protocol, start } from "./harness.ts";

const HOUR_MS = 3_600_000;

/** The offset that a group has committed for a partition; -1: none. */
function offsetOf(at: Harness, topic = "orders", partition = 0, groupId = "g"): number {
	return fetched(at, topic, partition, groupId).offset;
}

function fetched(at: Harness, topic = "orders", partition = 0, groupId = "g"): FetchedOffset {
	const topics = [{ topic, partitions: [partition] }];
	return at.coordinator.fetchOffsets({ groupId, topics })[0]!.partitions[0]!;
}

/** Commits one offset; answers the code of its partition. */
async function commit(at: Harness, change: Partial<CommitRequest> = {}): Promise<number> {
	const [topic] = await at.coordinator.commitOffsets(commitRequest(1, change));
	return topic!.partitions[0]!.code;
}

const at = (topic: string, partition = 0, metadata: string | null = null) => ({
	topics: [{ topic, partitions: [{ partition, offset: 5, leaderEpoch: 3, metadata }] }],
});

/** A member of a consumer group that is subscribed to these topics; stable. */
async function consume(harness: Harness, topics: readonly string[]) {
	const metadata = Buffer.alloc(1_000);
	let length = metadata.writeInt16BE(0);
	length = metadata.writeInt32BE(topics.length, length);
	for (const topic of topics) {
		length = metadata.writeInt16BE(topic.length, length);
		length += metadata.write(topic, length);
	}
	length = metadata.writeInt32BE(-1, length);
	const protocols = [{ name: "range", metadata: metadata.subarray(0, length) }];
	const joined = await harness.coordinator.join(
		joinRequest({ protocolType: "consumer", protocols }),
	);
	const identity = {
		groupId: "g",
		memberId: joined.memberId,
		groupInstanceId: null,
		generation: joined.generation,
	};
	await harness.coordinator.sync({
		...identity,
		protocolType: "consumer",
		protocolName: "range",
		assignments: [],
	});
	return identity;
}

describe("committing", () => {
	test("what was committed is fetched: offset, leader epoch, metadata", async () => {
		const harness = await start();
		await harness.catalogue.create({ name: "orders", partitions: 3 });
		expect(await commit(harness, at("orders", 2, "note"))).toBe(0);
		expect(fetched(harness, "orders", 2)).toEqual({
			partition: 2,
			code: 0,
			offset: 5,
			leaderEpoch: 3,
			metadata: "note",
		});
		const none = { code: 0, offset: -1, leaderEpoch: -1, metadata: "" };
		const topics = [
			{ topic: "orders", partitions: [1, 9] },
			{ topic: "unknown", partitions: [0] },
		];
		expect(harness.coordinator.fetchOffsets({ groupId: "g", topics })).toEqual([
			{
				topic: "orders",
				partitions: [
					{ partition: 1, ...none },
					{ partition: 9, ...none },
				],
			},
			{ topic: "unknown", partitions: [{ partition: 0, ...none }] },
		]);
		expect(harness.coordinator.fetchOffsets({ groupId: "other", topics: null })).toEqual([]);
	});

	test("partitions are refused one by one, as Kafka does", async () => {
		const harness = await start({ options: { offsetMetadataMaxBytes: 10 } });
		await harness.catalogue.create({ name: "orders" });
		expect(await commit(harness, at("unknown"))).toBe(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
		expect(await commit(harness, at("orders", 1))).toBe(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
		expect(await commit(harness, at("orders", -1))).toBe(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
		// Characters count, whatever the option's name says.
		expect(await commit(harness, at("orders", 0, "é".repeat(10)))).toBe(0);
		expect(await commit(harness, at("orders", 0, "x".repeat(11)))).toBe(
			CODES.OFFSET_METADATA_TOO_LARGE.code,
		);
		expect(fetched(harness).metadata).toBe("é".repeat(10));
	});

	test("a commit that nothing came of leaves no group behind", async () => {
		const harness = await start();
		expect(await commit(harness, at("unknown"))).toBe(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
		expect([...harness.coordinator.listGroups()]).toEqual([]);
	});

	test("a member's commit to a missing group is refused by what its client knows", async () => {
		const { coordinator } = await start();
		const request = { memberId: "m", generation: 1 };
		expect(await codeOf(coordinator.commitOffsets(commitRequest(1, request)))).toBe(
			"GROUP_ID_NOT_FOUND",
		);
		const older = { ...request, knowsGroupIdNotFound: false };
		expect(await codeOf(coordinator.commitOffsets(commitRequest(1, older)))).toBe(
			"ILLEGAL_GENERATION",
		);
	});

	test("the empty group id commits and is described, as old clients expect", async () => {
		const harness = await start();
		await harness.catalogue.create({ name: "orders" });
		expect(await commit(harness, { groupId: "" })).toBe(0);
		expect(harness.coordinator.describeClassicGroup("").state).toBe("Empty");
		const deletion = { groupId: "", topics: [] };
		expect(await codeOf(harness.coordinator.deleteOffsets(deletion))).toBe("INVALID_GROUP_ID");
		expect(await harness.coordinator.deleteGroups([""])).toEqual([{ groupId: "", code: 0 }]);
	});

	test("an offset is shown once it is durable, not before", async () => {
		const held: (() => void)[] = [];
		let holds = false;
		const holding = (storage: Storage) =>
			new Proxy(storage, {
				get(target, name) {
					if (name === "onToken") {
						return (token: number, done: (code: number) => void) =>
							target.onToken(token, (code) => {
								if (holds) held.push(() => done(code));
								else done(code);
							});
					}
					const value = Reflect.get(target, name, target) as unknown;
					return typeof value === "function" ? value.bind(target) : value;
				},
			});
		const harness = await start({ storage: holding });
		await harness.catalogue.create({ name: "orders" });
		await harness.coordinator.commitOffsets(commitRequest(1));
		holds = true;
		const second = harness.coordinator.commitOffsets(commitRequest(2));
		const third = harness.coordinator.commitOffsets(commitRequest(3));
		await expect.poll(() => held.length).toBe(2);
		expect(offsetOf(harness)).toBe(1);
		held[0]!();
		await second;
		expect(offsetOf(harness)).toBe(2);
		held[1]!();
		await third;
		expect(offsetOf(harness)).toBe(3);
	});

	test("many offsets in one request are all kept", async () => {
		const dataDir = temporaryDirectory();
		const harness = await start({ dataDir });
		await harness.catalogue.create({ name: "wide", partitions: 300 });
		const partitions = Array.from({ length: 300 }, (_, partition) => ({
			partition,
			offset: partition * 2,
			leaderEpoch: -1,
			metadata: "m".repeat(4_000),
		}));
		// More than one batch takes.
		const topics = [{ topic: "wide", partitions }];
		await harness.coordinator.commitOffsets(commitRequest(0, { topics }));
		await harness.stop();
		const again = await start({ dataDir });
		const [fetchedAll] = again.coordinator.fetchOffsets({ groupId: "g", topics: null });
		expect(fetchedAll!.partitions).toHaveLength(300);
		expect(offsetOf(again, "wide", 299)).toBe(598);
	});
});

describe("after a restart", () => {
	test("offsets and groups are there as they were", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		await first.catalogue.create({ name: "orders" });
		const identity = await consume(first, ["orders"]);
		const { memberId, generation } = identity;
		await first.coordinator.commitOffsets(commitRequest(42, { memberId, generation }));
		for (let group = 0; group < 20; group++) {
			await first.coordinator.commitOffsets(commitRequest(group, { groupId: `simple-${group}` }));
		}
		await first.coordinator.deleteGroups(["simple-3"]);
		const listed = [...first.coordinator.listGroups()];
		await first.stop();
		const again = await start({ dataDir });
		expect(offsetOf(again)).toBe(42);
		expect(offsetOf(again, "orders", 0, "simple-7")).toBe(7);
		expect(offsetOf(again, "orders", 0, "simple-3")).toBe(-1);
		const byId = (list: typeof listed) =>
			[...list].sort((left, right) => (left.groupId < right.groupId ? -1 : 1));
		expect(byId([...again.coordinator.listGroups()])).toEqual(byId(listed));
		again.coordinator.heartbeat(identity);
		await again.coordinator.commitOffsets(commitRequest(43, { memberId, generation }));
		expect(again.complaints).toEqual([]);
		again.clock.advance(10_000 + TICK_MS);
		expect(await codeOf(() => again.coordinator.heartbeat(identity))).toBe("UNKNOWN_MEMBER_ID");
	});

	test("until a group is read it is not answered for", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		await first.catalogue.create({ name: "orders" });
		await first.coordinator.commitOffsets(commitRequest(1));
		await first.stop();
		const again = await start({ dataDir, unloaded: true });
		const { coordinator } = again;
		const identity = { groupId: "g", memberId: "m", groupInstanceId: null, generation: 1 };
		const sync = { ...identity, protocolType: null, protocolName: null, assignments: [] };
		const calls: (() => unknown)[] = [
			() => coordinator.fetchOffsets({ groupId: "g", topics: null }),
			() => coordinator.commitOffsets(commitRequest(2)),
			() => coordinator.join(joinRequest()),
			() => coordinator.sync(sync),
			() => coordinator.heartbeat(identity),
			() => coordinator.leave({ groupId: "g", members: [] }),
			() => coordinator.deleteOffsets({ groupId: "g", topics: [] }),
			() => coordinator.describeClassicGroup("g"),
			() => coordinator.describeGroup("g"),
			() => [...coordinator.listGroups()],
		];
		for (const call of calls) expect(await codeOf(call)).toBe("COORDINATOR_LOAD_IN_PROGRESS");
		expect(await coordinator.deleteGroups(["g"])).toEqual([{ groupId: "g", code: 14 }]);
		await coordinator.load();
		expect(offsetOf(again)).toBe(1);
		coordinator.close();
		for (const call of calls) expect(await codeOf(call)).toBe("COORDINATOR_NOT_AVAILABLE");
	});

	test("offsets of a topic that was deleted meanwhile are gone, of its namesake too", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		for (const name of ["orders", "again", "kept"]) {
			await first.catalogue.create({ name });
			await first.coordinator.commitOffsets(commitRequest(9, at(name)));
		}
		// Deleted while no coordinator looks.
		first.coordinator.close();
		await first.catalogue.delete("orders");
		await first.catalogue.delete("again");
		await first.catalogue.create({ name: "again" });
		await first.stop();
		const again = await start({ dataDir });
		expect(offsetOf(again, "orders")).toBe(-1);
		expect(offsetOf(again, "again")).toBe(-1);
		expect(offsetOf(again, "kept")).toBe(5);
	});

	test("records of a newer version are left alone, and reported", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		await first.catalogue.create({ name: "orders" });
		await first.coordinator.commitOffsets(commitRequest(1));
		const newer = offsetRecord("g", "orders", 0, {
			offset: 99,
			leaderEpoch: -1,
			metadata: "",
			commitMs: 0,
			expireMs: -1,
			topicId: "00000000-0000-0000-0000-000000000000",
		});
		const value = Buffer.from(newer.value!);
		value.writeInt16BE(99);
		await first.appendRecords("g", [
			{ key: newer.key, value },
			{ key: Buffer.from([0, 99, 1]), value: Buffer.from("?") },
		]);
		await first.stop();
		const again = await start({ dataDir });
		expect(offsetOf(again)).toBe(1);
		expect(again.complaints.map(({ message }) => message)).toEqual([
			"records of groups that a newer version wrote",
		]);
	});

	test("a record that is not what it says it is stops its partition", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		await first.coordinator.prepare();
		await first.appendRecords("g", [{ key: Buffer.from([0, 1, 0, 9]), value: null }]);
		await first.stop();
		const again = await start({ dataDir });
		expect(await codeOf(() => offsetOf(again))).toBe("COORDINATOR_NOT_AVAILABLE");
		expect(again.complaints).toHaveLength(1);
		expect([...again.coordinator.listGroups()]).toEqual([]);
	});
});

describe("deleting", () => {
	test("offsets, but for those that members are subscribed to", async () => {
		const harness = await start();
		for (const name of ["read", "unread"]) await harness.catalogue.create({ name, partitions: 2 });
		await harness.coordinator.commitOffsets(commitRequest(0, at("read")));
		await harness.coordinator.commitOffsets(commitRequest(0, at("unread")));
		await consume(harness, ["read"]);
		const topics = [
			{ topic: "read", partitions: [0, 1] },
			{ topic: "unread", partitions: [0, 1, 2] },
			{ topic: "unknown", partitions: [0] },
		];
		const answer = await harness.coordinator.deleteOffsets({ groupId: "g", topics });
		expect(answer.map(({ partitions }) => partitions.map(({ code }) => code))).toEqual([
			[86, 86],
			[0, 0, 3],
			[3],
		]);
		expect([offsetOf(harness, "read"), offsetOf(harness, "unread")]).toEqual([5, -1]);
		expect(await codeOf(harness.coordinator.deleteOffsets({ groupId: "x", topics }))).toBe(
			"GROUP_ID_NOT_FOUND",
		);
	});

	test("no offsets of a group whose members are no Kafka consumers", async () => {
		const { coordinator } = await start();
		await coordinator.join(joinRequest());
		expect(await codeOf(coordinator.deleteOffsets({ groupId: "g", topics: [] }))).toBe(
			"NON_EMPTY_GROUP",
		);
	});

	test("whole groups, but for those with members", async () => {
		const harness = await start();
		const { coordinator } = harness;
		await harness.catalogue.create({ name: "orders" });
		await coordinator.commitOffsets(commitRequest(1));
		await coordinator.join(joinRequest({ groupId: "busy" }));
		expect(await coordinator.deleteGroups(["g", "busy", "g", "unknown"])).toEqual([
			{ groupId: "g", code: 0 },
			{ groupId: "busy", code: CODES.NON_EMPTY_GROUP.code },
			{ groupId: "g", code: CODES.GROUP_ID_NOT_FOUND.code },
			{ groupId: "unknown", code: CODES.GROUP_ID_NOT_FOUND.code },
		]);
		expect(offsetOf(harness)).toBe(-1);
		expect(await codeOf(() => coordinator.describeClassicGroup("g"))).toBe("GROUP_ID_NOT_FOUND");
		// The id is free again at once.
		await coordinator.commitOffsets(commitRequest(2));
		expect(offsetOf(harness)).toBe(2);
	});

	test("a topic takes its offsets with it", async () => {
		const harness = await start();
		for (const name of ["orders", "kept"]) await harness.catalogue.create({ name });
		await harness.coordinator.commitOffsets(commitRequest(0, at("orders")));
		await harness.coordinator.commitOffsets(commitRequest(0, at("kept")));
		await harness.catalogue.delete("orders");
		expect([offsetOf(harness, "orders"), offsetOf(harness, "kept")]).toEqual([-1, 5]);
	});
});

describe("expiring", () => {
	const options = { offsetsRetentionMinutes: 60, offsetsRetentionCheckIntervalMs: 60_000 };

	/** Lets time pass and looks for expired offsets; they are gone when that is on the disk. */
	async function pass(harness: Harness, ms: number): Promise<void> {
		for (let passed = 0; passed < ms; passed += 60_000) {
			harness.clock.advance(Math.min(60_000, ms - passed));
			await new Promise((resolve) => setImmediate(resolve));
			await new Promise((resolve) => setImmediate(resolve));
		}
	}

	test("an offset of nobody's goes after its hour, and its group with it", async () => {
		const harness = await start({ options });
		await harness.catalogue.create({ name: "orders", partitions: 2 });
		await commit(harness, at("orders", 0));
		await pass(harness, HOUR_MS / 2);
		await commit(harness, at("orders", 1));
		await pass(harness, HOUR_MS / 2 + 2 * 60_000);
		const offsets = () => [offsetOf(harness), offsetOf(harness, "orders", 1)];
		await expect.poll(offsets).toEqual([-1, 5]);
		await pass(harness, HOUR_MS / 2);
		const groups = () => [...harness.coordinator.listGroups()];
		await expect.poll(groups).toEqual([]);
		expect(harness.complaints).toEqual([]);
	});

	test("a time that the commit names counts instead", async () => {
		const dataDir = temporaryDirectory();
		const harness = await start({ options, dataDir });
		await harness.catalogue.create({ name: "orders", partitions: 2 });
		await commit(harness, { ...at("orders", 0), retentionMs: 5 * 60_000 });
		await commit(harness, { ...at("orders", 1), retentionMs: 5 * HOUR_MS });
		await harness.stop();
		const again = await start({ options, dataDir, clock: harness.clock });
		await pass(again, 10 * 60_000);
		const offsets = () => [offsetOf(again), offsetOf(again, "orders", 1)];
		await expect.poll(offsets).toEqual([-1, 5]);
		await pass(again, 4 * HOUR_MS);
		expect(offsetOf(again, "orders", 1)).toBe(5);
	});

	test("an empty group's offsets go an hour after its last member has", async () => {
		const harness = await start({ options });
		await harness.catalogue.create({ name: "orders" });
		const identity = await consume(harness, ["orders"]);
		const { memberId, generation } = identity;
		await harness.coordinator.commitOffsets(commitRequest(5, { memberId, generation }));
		// As long as somebody reads the topic, its offsets are kept.
		for (let round = 0; round < 1_000; round++) {
			await pass(harness, 9_000);
			harness.coordinator.heartbeat(identity);
		}
		expect(offsetOf(harness)).toBe(5);
		await harness.coordinator.leave({ groupId: "g", members: [{ ...identity, reason: null }] });
		await pass(harness, HOUR_MS - 60_000);
		expect(offsetOf(harness)).toBe(5);
		await pass(harness, 3 * 60_000);
		await expect.poll(() => offsetOf(harness)).toBe(-1);
	});

	test("offsets of topics that members gave up go, those that they read stay", async () => {
		const harness = await start({ options });
		for (const name of ["read", "given-up"]) await harness.catalogue.create({ name });
		for (const name of ["read", "given-up"]) await commit(harness, at(name));
		const identity = await consume(harness, ["read"]);
		for (let round = 0; round < 500; round++) {
			await pass(harness, 9_000);
			harness.coordinator.heartbeat(identity);
		}
		const offsets = () => [offsetOf(harness, "read"), offsetOf(harness, "given-up")];
		await expect.poll(offsets).toEqual([5, -1]);
	});
});

test("joins are refused by what is wrong with them", async () => {
	const { coordinator } = await start();
	const join = (change: Parameters<typeof joinRequest>[0]) =>
		codeOf(coordinator.join(joinRequest(change)));
	expect(await join({ groupId: "" })).toBe("INVALID_GROUP_ID");
	expect(await join({ sessionTimeoutMs: 5_999 })).toBe("INVALID_SESSION_TIMEOUT");
	expect(await join({ sessionTimeoutMs: 1_800_001 })).toBe("INVALID_SESSION_TIMEOUT");
	expect(await join({ memberId: "m" })).toBe("UNKNOWN_MEMBER_ID");
	const protocols = Array.from({ length: 65 }, (_, index) => protocol(`p${index}`));
	expect(await join({ protocols })).toBe("INVALID_REQUEST");
	expect(await join({ protocols: [] })).toBe("INCONSISTENT_GROUP_PROTOCOL");
	expect([...coordinator.listGroups()]).toEqual([]);
	const nobody = { groupId: "x", memberId: "m", groupInstanceId: null, reason: null };
	const [left] = await coordinator.leave({ groupId: "x", members: [nobody] });
	expect(left!.code).toBe(25);
});

test("lag is the records that are left, and how long the first of them waits", async () => {
	// Records carry the machine's time.
	const clock = new FakeClock(Date.now() + HOUR_MS);
	const harness = await start({ clock });
	await harness.catalogue.create({ name: "orders", partitions: 3 });
	await harness.produce("orders", 0, 10);
	const identity = await consume(harness, ["orders"]);
	const { memberId, generation } = identity;
	const commitOne = (partition: number, offset: number) =>
		harness.coordinator.commitOffsets(
			commitRequest(0, {
				memberId,
				generation,
				topics: [
					{ topic: "orders", partitions: [{ partition, offset, leaderEpoch: 1, metadata: "m" }] },
				],
			}),
		);
	await commitOne(0, 4);
	await commitOne(1, 0);
	const { partitions, members } = await harness.coordinator.describeGroup("g");
	expect(members).toMatchObject([{ memberId, clientId: "client", assignment: null }]);
	expect(partitions).toMatchObject([
		{
			topic: "orders",
			partition: 0,
			memberId: null,
			committed: { offset: 4, leaderEpoch: 1, metadata: "m" },
			lag: { logStart: 0, highWatermark: 10, records: 6 },
		},
		{ topic: "orders", partition: 1, lag: { records: 0, ms: 0 } },
	]);
	const waitMs = partitions[0]!.lag!.ms as number;
	expect(waitMs).toBeGreaterThan(HOUR_MS / 2);
	expect(waitMs).toBeLessThan(2 * HOUR_MS);
	expect(await codeOf(harness.coordinator.describeGroup("unknown"))).toBe("GROUP_ID_NOT_FOUND");
});
