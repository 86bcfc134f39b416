import { describe, expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import { ClassicGroup } from "../../src/groups/classic/classic-group.ts";
import { decodeGroup } from "../../src/groups/log/group-records.ts";
import { TICK_MS } from "../../src/groups/timers.ts";
import { GroupDriver, text } from "./group-host.ts";
import { protocol } from "./harness.ts";

describe("joining", () => {
	test("who joins first leads, and is told of everybody", () => {
		const driver = new GroupDriver();
		const first = driver.join({ protocols: [protocol("p", "one")] });
		expect(first.value).toMatchObject({
			generation: 1,
			protocolType: "test",
			protocolName: "p",
			leader: first.value.memberId,
			skipAssignment: false,
		});
		expect(first.value.memberId).toMatch(/^client-[0-9a-f-]{36}$/);
		expect(first.value.members.map(({ metadata }) => text(metadata))).toEqual(["one"]);
		const second = driver.join({ protocols: [protocol("p", "two")] });
		expect(second.code).toBe("WAITING");
		expect(driver.heartbeat(first.value.memberId, 1)).toBe("REBALANCE_IN_PROGRESS");
		const { memberId } = first.value;
		const again = driver.join({ memberId, protocols: [protocol("p", "one")] });
		expect(again.value).toMatchObject({ generation: 2, leader: memberId });
		expect(again.value.members.map(({ metadata }) => text(metadata))).toEqual(["one", "two"]);
		expect(second.value).toMatchObject({ generation: 2, leader: memberId, members: [] });
	});

	test("a new member is asked to come back with its id, and holds nobody up for ever", () => {
		const driver = new GroupDriver();
		const refused = driver.join({ requiresKnownMemberId: true });
		expect(refused.code).toBe("MEMBER_ID_REQUIRED");
		const memberId = refused.memberId as string;
		expect(driver.state).toBe("Empty");
		expect(driver.group.isVoid).toBe(false);
		expect(driver.join({ memberId, requiresKnownMemberId: true }).value).toMatchObject({
			memberId,
			generation: 1,
		});
		// A second id is handed out: the rebalance waits for it until its session is over.
		const other = driver.join({ requiresKnownMemberId: true });
		const again = driver.join({ memberId, protocols: [protocol("roundrobin", "new")] });
		expect(again.code).toBe("WAITING");
		driver.host.clock.advance(10_000 + TICK_MS);
		expect(again.value.generation).toBe(2);
		expect(driver.join({ memberId: other.memberId as string }).code).toBe("UNKNOWN_MEMBER_ID");
	});

	test("an id that nobody comes back with leaves nothing behind", () => {
		const driver = new GroupDriver();
		driver.join({ requiresKnownMemberId: true });
		driver.host.clock.advance(10_000 + TICK_MS);
		expect(driver.host.shrunkCount).toBe(1);
		expect(driver.group.isVoid).toBe(true);
		expect(driver.host.budget.bytes).toBe(0);
	});

	test("members that join an empty group at about the same time get one generation", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 3_000 });
		const first = driver.join();
		driver.host.clock.advance(2_000);
		const second = driver.join();
		driver.host.clock.advance(1_000 + TICK_MS);
		expect([first.code, second.code]).toEqual(["WAITING", "WAITING"]);
		driver.host.clock.advance(3_000 + TICK_MS);
		expect(first.value).toMatchObject({ generation: 1 });
		expect(second.value).toMatchObject({ generation: 1, leader: first.value.memberId });
		expect(first.value.members).toHaveLength(2);
	});

	test("however many keep coming, the first generation begins within the rebalance timeout", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 3_000 });
		const first = driver.join({ rebalanceTimeoutMs: 10_000 });
		for (let round = 0; round < 12; round++) {
			driver.host.clock.advance(1_000);
			driver.join({ rebalanceTimeoutMs: 10_000 });
		}
		expect(first.value.generation).toBe(1);
	});

	test("the protocol with most votes among those that all have is chosen", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 3_000 });
		const protocols = (...names: string[]) => ({ protocols: names.map((name) => protocol(name)) });
		const joins = [
			driver.join(protocols("only-mine", "a", "b")),
			driver.join(protocols("b", "a")),
			driver.join(protocols("b", "c", "a")),
		];
		driver.host.clock.advance(10_000);
		expect(joins.map(({ value }) => value.protocolName)).toEqual(["b", "b", "b"]);
		expect(driver.join(protocols("c", "only-mine")).code).toBe("INCONSISTENT_GROUP_PROTOCOL");
		expect(driver.join({ protocolType: "connect" }).code).toBe("INCONSISTENT_GROUP_PROTOCOL");
	});

	test("no protocols, or no type, fit no group", () => {
		const driver = new GroupDriver();
		expect(driver.join({ protocols: [] }).code).toBe("INCONSISTENT_GROUP_PROTOCOL");
		expect(driver.join({ protocolType: "" }).code).toBe("INCONSISTENT_GROUP_PROTOCOL");
		expect(driver.group.isVoid).toBe(true);
	});

	test("a member of another group, or of none, is not let in", () => {
		const driver = new GroupDriver();
		driver.stable(1);
		const stranger = driver.join({ memberId: "stranger" });
		expect([stranger.code, stranger.memberId]).toEqual(["UNKNOWN_MEMBER_ID", "stranger"]);
	});

	test("a group takes no more members than it may have", () => {
		const driver = new GroupDriver({ membersMax: 2 });
		const [leader = ""] = driver.stable(2);
		const third = driver.join();
		expect([third.code, third.memberId]).toEqual(["GROUP_MAX_SIZE_REACHED", ""]);
		expect(driver.heartbeat(leader, 2)).toBe("NONE");
	});

	test("metadata of a group is bounded, whoever brings it", () => {
		const driver = new GroupDriver();
		const large = { protocols: [{ name: "roundrobin", metadata: new Uint8Array(6_000_000) }] };
		const [leader = ""] = driver.stable(1);
		expect(driver.join(large).code).toBe("WAITING");
		expect(driver.join(large).code).toBe("GROUP_MAX_SIZE_REACHED");
		const again = driver.join({ ...large, memberId: leader });
		expect(again.code).toBe("GROUP_MAX_SIZE_REACHED");
	});
});

