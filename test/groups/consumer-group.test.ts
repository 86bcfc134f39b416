import { beforeEach, describe, expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import type { ConsumerWatcher } from "../../src/groups/consumer/consumer-member.ts";
import { ConsumerDriver } from "./consumer-driver.ts";
import { codeOf } from "./harness.ts";

let driver: ConsumerDriver;
/** Id of a topic of four partitions. */
let t: string;

beforeEach(() => {
	driver = new ConsumerDriver();
	t = driver.host.catalogue.set("t", 4);
});

const described = (memberId: string) =>
	driver.group.describe().members.find((member) => member.memberId === memberId)!;

const commit = (memberId: string, generation: number, change = {}) =>
	codeOf(() =>
		driver.group.admitCommit({
			groupId: "g",
			memberId,
			groupInstanceId: null,
			generation,
			retentionMs: null,
			knowsGroupIdNotFound: true,
			topics: [],
			...change,
		}),
	);

describe("joining", () => {
	test("the first member gets everything, with the answer to its join", async () => {
		expect(driver.state).toBe("Empty");
		const a = driver.consumer("a");
		expect(await a.heartbeat()).toEqual({
			memberId: "a",
			memberEpoch: 2,
			heartbeatIntervalMs: 5_000,
			assignment: [{ topicId: t, partitions: [0, 1, 2, 3] }],
		});
		expect(driver.state).toBe("Stable");
		expect(await a.heartbeat()).toMatchObject({ memberEpoch: 2, assignment: null });
	});

	test("a member without an id is given one", async () => {
		const a = await driver.join("");
		expect(a.memberId).toMatch(/^\w[\w-]{21}$/);
		await a.heartbeat();
	});

	test("a partition is given on only when its owner says that it has given it up", async () => {
		const a = await driver.join("a");
		const b = await driver.join("b");
		expect(b.owned).toEqual({});
		expect(b.epoch).toBe(3);
		expect(driver.state).toBe("Reconciling");
		await b.heartbeat();
		expect(b.owned).toEqual({});
		// A is told with a heartbeat that says nothing of what it has.
		expect(await a.heartbeat({ owned: null })).toMatchObject({
			memberEpoch: 2,
			assignment: [{ topicId: t, partitions: [0, 1] }],
		});
		await b.heartbeat();
		expect(b.owned).toEqual({});
		// It still has all four.
		const four = [{ topicId: t, partitions: [0, 1, 2, 3] }];
		expect(await a.heartbeat({ owned: four })).toMatchObject({ memberEpoch: 2, assignment: null });
		await b.heartbeat();
		expect(b.owned).toEqual({});
		expect(await a.heartbeat()).toMatchObject({ memberEpoch: 3, assignment: null });
		expect(await b.heartbeat()).toMatchObject({
			memberEpoch: 3,
			assignment: [{ topicId: t, partitions: [2, 3] }],
		});
		expect(driver.state).toBe("Stable");
	});

	test("a member that joins again with its id has what it had", async () => {
		const a = await driver.join("a");
		a.epoch = 0;
		expect(await a.heartbeat()).toMatchObject({
			memberEpoch: 2,
			assignment: [{ topicId: t, partitions: [0, 1, 2, 3] }],
		});
	});

	test("a full group takes nobody else", async () => {
		driver.host.consumer = { ...driver.host.consumer, membersMax: 1 };
		const a = await driver.join("a");
		expect(await codeOf(driver.join("b"))).toBe("GROUP_MAX_SIZE_REACHED");
		await a.heartbeat();
		await a.leave();
		await driver.join("b");
	});

	test("a heartbeat that says everything is told everything", async () => {
		const a = await driver.join("a");
		const full = { rebalanceTimeoutMs: 1_000, topicNames: ["t"] };
		expect((await a.heartbeat(full)).assignment).toHaveLength(1);
		expect((await a.heartbeat({ ...full, rebalanceTimeoutMs: -1 })).assignment).toBeNull();
	});

	test("a group of a topic that does not exist gets it when it does", async () => {
		const a = await driver.join("a", { topicNames: ["later"] });
		expect(a.owned).toEqual({});
		expect(driver.state).toBe("Stable");
		const later = driver.host.catalogue.set("later", 2);
		await a.heartbeat();
		expect(a.owned).toEqual({ [later]: [0, 1] });
	});
});

describe("epochs", () => {
	test("another than the member's own is fenced", async () => {
		const a = await driver.join("a");
		expect(await codeOf(a.heartbeat({ memberEpoch: a.epoch + 1 }))).toBe("FENCED_MEMBER_EPOCH");
		expect(await codeOf(a.heartbeat({ memberEpoch: a.epoch - 1 }))).toBe("FENCED_MEMBER_EPOCH");
		await a.heartbeat();
	});

	test("the one before is accepted from who has missed an answer", async () => {
		const a = await driver.join("a");
		await driver.join("b");
		await a.heartbeat({ owned: null });
		const two = [{ topicId: t, partitions: [0, 1] }];
		await driver.group.heartbeat({ ...driver.request("a", 2), owned: two });
		expect(described("a").memberEpoch).toBe(3);
		const again = (change: object) =>
			driver.group.heartbeat({ ...driver.request("a", 2), owned: two, ...change });
		expect(await again({})).toMatchObject({ memberEpoch: 3 });
		expect(await codeOf(again({ owned: null }))).toBe("FENCED_MEMBER_EPOCH");
		const four = [{ topicId: t, partitions: [0, 1, 2, 3] }];
		expect(await codeOf(again({ owned: four }))).toBe("FENCED_MEMBER_EPOCH");
	});

	test("who is no member is told so", async () => {
		await driver.join("a");
		const stranger = driver.request("b", 2);
		expect(await codeOf(driver.group.heartbeat(stranger))).toBe("UNKNOWN_MEMBER_ID");
		expect(await codeOf(driver.group.leave({ ...stranger, memberEpoch: -1 }))).toBe(
			"UNKNOWN_MEMBER_ID",
		);
	});
});

describe("leaving and being left out", () => {
	test("what a member had is free at once", async () => {
		const [a, b] = [await driver.join("a"), await driver.join("b")];
		await driver.settle(a, b);
		expect(await a.leave()).toEqual({
			memberId: "a",
			memberEpoch: -1,
			heartbeatIntervalMs: 0,
			assignment: null,
		});
		expect(driver.state).toBe("Assigning");
		await b.heartbeat();
		expect(b.owned).toEqual({ [t]: [0, 1, 2, 3] });
		expect(driver.state).toBe("Stable");
		await b.leave();
		expect(driver.state).toBe("Empty");
	});

	test("a member that is silent is out when its session ends", async () => {
		const [a, b] = [await driver.join("a"), await driver.join("b")];
		await driver.settle(a, b);
		driver.host.clock.advance(44_000);
		await b.heartbeat();
		driver.host.clock.advance(2_000);
		expect(await codeOf(a.heartbeat())).toBe("UNKNOWN_MEMBER_ID");
		await b.heartbeat();
		expect(b.owned).toEqual({ [t]: [0, 1, 2, 3] });
	});

	test("a member that keeps what it is to give up is out after its rebalance timeout", async () => {
		const a = await driver.join("a", { rebalanceTimeoutMs: 20_000 });
		const b = await driver.join("b");
		const keep = () => a.heartbeat({ owned: [{ topicId: t, partitions: [0, 1, 2, 3] }] });
		await keep();
		driver.host.clock.advance(19_000);
		await keep();
		driver.host.clock.advance(1_200);
		expect(await codeOf(keep())).toBe("UNKNOWN_MEMBER_ID");
		await b.heartbeat();
		expect(b.owned).toEqual({ [t]: [0, 1, 2, 3] });
	});

	test("a member that gives up in time stays", async () => {
		const a = await driver.join("a", { rebalanceTimeoutMs: 20_000 });
		await driver.join("b");
		await a.heartbeat();
		await a.heartbeat();
		driver.host.clock.advance(30_000);
		await a.heartbeat();
	});
});

describe("static members", () => {
	test("who comes back under another id has what it had, and nobody else moves", async () => {
		const a = await driver.join("a", { instanceId: "one" });
		const b = await driver.join("b");
		await driver.settle(a, b);
		const { owned } = a;
		await a.leave(-2);
		expect(described("a")).toMatchObject({ memberEpoch: -2 });
		await b.heartbeat();
		expect(b.owned).toEqual({ [t]: [2, 3] });
		const again = await driver.join("a2", { instanceId: "one" });
		expect(again.owned).toEqual(owned);
		expect(again.epoch).toBe(b.epoch);
		expect(driver.group.describe().members).toHaveLength(2);
		expect(driver.state).toBe("Stable");
		expect(await codeOf(a.heartbeat({ memberEpoch: 3 }))).toBe("FENCED_INSTANCE_ID");
	});

	test("who does not come back is out when its session ends", async () => {
		const a = await driver.join("a", { instanceId: "one" });
		const b = await driver.join("b");
		await driver.settle(a, b);
		await a.leave(-2);
		driver.host.clock.advance(40_000);
		await b.heartbeat();
		driver.host.clock.advance(6_000);
		await b.heartbeat();
		expect(b.owned).toEqual({ [t]: [0, 1, 2, 3] });
	});

	test("an instance id is taken while its member is there", async () => {
		await driver.join("a", { instanceId: "one" });
		expect(await codeOf(driver.join("b", { instanceId: "one" }))).toBe("UNRELEASED_INSTANCE_ID");
		const stranger = { ...driver.request("b", 2), instanceId: "two" };
		expect(await codeOf(driver.group.heartbeat(stranger))).toBe("UNKNOWN_MEMBER_ID");
	});

	test("one that subscribes to something else when it comes back", async () => {
		const u = driver.host.catalogue.set("u", 2);
		const a = await driver.join("a", { instanceId: "one" });
		await a.leave(-2);
		const again = await driver.join("a2", { instanceId: "one", topicNames: ["u"] });
		expect(again.owned).toEqual({ [u]: [0, 1] });
		expect(driver.group.isSubscribedTo("t")).toBe(false);
	});
});

describe("what is subscribed to", () => {
	test("a topic that is not wanted any more is given up at once", async () => {
		const u = driver.host.catalogue.set("u", 2);
		const a = await driver.join("a", { topicNames: ["t", "u"] });
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3], [u]: [0, 1] });
		await a.heartbeat({ topicNames: ["u"] });
		expect(a.owned).toEqual({ [u]: [0, 1] });
		await a.heartbeat();
		expect(driver.state).toBe("Stable");
	});

	test("topics that get more partitions, and that are deleted", async () => {
		const a = await driver.join("a");
		const epoch = a.epoch;
		driver.host.catalogue.set("other", 1);
		await a.heartbeat();
		expect(a.epoch).toBe(epoch);
		driver.host.catalogue.set("t", 6);
		await a.heartbeat();
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3, 4, 5] });
		expect(a.epoch).toBe(epoch + 1);
		driver.host.catalogue.delete("t");
		await a.heartbeat({ owned: null });
		expect(a.owned).toEqual({});
		await a.heartbeat();
		expect(driver.state).toBe("Stable");
		const anew = driver.host.catalogue.set("t", 1);
		await a.heartbeat();
		expect(a.owned).toEqual({ [anew]: [0] });
	});

	test("a regular expression follows topics that come and go", async () => {
		const a = await driver.join("a", { topicNames: null, topicPattern: "(t|x.*)" });
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3] });
		expect(described("a")).toMatchObject({ topicNames: [], topicPattern: "(t|x.*)" });
		const x = driver.host.catalogue.set("x1", 1);
		driver.host.catalogue.set("y1", 1);
		await a.heartbeat();
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3], [x]: [0] });
		expect(driver.group.isSubscribedTo("x1")).toBe(true);
		driver.host.catalogue.delete("x1");
		await driver.settle(a);
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3] });
		expect(driver.group.isSubscribedTo("x1")).toBe(false);
		await a.heartbeat({ topicPattern: "", topicNames: ["y1"] });
		await driver.settle(a);
		expect(Object.keys(a.owned)).toEqual([driver.host.catalogue.get("y1")!.topicId]);
	});

	test("an expression that is none is refused, and changes nothing", async () => {
		const a = await driver.join("a");
		const wrong = { topicPattern: "((" };
		expect(await codeOf(a.heartbeat(wrong))).toBe("INVALID_REGULAR_EXPRESSION");
		expect(await codeOf(driver.join("b", { topicNames: null, ...wrong }))).toBe(
			"INVALID_REGULAR_EXPRESSION",
		);
		expect(driver.group.describe().members).toHaveLength(1);
		await a.heartbeat();
		expect(driver.state).toBe("Stable");
	});

	test("the assignor that most members ask for is used", async () => {
		driver.host.catalogue.set("u", 3);
		driver.host.catalogue.set("v", 3);
		const names = { topicNames: ["u", "v"], serverAssignor: "range" };
		const [a, b] = [await driver.join("a", names), await driver.join("b", names)];
		await driver.settle(a, b);
		expect(driver.group.describe().assignorName).toBe("range");
		expect(Object.values(a.owned)).toEqual([
			[0, 1],
			[0, 1],
		]);
		const [c, d, e] = await Promise.all(
			["c", "d", "e"].map((id) => driver.join(id, { ...names, serverAssignor: "uniform" })),
		);
		await driver.settle(a, b, c!, d!, e!);
		expect(driver.group.describe().assignorName).toBe("uniform");
	});
});

