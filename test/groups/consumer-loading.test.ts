/** Consumer groups over real storage: what the offsets topic keeps of them, and who may join. */
import { describe, expect, test } from "vitest";

import type { ConsumerHeartbeatRequest } from "../../src/groups/consumer/consumer-requests.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { ordersRequest } from "./consumer-requests.ts";
import { codeOf, commitRequest, type Harness, joinRequest, start } from "./harness.ts";

const heartbeat = (
	{ coordinator }: Harness,
	memberId: string,
	memberEpoch: number,
	change: Partial<ConsumerHeartbeatRequest> = {},
) => coordinator.consumerHeartbeat({ ...ordersRequest(memberId, memberEpoch), ...change });

/** A member with all four partitions, and another that waits for its share. */
async function twoMembers(harness: Harness): Promise<string> {
	const { topic } = await harness.catalogue.create({ name: "orders", partitions: 4 });
	await heartbeat(harness, "a", 0);
	await heartbeat(harness, "b", 0, { instanceId: "one", topicPattern: "ord.*" });
	await heartbeat(harness, "a", 2);
	return topic.topicId;
}

describe("a group that is loaded", () => {
	test("is the one that was left, and its members have a session from then on", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		const topicId = await twoMembers(first);
		const described = first.coordinator.describeConsumerGroup("g");
		expect(described.state).toBe("Reconciling");
		await first.stop();

		const second = await start({ dataDir });
		expect(second.coordinator.describeConsumerGroup("g")).toEqual(described);
		second.clock.advance(44_000);
		const owned = [{ topicId, partitions: [0, 1] }];
		expect(await heartbeat(second, "a", 2, { owned })).toMatchObject({ memberEpoch: 3 });
		expect(await heartbeat(second, "b", 3)).toMatchObject({
			assignment: [{ topicId, partitions: [2, 3] }],
		});
		second.clock.advance(46_000);
		expect(await codeOf(heartbeat(second, "a", 3))).toBe("UNKNOWN_MEMBER_ID");
	});

	test("knows since when its members have their partitions", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		const topicId = await twoMembers(first);
		await heartbeat(first, "a", 2, { owned: [{ topicId, partitions: [0, 1] }] });
		await first.stop();

		const second = await start({ dataDir });
		const commit = (partition: number, generation: number) => {
			const offsets = { partition, offset: 0, leaderEpoch: -1, metadata: null };
			const topics = [{ topic: "orders", partitions: [offsets] }];
			const request = commitRequest(0, { memberId: "a", generation, topics });
			return codeOf(second.coordinator.commitOffsets(request));
		};
		expect(await commit(1, 2)).toBe("NONE");
		expect(await commit(1, 1)).toBe("STALE_MEMBER_EPOCH");
		expect(await commit(2, 2)).toBe("STALE_MEMBER_EPOCH");
	});

	test("has a member out that does not give up what it was told to before", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		await twoMembers(first);
		await first.stop();
		const options = { groupConsumerSessionTimeoutMs: 600_000 };
		const second = await start({ dataDir, options });
		second.clock.advance(61_000);
		expect(await codeOf(heartbeat(second, "a", 2))).toBe("UNKNOWN_MEMBER_ID");
		await heartbeat(second, "b", 3);
	});

	test("sees topics that changed while nobody looked", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		const { topic } = await first.catalogue.create({ name: "orders", partitions: 1 });
		await heartbeat(first, "a", 0);
		await first.stop();
		const second = await start({ dataDir, unloaded: true });
		await second.catalogue.alter("orders", { partitions: 3 });
		expect(await codeOf(heartbeat(second, "a", 2))).toBe("COORDINATOR_LOAD_IN_PROGRESS");
		await second.coordinator.load();
		expect(await heartbeat(second, "a", 2)).toMatchObject({
			memberEpoch: 3,
			assignment: [{ topicId: topic.topicId, partitions: [0, 1, 2] }],
		});
	});

	test("is gone when it was deleted, and nothing of it is left over", async () => {
		const dataDir = temporaryDirectory();
		const first = await start({ dataDir });
		await twoMembers(first);
		await heartbeat(first, "a", -1);
		expect(await first.coordinator.deleteGroups(["g"])).toEqual([{ groupId: "g", code: 68 }]);
		await heartbeat(first, "b", -1, { instanceId: "one" });
		expect(first.coordinator.describeConsumerGroup("g")).toMatchObject({ state: "Empty" });
		expect(await first.coordinator.deleteGroups(["g"])).toEqual([{ groupId: "g", code: 0 }]);
		await first.stop();
		const second = await start({ dataDir });
		expect([...second.coordinator.listGroups()]).toEqual([]);
		expect(await heartbeat(second, "c", 0)).toMatchObject({ memberEpoch: 2 });
	});
});

describe("groups of the other type", () => {
	test("a classic group without members becomes a consumer group, its offsets kept", async () => {
		const harness = await start();
		await harness.catalogue.create({ name: "orders" });
		await harness.coordinator.commitOffsets(commitRequest(7));
		await heartbeat(harness, "a", 0);
		const [summary] = harness.coordinator.listGroups();
		expect(summary).toEqual({
			groupId: "g",
			type: "consumer",
			state: "Stable",
			protocolType: "consumer",
			memberCount: 1,
		});
		const [fetched] = harness.coordinator.fetchOffsets({ groupId: "g", topics: null });
		expect(fetched!.partitions[0]).toMatchObject({ offset: 7 });
		expect(await codeOf(() => harness.coordinator.describeClassicGroup("g"))).toBe(
			"GROUP_ID_NOT_FOUND",
		);
	});

	test("heartbeats to a group that does not exist", async () => {
		const harness = await start();
		expect(await codeOf(heartbeat(harness, "a", 3))).toBe("GROUP_ID_NOT_FOUND");
		expect(await codeOf(heartbeat(harness, "a", -1))).toBe("GROUP_ID_NOT_FOUND");
	});

	test("members of a classic group that are no Kafka consumers keep it to themselves", async () => {
		const harness = await start();
		await harness.coordinator.join(joinRequest());
		expect(await codeOf(heartbeat(harness, "a", 0))).toBe("GROUP_ID_NOT_FOUND");
	});
});

describe("heartbeats that cannot be meant so", () => {
	test.each<[string, number, Partial<ConsumerHeartbeatRequest>]>([
		["INVALID_REQUEST", 0, { memberId: " " }],
		["INVALID_REQUEST", 0, { groupId: "" }],
		["INVALID_REQUEST", 0, { instanceId: "" }],
		["INVALID_REQUEST", 0, { rackId: "" }],
		["INVALID_REQUEST", 0, { rebalanceTimeoutMs: -1 }],
		["INVALID_REQUEST", 0, { owned: null }],
		["INVALID_REQUEST", 0, { owned: [{ topicId: "t", partitions: [0] }] }],
		["INVALID_REQUEST", 0, { topicNames: null }],
		["INVALID_REQUEST", 5, { memberId: "", requiresMemberId: false }],
		["INVALID_REQUEST", -2, {}],
		["INVALID_REQUEST", -3, {}],
		["UNSUPPORTED_ASSIGNOR", 0, { serverAssignor: "sticky" }],
	])("%s: epoch %i, %j", async (code, memberEpoch, change) => {
		const harness = await start();
		expect(await codeOf(heartbeat(harness, "a", memberEpoch, change))).toBe(code);
		expect([...harness.coordinator.listGroups()]).toEqual([]);
	});
});