describe("joining again", () => {
	test("a leader that joins again, or a member with new metadata, begins a rebalance", () => {
		const driver = new GroupDriver();
		const [leader = "", follower = ""] = driver.stable(2);
		expect(driver.state).toBe("Stable");
		// Nothing new: it missed the answer to its join.
		expect(driver.join({ memberId: follower }).value).toMatchObject({ generation: 2, members: [] });
		expect(driver.state).toBe("Stable");
		const changed = driver.join({ memberId: follower, protocols: [protocol("roundrobin", "x")] });
		expect(driver.state).toBe("PreparingRebalance");
		driver.join({ memberId: leader });
		expect(changed.value.generation).toBe(3);
		// Before the leader has synced, a join that says the same gets the same answer.
		expect(driver.join({ memberId: leader }).value).toMatchObject({ generation: 3 });
		expect(driver.join({ memberId: leader }).value.members).toHaveLength(2);
	});

	test("who does not join again in time is out, and another one leads", () => {
		const driver = new GroupDriver();
		const [leader = "", follower = ""] = driver.stable(2);
		const rejoined = driver.join({ memberId: follower, protocols: [protocol("roundrobin", "x")] });
		// The old leader stays in touch, but does not join.
		for (let round = 0; round < 5; round++) {
			driver.host.clock.advance(5_000);
			expect(driver.heartbeat(leader, 2)).toBe("REBALANCE_IN_PROGRESS");
		}
		driver.host.clock.advance(5_000 + TICK_MS);
		expect(rejoined.value).toMatchObject({ generation: 3, leader: follower });
		expect(driver.heartbeat(leader, 2)).toBe("UNKNOWN_MEMBER_ID");
	});

	test("a client that asks twice is answered once, the second time", () => {
		const driver = new GroupDriver();
		const [leader = "", follower = ""] = driver.stable(2);
		const change = { memberId: follower, protocols: [protocol("roundrobin", "x")] };
		const lost = driver.join(change);
		const kept = driver.join(change);
		expect(lost.code).toBe("REBALANCE_IN_PROGRESS");
		driver.join({ memberId: leader });
		expect([lost.count, kept.count, kept.value.generation]).toEqual([1, 1, 3]);
	});
});