describe("offsets", () => {
	const some = (...partitions: number[]) => {
		const offsets = partitions.map((partition) => ({ partition, offset: 1 }));
		return { topics: [{ topic: "t", partitions: offsets }] };
	};

	test("are committed with the epoch of a member that has the partitions", async () => {
		expect(await commit("", -1)).toBe("NONE");
		const a = await driver.join("a");
		expect(await commit("a", a.epoch, some(0, 3))).toBe("NONE");
		expect(await commit("a", a.epoch - 1, some(0))).toBe("STALE_MEMBER_EPOCH");
		expect(await commit("a", a.epoch + 1, some(0))).toBe("STALE_MEMBER_EPOCH");
		expect(await commit("", -1)).toBe("UNKNOWN_MEMBER_ID");
		expect(await commit("b", a.epoch)).toBe("UNKNOWN_MEMBER_ID");
		expect(await commit("a", a.epoch, { knowsGroupIdNotFound: false })).toBe("UNSUPPORTED_VERSION");
	});

	test("are committed with any epoch since which the member has had the partitions", async () => {
		const a = await driver.join("a");
		const before = a.epoch;
		const b = await driver.join("b");
		await a.heartbeat();
		await driver.settle(a, b);
		expect([a.epoch, a.owned]).toEqual([before + 1, { [t]: [0, 1] }]);
		expect(await commit("a", before, some(0, 1))).toBe("NONE");
		expect(await commit("a", before, some(1, 2))).toBe("STALE_MEMBER_EPOCH");
		expect(await commit("a", before - 1, some(0))).toBe("STALE_MEMBER_EPOCH");
		expect(await commit("b", before, some(2))).toBe("STALE_MEMBER_EPOCH");
		await b.leave();
		await driver.settle(a);
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3] });
		// What it has again is new to it.
		expect(await commit("a", before, some(0, 1))).toBe("NONE");
		expect(await commit("a", before, some(2))).toBe("STALE_MEMBER_EPOCH");
	});

	test("of partitions to be given up may be committed until then", async () => {
		const a = await driver.join("a");
		await driver.join("b");
		await a.heartbeat();
		expect(a.owned).toEqual({ [t]: [0, 1] });
		expect(await commit("a", a.epoch, some(2, 3))).toBe("NONE");
		await driver.settle(a);
		expect(await commit("a", a.epoch - 1, some(2))).toBe("STALE_MEMBER_EPOCH");
	});

	test("are shown to members with their present epoch, and to whoever does not say", async () => {
		const a = await driver.join("a");
		const fetch = (member?: { memberId: string; epoch: number }) =>
			codeOf(() => driver.group.admitFetch({ groupId: "g", member, topics: null }));
		expect(await fetch()).toBe("NONE");
		expect(await fetch({ memberId: "a", epoch: a.epoch })).toBe("NONE");
		expect(await fetch({ memberId: "a", epoch: a.epoch - 1 })).toBe("STALE_MEMBER_EPOCH");
		expect(await fetch({ memberId: "", epoch: -1 })).toBe("UNKNOWN_MEMBER_ID");
	});
});

