import { expect, test } from "vitest";

import { codeOf, commitRequest, joinRequest, start, temporaryDataDir } from "./harness.ts";

test("a committed offset is there after a restart", async () => {
	const dataDir = await temporaryDataDir();
	const first = await start({ dataDir });
	const { topic } = await first.catalogue.create({ name: "orders", partitions: 2 });
	expect(topic.partitions).toBe(2);
	const answer = await first.coordinator.commitOffsets(commitRequest(42, { metadata: "note" }));
	expect(answer).toEqual([{ topic: "orders", partitions: [{ partition: 0, code: 0 }] }]);
	await first.stop();
	const { coordinator, complaints } = await start({ dataDir });
	expect(coordinator.fetchOffsets({ groupId: "g", topics: null })).toEqual([
		{
			topic: "orders",
			partitions: [{ partition: 0, code: 0, offset: 42, leaderEpoch: -1, metadata: "note" }],
		},
	]);
	expect(complaints).toEqual([]);
});

test("a whole round: join, sync, commit, leave", async () => {
	const { coordinator, catalogue } = await start();
	await catalogue.create({ name: "orders" });
	const joined = await coordinator.join(joinRequest());
	expect(joined).toMatchObject({
		generation: 1,
		leader: joined.memberId,
		protocolName: "roundrobin",
	});
	const identity = {
		groupId: "g",
		memberId: joined.memberId,
		groupInstanceId: null,
		generation: 1,
	};
	const synced = await coordinator.sync({
		...identity,
		protocolType: "test",
		protocolName: "roundrobin",
		assignments: [{ memberId: joined.memberId, assignment: Buffer.from("all") }],
	});
	expect(Buffer.from(synced.assignment).toString()).toBe("all");
	coordinator.heartbeat(identity);
	const { memberId, generation } = identity;
	await coordinator.commitOffsets(commitRequest(7, { memberId, generation }));
	expect(await codeOf(coordinator.commitOffsets(commitRequest(8)))).toBe("UNKNOWN_MEMBER_ID");
	expect(coordinator.leave({ groupId: "g", members: [{ ...identity, reason: null }] })).toEqual([
		{ memberId, groupInstanceId: null, code: 0 },
	]);
	expect(coordinator.listGroups({ states: [], types: [] })).toEqual([
		{ groupId: "g", type: "classic", state: "Empty", protocolType: "test" },
	]);
	expect(await coordinator.deleteGroups(["g", "other"])).toEqual([
		{ groupId: "g", code: 0 },
		{ groupId: "other", code: 69 },
	]);
});