describe("syncing", () => {
	test("everybody gets what the leader gave them, once that is durable", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 1_000 });
		const [one, two, three] = [driver.join(), driver.join(), driver.join()];
		driver.host.clock.advance(3_000);
		const ids = [one, two, three].map(({ value }) => value.memberId);
		const [leader = "", second = "", third = ""] = ids;
		const early = driver.sync(second, 1);
		const led = driver.sync(leader, 1, { [leader]: "L", [second]: "S" });
		expect([early.code, led.code, driver.state]).toEqual([
			"WAITING",
			"WAITING",
			"CompletingRebalance",
		]);
		expect(driver.host.appends).toHaveLength(1);
		const [record] = driver.host.appends[0]?.records ?? [];
		expect(decodeGroup(record?.value as Uint8Array)).toMatchObject({ generation: 1, leader });
		driver.host.settle();
		expect(driver.state).toBe("Stable");
		expect([text(early.value.assignment), text(led.value.assignment)]).toEqual(["S", "L"]);
		const late = driver.sync(third, 1, {}, { protocolType: "test", protocolName: "roundrobin" });
		expect(late.value).toMatchObject({ protocolType: "test", protocolName: "roundrobin" });
		expect(late.value.assignment).toHaveLength(0);
	});

	test("a sync is refused by what is wrong with it", () => {
		const driver = new GroupDriver();
		const { memberId } = driver.join().value;
		expect(driver.sync("stranger", 1).code).toBe("UNKNOWN_MEMBER_ID");
		expect(driver.sync(memberId, 0).code).toBe("ILLEGAL_GENERATION");
		expect(driver.sync(memberId, 1, {}, { protocolType: "x" }).code).toBe(
			"INCONSISTENT_GROUP_PROTOCOL",
		);
		expect(driver.sync(memberId, 1, {}, { protocolName: "x" }).code).toBe(
			"INCONSISTENT_GROUP_PROTOCOL",
		);
		expect(driver.sync(memberId, 1, {}, { groupInstanceId: "i" }).code).toBe("UNKNOWN_MEMBER_ID");
		driver.join();
		expect(driver.sync(memberId, 1).code).toBe("REBALANCE_IN_PROGRESS");
	});

	test.each([
		["DISK_FULL", "COORDINATOR_NOT_AVAILABLE"],
		["KAFKA_STORAGE_ERROR", "NOT_COORDINATOR"],
		["MESSAGE_TOO_LARGE", "UNKNOWN_SERVER_ERROR"],
	] as const)("an assignment that cannot be stored (%s) is given to nobody", (failure, answer) => {
		const driver = new GroupDriver();
		const { memberId } = driver.join().value;
		const synced = driver.sync(memberId, 1, { [memberId]: "all" });
		driver.host.settle(new MillraceError(failure));
		expect(synced.code).toBe(answer);
		expect(driver.state).toBe("PreparingRebalance");
		expect(driver.group.records()).toEqual([]);
		expect(driver.host.warnings).toHaveLength(1);
	});

	test("an assignment that is overtaken by a join is given to nobody", () => {
		const driver = new GroupDriver();
		const { memberId } = driver.join().value;
		const synced = driver.sync(memberId, 1, { [memberId]: "all" });
		driver.join();
		expect(synced.code).toBe("REBALANCE_IN_PROGRESS");
		driver.host.settle();
		expect(driver.state).toBe("PreparingRebalance");
		expect(driver.join({ memberId }).value.generation).toBe(2);
	});

	test("a leader that asks twice has its assignment stored once", () => {
		const driver = new GroupDriver();
		const { memberId } = driver.join().value;
		const lost = driver.sync(memberId, 1, { [memberId]: "all" });
		const kept = driver.sync(memberId, 1, { [memberId]: "all" });
		expect(driver.host.appends).toHaveLength(1);
		driver.host.settle();
		expect([lost.code, kept.code]).toEqual(["REBALANCE_IN_PROGRESS", "NONE"]);
	});

	test("who does not sync within the rebalance timeout is out", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 1_000 });
		const session = { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 };
		const [one, two] = [driver.join(session), driver.join(session)];
		driver.host.clock.advance(3_000);
		const leader = one.value.memberId;
		driver.sync(leader, 1, {});
		driver.host.settle();
		expect(driver.state).toBe("Stable");
		driver.host.clock.advance(20_000 + TICK_MS);
		expect(driver.state).toBe("PreparingRebalance");
		expect(driver.heartbeat(two.value.memberId, 1)).toBe("UNKNOWN_MEMBER_ID");
		expect(driver.heartbeat(leader, 1)).toBe("REBALANCE_IN_PROGRESS");
	});
});