describe("a disk that fails", () => {
	const full = new MillraceError("DISK_FULL");

	test("who joins is refused, and is no member", async () => {
		driver.host.failure = full;
		expect(await codeOf(driver.join("a"))).toBe("COORDINATOR_NOT_AVAILABLE");
		expect(driver.group.describe().members).toEqual([]);
		driver.host.failure = undefined;
		driver.host.clock.advance(1_000);
		const a = await driver.join("a");
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3] });
	});

	test("nobody is told anything until all of the group is stored", async () => {
		const a = await driver.join("a");
		driver.host.catalogue.set("t", 5);
		driver.host.failure = full;
		expect(await codeOf(a.heartbeat())).toBe("COORDINATOR_NOT_AVAILABLE");
		expect(driver.host.warnings).toEqual(["a group could not be stored"]);
		driver.host.failure = undefined;
		// It is not tried again before a second has passed.
		expect(await codeOf(a.heartbeat())).toBe("COORDINATOR_NOT_AVAILABLE");
		driver.host.clock.advance(1_000);
		driver.host.log.clear();
		const full_ = { rebalanceTimeoutMs: 60_000, topicNames: ["t"] };
		await a.heartbeat(full_);
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3, 4] });
		expect(driver.host.log.size).toBe([...driver.group.records()].length);
	});
});

