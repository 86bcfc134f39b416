/** Groups by id, page by page. */
import { expect, test } from "vitest";

import { codeOf, commitRequest, start } from "./harness.ts";

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
