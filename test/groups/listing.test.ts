/** Groups by id, page by page, and all of them by and by. */
import { expect, test } from "vitest";

import { ordersRequest } from "./consumer-requests.ts";
import { codeOf, commitRequest, joinRequest, start } from "./harness.ts";

test("pages go on where the last one ended, whatever comes and goes in between", async () => {
	const { coordinator, catalogue } = await start();
	await catalogue.create({ name: "orders" });
	const add = (groupId: string) => coordinator.commitOffsets(commitRequest(1, { groupId }));
	const page = (after: string, limit: number) => {
		const { groups, more } = coordinator.listGroupsAfter(after, limit, () => true);
		return [...groups.map(({ groupId }) => groupId), more];
	};
	expect(page("", 10)).toEqual([false]);
	for (const groupId of ["d", "b", "a", "c"]) await add(groupId);
	expect(page("", 2)).toEqual(["a", "b", true]);
	expect(page("b", 2)).toEqual(["c", "d", false]);
	await coordinator.deleteGroups(["c"]);
	await add("bb");
	expect(page("b", 2)).toEqual(["bb", "d", false]);
	expect(page("", 4)).toEqual(["a", "b", "bb", "d", false]);
	expect(page("zz", 4)).toEqual([false]);
	coordinator.close();
	expect(await codeOf(() => coordinator.listGroupsAfter("", 1, () => true))).toBe(
		"COORDINATOR_NOT_AVAILABLE",
	);
});

test("groups listed by and by are told once, as they are when they are come to", async () => {
	const { coordinator, catalogue } = await start();
	await catalogue.create({ name: "orders" });
	for (const groupId of ["a", "b", "c", "d"]) {
		await coordinator.commitOffsets(commitRequest(1, { groupId }));
	}
	const listing = coordinator.listGroups();
	expect(listing.next().value).toMatchObject({ groupId: "a", state: "Empty" });
	// One goes and comes again, one goes, one gets a member, one becomes another type.
	await coordinator.deleteGroups(["a", "b"]);
	await coordinator.commitOffsets(commitRequest(2, { groupId: "a" }));
	await coordinator.join(joinRequest({ groupId: "c" }));
	await coordinator.consumerHeartbeat({ ...ordersRequest("m", 0), groupId: "d" });
	expect([...listing].map(({ groupId, type, state }) => [groupId, type, state])).toEqual([
		["c", "classic", "CompletingRebalance"],
		["d", "consumer", "Stable"],
	]);
	const last = coordinator.listGroups();
	last.next();
	coordinator.close();
	expect(await codeOf(() => last.next())).toBe("COORDINATOR_NOT_AVAILABLE");
});
