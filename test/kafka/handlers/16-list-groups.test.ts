/** Groups are listed over Kafka by state and type. */
import { beforeAll, expect, test } from "vitest";
import type { Fields } from "../client-codec.ts";
import { newTopic, useBroker } from "../use-broker.ts";

const used = useBroker({ options: { "group.initial.rebalance.delay.ms": "0" } });

beforeAll(async () => {
	await used.ask("CreateTopics", 7, { topics: [newTopic("orders")], timeoutMs: 60_000 });
	await used.ask("OffsetCommit", 8, {
		groupId: "idle",
		generationIdOrMemberEpoch: -1,
		memberId: "",
		topics: [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 1 }] }],
	});
	// In the oldest version a member is taken at once.
	await used.ask("JoinGroup", 0, {
		groupId: "busy",
		sessionTimeoutMs: 600_000,
		memberId: "",
		protocolType: "test",
		protocols: [{ name: "roundrobin", metadata: Buffer.from("all") }],
	});
});

async function listed(version: number, filters: Fields = {}): Promise<unknown[]> {
	const { errorCode, groups } = await used.ask("ListGroups", version, filters);
	expect(errorCode).toBe(0);
	return (groups as Fields[]).map(({ groupId }) => groupId).sort();
}

test.each([0, 3, 5])("all of them (version %i)", async (version) => {
	expect(await listed(version)).toEqual(["busy", "idle"]);
});

test("by state and type, in any letter case", async () => {
	const inState = (...statesFilter: string[]) => listed(5, { statesFilter });
	expect(await inState("EMPTY")).toEqual(["idle"]);
	expect(await inState("completingrebalance", "dead")).toEqual(["busy"]);
	expect(await inState("nonsense")).toEqual([]);
	expect(await listed(5, { typesFilter: ["Classic"] })).toEqual(["busy", "idle"]);
	expect(await listed(5, { typesFilter: ["consumer"] })).toEqual([]);
	const both = { statesFilter: ["empty"], typesFilter: ["classic"] };
	expect(await listed(5, both)).toEqual(["idle"]);
});
