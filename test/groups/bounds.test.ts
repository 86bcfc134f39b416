/** What clients may make a broker remember is bounded. */
import { expect, test } from "vitest";

import { StateBudget } from "../../src/groups/offsets/committed-offsets.ts";
import { LIMITS } from "../../src/limits.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { GroupDriver } from "./group-host.ts";
import { codeOf, commitRequest, joinRequest, start } from "./harness.ts";

test("groups of a broker", async () => {
	const { coordinator, catalogue, complaints, clock } = await start();
	await catalogue.create({ name: "orders" });
	// Ids that nobody comes back with: what costs a client least.
	const join = (groupId: string) =>
		coordinator.join(joinRequest({ groupId, requiresKnownMemberId: true }));
	for (let group = 0; group < LIMITS.groupsMax; group++) {
		void join(`g${group}`).catch(() => undefined);
	}
	expect(await codeOf(join("g7"))).toBe("MEMBER_ID_REQUIRED");
	expect(await codeOf(join("one-more"))).toBe("GROUP_MAX_SIZE_REACHED");
	const [committed] = await coordinator.commitOffsets(commitRequest(1, { groupId: "one-more" }));
	expect(committed!.partitions[0]!.code).toBe(CODES.INVALID_COMMIT_OFFSET_SIZE.code);
	expect(complaints).toHaveLength(2);
	// They are forgotten with their sessions.
	clock.advance(11_000);
	expect([...coordinator.listGroups()]).toEqual([]);
	expect(await codeOf(join("one-more"))).toBe("MEMBER_ID_REQUIRED");
});

test("ids that are handed out in one group", () => {
	const driver = new GroupDriver();
	for (let id = 0; id < LIMITS.groupJoinsPendingMax; id++) {
		expect(driver.join({ requiresKnownMemberId: true }).code).toBe("MEMBER_ID_REQUIRED");
	}
	expect(driver.join({ requiresKnownMemberId: true }).code).toBe("GROUP_MAX_SIZE_REACHED");
});

test("memory of all groups together", () => {
	const driver = new GroupDriver();
	const budget = new StateBudget(10_000);
	Object.assign(driver.host, { budget });
	let joined = 0;
	while (driver.join({ requiresKnownMemberId: true }).code === "MEMBER_ID_REQUIRED") joined++;
	expect(joined).toBeGreaterThan(10);
	expect(budget.bytes).toBeLessThanOrEqual(10_000);
});

test("names, as records and answers keep them whole", async () => {
	const { coordinator } = await start();
	const name = "x".repeat(LIMITS.groupNameBytesMax);
	const longer = `${name}x`;
	const join = (change: Parameters<typeof joinRequest>[0]) =>
		codeOf(coordinator.join(joinRequest(change)));
	const protocols = [{ name: longer, metadata: new Uint8Array() }];
	expect(await join({ groupId: longer })).toBe("INVALID_GROUP_ID");
	for (const change of [{ clientId: longer }, { groupInstanceId: longer }, { protocols }]) {
		expect(await join(change)).toBe("INVALID_REQUEST");
	}
	expect(await codeOf(coordinator.commitOffsets(commitRequest(1, { groupId: longer })))).toBe(
		"INVALID_GROUP_ID",
	);
	// What is just short enough makes a group that can be stored.
	const { memberId } = await coordinator.join(joinRequest({ groupId: name, clientId: name }));
	const synced = await coordinator.sync({
		groupId: name,
		memberId,
		groupInstanceId: null,
		generation: 1,
		protocolType: null,
		protocolName: null,
		assignments: [{ memberId, assignment: Buffer.from("all") }],
	});
	expect(synced.assignment).toHaveLength(3);
});

test("assignments of one group", () => {
	const driver = new GroupDriver();
	const { memberId } = driver.join().value;
	const assignments = { [memberId]: "x".repeat(LIMITS.groupBytesMax) };
	expect(driver.sync(memberId, 1, assignments).code).toBe("UNKNOWN_SERVER_ERROR");
	expect(driver.host.appends).toEqual([]);
	expect(driver.state).toBe("PreparingRebalance");
});