describe("sessions", () => {
	test("a heartbeat keeps a member for its session timeout, and no longer", () => {
		const driver = new GroupDriver();
		const [leader = ""] = driver.stable(1);
		for (let round = 0; round < 20; round++) {
			driver.host.clock.advance(9_900);
			expect(driver.heartbeat(leader, 1)).toBe("NONE");
		}
		driver.host.clock.advance(10_000 + TICK_MS);
		expect(driver.heartbeat(leader, 1)).toBe("UNKNOWN_MEMBER_ID");
		expect(driver.state).toBe("Empty");
		driver.host.settle();
		const [{ value } = { value: null }] = driver.group.records();
		expect(decodeGroup(value as Uint8Array)).toMatchObject({ generation: 2, members: [] });
	});

	test("a heartbeat is refused by what is wrong with it", () => {
		const driver = new GroupDriver();
		const [leader = ""] = driver.stable(1);
		expect(driver.heartbeat("stranger", 1)).toBe("UNKNOWN_MEMBER_ID");
		expect(driver.heartbeat(leader, 2)).toBe("ILLEGAL_GENERATION");
		expect(driver.heartbeat(leader, 1, "i")).toBe("UNKNOWN_MEMBER_ID");
		expect(driver.heartbeat(leader, 1)).toBe("NONE");
	});

	test("a commit is a sign of life", () => {
		const driver = new GroupDriver();
		const [leader = ""] = driver.stable(1);
		for (let round = 0; round < 5; round++) {
			driver.host.clock.advance(9_000);
			expect(driver.commit(leader, 1)).toBe("NONE");
		}
	});

	test("who waits for a join keeps its session, and a new member may wait 5 minutes", () => {
		const driver = new GroupDriver();
		const long = { rebalanceTimeoutMs: 1_000_000 };
		const [leader = ""] = driver.stable(1, () => long);
		const newcomer = driver.join(long);
		// The leader hangs, but its heartbeats go on.
		for (let round = 0; round < 59; round++) {
			driver.host.clock.advance(5_000);
			driver.heartbeat(leader, 1);
		}
		expect(newcomer.code).toBe("WAITING");
		driver.host.clock.advance(5_000 + TICK_MS);
		expect([newcomer.code, newcomer.memberId]).toEqual(["UNKNOWN_MEMBER_ID", ""]);
	});
});