describe("members that are told instead of asking", () => {
	const turns = () => new Promise((resolve) => setImmediate(resolve));

	/** What a watcher was told. */
	class Told implements ConsumerWatcher {
		newsCount = 0;
		readonly ends: string[] = [];
		news(): void {
			this.newsCount++;
		}
		lost({ code }: MillraceError): void {
			this.ends.push(code);
		}
	}

	test("live without heartbeats, and hear when there is news", async () => {
		const a = await driver.join("a");
		const told = new Told();
		const end = driver.group.watch("a", told);
		await turns();
		expect(told.newsCount).toBe(0);
		driver.host.clock.advance(500_000);
		driver.host.catalogue.set("t", 6);
		await turns();
		expect(told.newsCount).toBe(1);
		await a.heartbeat();
		expect(a.owned).toEqual({ [t]: [0, 1, 2, 3, 4, 5] });
		// Another joins: to give up, then nothing until it has.
		const b = await driver.join("b");
		await turns();
		expect(told.newsCount).toBe(2);
		await a.heartbeat({ owned: null });
		await turns();
		expect(told.newsCount).toBe(2);
		await a.heartbeat();
		await b.heartbeat();
		await b.leave();
		await turns();
		expect(told.newsCount).toBe(3);
		end();
		driver.host.clock.advance(44_000);
		await a.heartbeat();
		driver.host.clock.advance(46_000);
		expect(await codeOf(a.heartbeat())).toBe("UNKNOWN_MEMBER_ID");
		expect(told.newsCount).toBe(3);
	});

	test("hear when what they wait for becomes free", async () => {
		const a = await driver.join("a");
		const b = await driver.join("b");
		const told = new Told();
		driver.group.watch("b", told);
		await a.heartbeat();
		await turns();
		expect(told.newsCount).toBe(0);
		await a.heartbeat();
		await turns();
		expect(told.newsCount).toBe(1);
		await b.heartbeat();
		expect(b.owned).toEqual({ [t]: [2, 3] });
	});

	test("hear that they are out, as when they do not give up in time", async () => {
		const a = await driver.join("a", { rebalanceTimeoutMs: 5_000 });
		const told = new Told();
		driver.group.watch("a", told);
		await driver.join("b");
		await turns();
		await a.heartbeat({ owned: null });
		told.newsCount = 0;
		driver.host.clock.advance(6_000);
		expect(told).toMatchObject({ newsCount: 0, ends: ["UNKNOWN_MEMBER_ID"] });
		expect(await codeOf(a.heartbeat())).toBe("UNKNOWN_MEMBER_ID");
		expect(await codeOf(() => driver.group.watch("a", told))).toBe("UNKNOWN_MEMBER_ID");
	});

	test("hear that they are out, whoever has taken them out", async () => {
		const [left, removed, away] = [new Told(), new Told(), new Told()];
		const a = await driver.join("a");
		await driver.join("b");
		const c = await driver.join("c", { instanceId: "one" });
		driver.group.watch("a", left);
		driver.group.watch("b", removed);
		driver.group.watch("c", away);
		await driver.group.leaveClassic([{ memberId: "b", groupInstanceId: null, reason: null }]);
		await a.leave();
		await c.leave(-2);
		for (const { ends } of [left, removed, away]) expect(ends).toEqual(["UNKNOWN_MEMBER_ID"]);
	});

	test("hear nothing of what they have ended themselves", async () => {
		const a = await driver.join("a");
		const told = new Told();
		driver.group.watch("a", told)();
		await a.leave();
		expect(told.ends).toEqual([]);
	});

	test("hear that somebody else goes on as the member, who is not disturbed", async () => {
		const a = await driver.join("a");
		const [first, second] = [new Told(), new Told()];
		const endFirst = driver.group.watch("a", first);
		driver.group.watch("a", second);
		expect(first.ends).toEqual(["FENCED_MEMBER_EPOCH"]);
		endFirst();
		driver.host.clock.advance(500_000);
		driver.host.catalogue.set("t", 6);
		await turns();
		expect([first.newsCount, second.newsCount]).toEqual([0, 1]);
		await a.heartbeat();
		expect(second.ends).toEqual([]);
	});
});
