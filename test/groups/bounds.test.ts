/** What clients may make a broker remember is bounded. */
import { expect, test } from "vitest";

import { StateBudget } from "../../src/groups/committed-offsets.ts";
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
	expect(coordinator.listGroups({ states: [], types: [] })).toEqual([]);
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

test("assignments of one group", () => {
	const driver = new GroupDriver();
	const { memberId } = driver.join().value;
	const assignments = { [memberId]: "x".repeat(LIMITS.groupBytesMax) };
	expect(driver.sync(memberId, 1, assignments).code).toBe("UNKNOWN_SERVER_ERROR");
	expect(driver.host.appends).toEqual([]);
	expect(driver.state).toBe("PreparingRebalance");
});