describe("static members", () => {
	const instance = (groupInstanceId: string) => ({ groupInstanceId });

	test("one that comes back takes its place without a rebalance", () => {
		const driver = new GroupDriver();
		const [leader = "", follower = ""] = driver.stable(2, (index) => instance(`i${index}`));
		expect(driver.state).toBe("Stable");
		expect(leader).toMatch(/^i0-/);
		const back = driver.join(instance("i1"));
		expect(back.code).toBe("WAITING");
		driver.host.settle();
		expect(back.value).toMatchObject({ generation: 2, leader, skipAssignment: false, members: [] });
		const { memberId } = back.value;
		expect(memberId).not.toBe(follower);
		expect(driver.heartbeat(follower, 2, "i1")).toBe("FENCED_INSTANCE_ID");
		expect(driver.commit(follower, 2, "i1")).toBe("FENCED_INSTANCE_ID");
		expect(driver.join({ memberId: follower, ...instance("i1") }).code).toBe("FENCED_INSTANCE_ID");
		expect(driver.heartbeat(memberId, 2, "i1")).toBe("NONE");
		const synced = driver.sync(memberId, 2, {}, instance("i1"));
		expect(text(synced.value.assignment)).toBe("1");
	});

	test("a leader that comes back is told to leave the assignment as it is", () => {
		const driver = new GroupDriver();
		const [, follower = ""] = driver.stable(2, (index) => instance(`i${index}`));
		const back = driver.join(instance("i0"));
		driver.host.settle();
		const { memberId } = back.value;
		expect(back.value).toMatchObject({ leader: memberId, skipAssignment: true, generation: 2 });
		expect(back.value.members.map((each) => each.memberId).sort()).toEqual(
			[memberId, follower].sort(),
		);
	});

	test("a leader of an old client is told of the leader that it was", () => {
		const driver = new GroupDriver();
		const [leader = ""] = driver.stable(1, () => instance("i0"));
		const back = driver.join({ ...instance("i0"), supportsSkippingAssignment: false });
		driver.host.settle();
		expect(back.value).toMatchObject({ leader, skipAssignment: false, members: [] });
		expect(back.value.memberId).not.toBe(leader);
	});

	test("one that comes back while it waits fences the one that waits", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 3_000 });
		const before = driver.join(instance("i0"));
		const after = driver.join(instance("i0"));
		expect(before.code).toBe("FENCED_INSTANCE_ID");
		driver.host.clock.advance(10_000);
		expect(after.value).toMatchObject({ generation: 1, leader: after.value.memberId });
		const back = driver.join(instance("i0"));
		// The old id may be in an assignment that is being made: a new generation.
		expect(back.value.generation).toBe(2);
	});

	test("another protocol than the group's begins a rebalance", () => {
		const driver = new GroupDriver();
		driver.stable(1, () => ({ ...instance("i0"), protocols: [protocol("a"), protocol("b")] }));
		const back = driver.join({ ...instance("i0"), protocols: [protocol("b")] });
		// Kafka asks whether all members have a protocol of the new one's.
		expect(back.value).toMatchObject({ generation: 2, protocolName: "b" });
	});

	test("a rebalance does not put an absent one out; its session does", () => {
		const driver = new GroupDriver();
		const session = { sessionTimeoutMs: 120_000 };
		const [leader = "", absent = ""] = driver.stable(2, (index) => ({
			...instance(`i${index}`),
			...session,
		}));
		const again = driver.join({ memberId: leader, ...instance("i0"), ...session });
		driver.host.clock.advance(30_000 + TICK_MS);
		expect(again.value.generation).toBe(3);
		expect(again.value.members.map(({ memberId }) => memberId)).toContain(absent);
		driver.sync(leader, 3, { [leader]: "0", [absent]: "1" }, instance("i0"));
		driver.host.settle();
		expect(driver.heartbeat(absent, 2, "i1")).toBe("ILLEGAL_GENERATION");
	});

	test("one whose new id could not be stored is told, and may come again", () => {
		const driver = new GroupDriver();
		driver.stable(1, () => instance("i0"));
		const failed = driver.join(instance("i0"));
		driver.host.settle(new MillraceError("DISK_FULL"));
		expect([failed.code, failed.memberId]).toEqual(["COORDINATOR_NOT_AVAILABLE", ""]);
		const back = driver.join(instance("i0"));
		driver.host.settle();
		expect(back.value.generation).toBe(1);
	});
});

describe("leaving", () => {
	const leaving = (memberId: string, groupInstanceId: string | null = null) => ({
		memberId,
		groupInstanceId,
		reason: "done",
	});

	test("each who leaves has an answer of its own, and the others rebalance", () => {
		const driver = new GroupDriver();
		const [stays = "", goes = "", static1 = ""] = driver.stable(4, (index) => ({
			groupInstanceId: index < 2 ? null : `i${index}`,
		}));
		const pending = driver.join({ requiresKnownMemberId: true }).memberId as string;
		const codes = driver.group
			.leave([
				leaving("stranger"),
				leaving(goes),
				leaving("", "i3"),
				leaving("", "nobody"),
				leaving("", null),
				leaving(goes, "i2"),
				leaving(static1, "i2"),
				leaving(pending),
			])
			.map(({ code }) => code);
		expect(codes).toEqual([25, 0, 0, 25, 25, 82, 0, 0]);
		expect(driver.heartbeat(stays, 2)).toBe("REBALANCE_IN_PROGRESS");
		expect(driver.join({ memberId: stays }).value.members).toHaveLength(1);
	});

	test("whoever waits for an answer and is taken out is told so", () => {
		const driver = new GroupDriver();
		const [leader = ""] = driver.stable(1);
		const waits = driver.join({ groupInstanceId: "i" });
		driver.group.leave([leaving("", "i")]);
		expect([waits.code, waits.memberId]).toEqual(["UNKNOWN_MEMBER_ID", ""]);
		const { generation } = driver.join({ memberId: leader }).value;
		const synced = driver.sync(leader, generation, {});
		driver.group.leave([leaving(leader)]);
		expect(synced.code).toBe("UNKNOWN_MEMBER_ID");
		driver.host.settle();
		expect(driver.state).toBe("Empty");
	});

	test("when the last one has left the group is empty, and begins again", () => {
		const driver = new GroupDriver();
		const [only = ""] = driver.stable(1);
		driver.group.leave([leaving(only)]);
		driver.host.settle();
		expect(driver.group.summary()).toMatchObject({ state: "Empty", protocolType: "test" });
		const next = driver.join({ protocolType: "connect", protocols: [protocol("sessioned")] });
		expect(next.value).toMatchObject({ generation: 3, protocolType: "connect" });
	});

	test("when the only one leaves while others are waited for, who joins next is let in", () => {
		const driver = new GroupDriver({ initialRebalanceDelayMs: 3_000 });
		const memberId = driver.join({ requiresKnownMemberId: true }).memberId as string;
		const first = driver.join({ memberId });
		driver.group.leave([leaving(memberId)]);
		expect([first.code, driver.state]).toEqual(["UNKNOWN_MEMBER_ID", "PreparingRebalance"]);
		const next = driver.join({ protocols: [protocol("other")] });
		driver.host.clock.advance(10_000);
		expect(next.value).toMatchObject({ generation: 1, protocolName: "other" });
	});

	test("when the last one leaves while an id is waited for, who comes with it is let in", () => {
		const driver = new GroupDriver();
		const [last = ""] = driver.stable(1);
		const memberId = driver.join({ requiresKnownMemberId: true }).memberId as string;
		driver.group.leave([leaving(last)]);
		expect(driver.state).toBe("PreparingRebalance");
		const back = driver.join({ memberId, protocols: [protocol("other")] });
		expect(back.value).toMatchObject({ generation: 2, leader: memberId, protocolName: "other" });
	});
});

describe("commits", () => {
	test("of nobody's go to an empty group only", () => {
		const driver = new GroupDriver();
		expect(driver.commit("", -1)).toBe("NONE");
		expect(driver.commit("x", 1)).toBe("UNKNOWN_MEMBER_ID");
		const [leader = ""] = driver.stable(1);
		expect(driver.commit("", -1)).toBe("UNKNOWN_MEMBER_ID");
		expect(driver.commit(leader, -1)).toBe("ILLEGAL_GENERATION");
	});

	test("of members go by generation, not while it is being handed out", () => {
		const driver = new GroupDriver();
		const { memberId } = driver.join().value;
		expect(driver.commit(memberId, 1)).toBe("REBALANCE_IN_PROGRESS");
		driver.sync(memberId, 1, {});
		driver.host.settle();
		expect(driver.commit(memberId, 1)).toBe("NONE");
		expect(driver.commit(memberId, 0)).toBe("ILLEGAL_GENERATION");
		expect(driver.commit(memberId, 1, "i")).toBe("UNKNOWN_MEMBER_ID");
		driver.join();
		// They still may say how far they came before they give their partitions up.
		expect(driver.commit(memberId, 1)).toBe("NONE");
	});
});

describe("a group that is read back", () => {
	function restored(driver: GroupDriver): GroupDriver {
		const [{ value } = { value: null }] = driver.group.records();
		const bytes = value as Uint8Array;
		const next = new GroupDriver();
		const group = new ClassicGroup("g", 0, next.host);
		group.restore(decodeGroup(bytes)!, bytes);
		group.onLoaded();
		return Object.assign(next, { group });
	}

	test("goes on where it was: members, generation, assignments", () => {
		const before = new GroupDriver();
		const [leader = "", follower = ""] = before.stable(2);
		const driver = restored(before);
		const shown = ({ group }: GroupDriver) => ({
			...group.describe(),
			members: group.describe().members.map(({ metadata, assignment, ...rest }) => ({
				...rest,
				metadata: text(metadata),
				assignment: text(assignment),
			})),
		});
		expect(shown(driver)).toEqual(shown(before));
		expect(driver.heartbeat(leader, 2)).toBe("NONE");
		expect(text(driver.sync(follower, 2).value.assignment)).toBe("1");
		expect(driver.commit(follower, 2)).toBe("NONE");
		driver.host.clock.advance(10_000 + TICK_MS);
		expect(driver.heartbeat(leader, 2)).toBe("UNKNOWN_MEMBER_ID");
	});

	test("is as it was last stored, not as it was last seen", () => {
		const before = new GroupDriver();
		const [leader = ""] = before.stable(1);
		before.join();
		before.join({ memberId: leader });
		expect(before.group.summary().state).toBe("CompletingRebalance");
		const driver = restored(before);
		expect(driver.group.describe()).toMatchObject({ state: "Stable", generation: 1, leader });
	});
});

test("a group that is given up answers everybody who waits, and nobody else", () => {
	const driver = new GroupDriver();
	const [leader = ""] = driver.stable(1);
	const waits = driver.join();
	driver.group.retire();
	expect(waits.code).toBe("NOT_COORDINATOR");
	expect(driver.heartbeat(leader, 1)).toBe("COORDINATOR_NOT_AVAILABLE");
	expect(driver.commit(leader, 1)).toBe("COORDINATOR_NOT_AVAILABLE");
	expect(driver.join().code).toBe("COORDINATOR_NOT_AVAILABLE");
	expect(driver.sync(leader, 1).code).toBe("COORDINATOR_NOT_AVAILABLE");
	driver.host.clock.advance(10_000_000);
	expect(driver.host.clock.timerCount).toBe(0);
	expect(driver.host.budget.bytes).toBe(0);
});
