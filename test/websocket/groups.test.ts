/** Members of consumer groups over WebSocket, as the specification tells. */
import { describe, expect, onTestFinished, test, vi } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { GroupCoordinator } from "../../src/groups/coordinator.ts";
import { CODES } from "../../src/protocol/codes.ts";
import type { DecodedMap } from "../../src/protocol/reader.ts";
import { RawMember } from "./group-member.ts";
import { serve, TRANSPORTS } from "./harness.ts";
import type { RawClient } from "./raw-client.ts";

const STALE = CODES.STALE_MEMBER_EPOCH.code;

let groupCount = 0;
const newGroup = () => `group-${groupCount++}`;

/** Partitions of a topic by member, as administrators see them. */
async function owners(client: RawClient, group: string): Promise<Record<string, number[]>> {
	const { group: described } = await client.call("groups.describe", { group });
	const { members } = described as unknown as {
		members: { member_id: string; assignment: { partitions: number[] }[] }[];
	};
	return Object.fromEntries(
		members.map(({ member_id: id, assignment }) => [
			id,
			assignment.flatMap(({ partitions }) => partitions),
		]),
	);
}

/** Has commits wait, as for a slow disk, until they are released. */
function holdCommits(groups: GroupCoordinator) {
	let release: () => void = () => undefined;
	const released = new Promise<void>((resolve) => {
		release = resolve;
	});
	const spy = vi.spyOn(groups, "commitOffsets").mockImplementation(async (request) => {
		await released;
		return GroupCoordinator.prototype.commitOffsets.call(groups, request);
	});
	onTestFinished(() => spy.mockRestore());
	return { spy, release: () => release() };
}

describe.each(TRANSPORTS)("groups over %s", (transport) => {
	const at = serve(transport);

	test("one member is assigned everything, reads, commits and leaves", async () => {
		const client = await at.client();
		const topic = await at.topic(2);
		const group = newGroup();
		await client.produce(topic, ["a", "b", "c"], 1);
		const member = await RawMember.join(client, group, { topics: [topic] });
		expect(member).toMatchObject({ memberId: expect.stringMatching(/^.{22}$/), isResumed: false });
		let assign = await member.notice("assign");
		if ((assign.topics as unknown[]).length === 0) assign = await member.notice("assign");
		expect(assign).toEqual({
			group,
			member_id: member.memberId,
			epoch: expect.any(Number),
			settled: true,
			topics: [
				{
					topic,
					topic_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
					partitions: [
						{ partition: 0, offset: null, leader_epoch: -1 },
						{ partition: 1, offset: null, leader_epoch: -1 },
					],
				},
			],
		});
		await client.answer(4, 1, 7, topic, 1, "earliest", { credit: [10, 1_000] });
		const [, , baseOffset, , records] = await client.take(([operation]) => operation === 131);
		expect([baseOffset, (records as unknown[]).length]).toEqual([0, 3]);
		expect(await member.commit(topic, { 1: 3 })).toEqual([0]);
		await member.call("leave");
		const next = await RawMember.join(client, group, { topics: [topic] });
		expect(await next.assigned(2)).toEqual([
			{ partition: 0, offset: null, leader_epoch: -1 },
			{ partition: 1, offset: 3, leader_epoch: -1 },
		]);
	});

	test("a second member gets its share when the first has given it up", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(4);
		const group = newGroup();
		const first = await RawMember.join(client, group, { topics: [topic] });
		expect(await first.assigned(4)).toHaveLength(4);
		const second = await RawMember.join(other, group, { topics: [topic] });
		expect(await second.assigned(0)).toEqual([]);
		const revoked = await first.revoked();
		const partitions = revoked[0]?.partitions as number[];
		expect(partitions).toHaveLength(2);
		// Until it is acknowledged it is the first one's, to be committed, and nobody else's.
		expect(await first.commit(topic, { [partitions[0] as number]: 5 })).toEqual([0]);
		expect(await second.commit(topic, { [partitions[0] as number]: 6 })).toEqual([STALE]);
		expect(second.has("assign")).toBe(false);
		await first.acknowledge(revoked);
		expect(await second.assigned(2)).toEqual([
			{ partition: partitions[0], offset: 5, leader_epoch: -1 },
			{ partition: partitions[1], offset: null, leader_epoch: -1 },
		]);
		expect(await first.commit(topic, { [partitions[0] as number]: 9 })).toEqual([STALE]);
		expect(await second.commit(topic, { [partitions[0] as number]: 7 })).toEqual([0]);
		expect(await owners(client, group)).toEqual({
			[first.memberId]: [0, 1, 2, 3].filter((each) => !partitions.includes(each)),
			[second.memberId]: partitions,
		});
	});

	test("a connection that ends takes its members out at once", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(2);
		const group = newGroup();
		const first = await RawMember.join(client, group, { topics: [topic] });
		await first.assigned(2);
		const second = await RawMember.join(other, group, { topics: [topic] });
		expect(await second.assigned(0)).toEqual([]);
		await first.commit(topic, { 0: 8, 1: 9 });
		client.close();
		const offsets = (await second.assigned(2)).map(({ offset }) => offset);
		expect(offsets).toEqual([8, 9]);
		expect(Object.keys(await owners(other, group))).toEqual([second.memberId]);
	});

	test("topics that come later, by name or by pattern, are assigned as they come", async () => {
		const client = await at.client();
		const group = newGroup();
		const prefix = `later-${transport}-${group}`;
		const pattern = `${prefix}-.*`;
		const member = await RawMember.join(client, group, { topics: [`${prefix}.x`], pattern });
		expect(await member.assigned(0)).toEqual([]);
		await client.call("topics.create", { name: `${prefix}-a`, partitions: 2 });
		expect(await member.assigned(2)).toHaveLength(2);
		await client.call("topics.create", { name: `${prefix}.x` });
		expect(await member.assigned(1)).toHaveLength(1);
		await client.call("topics.add_partitions", { name: `${prefix}-a`, partitions: 3 });
		expect(await member.assigned(1)).toEqual([{ partition: 2, offset: null, leader_epoch: -1 }]);
		await client.call("topics.delete", { name: `${prefix}-a` });
		const revoked = await member.revoked();
		expect(revoked).toMatchObject([{ topic: `${prefix}-a`, partitions: [0, 1, 2] }]);
		// Another topic of that name is another one.
		await client.call("topics.create", { name: `${prefix}-a`, partitions: 1 });
		expect(await member.commit(`${prefix}-a`, { 0: 1 })).toEqual([STALE]);
		await member.acknowledge(revoked);
		expect(await member.assigned(1)).toHaveLength(1);
		expect(await member.commit(`${prefix}-a`, { 0: 1 })).toEqual([0]);
	});

	test("offsets are committed with what belongs to them, and without a member", async () => {
		const client = await at.client();
		const topic = await at.topic(2);
		const group = newGroup();
		const offset = { partition: 1, offset: 12, leader_epoch: 3, metadata: "half way" };
		const topics = [{ topic, partitions: [offset, { partition: 7, offset: 1 }] }];
		const committed = await client.call("groups.commit", { group, topics });
		expect(committed).toEqual({
			topics: [
				{
					topic,
					partitions: [
						{ partition: 1, code: 0 },
						{ partition: 7, code: CODES.UNKNOWN_TOPIC_OR_PARTITION.code },
					],
				},
			],
		});
		const asked = [{ topic, partitions: [0, 1] }];
		expect(await client.call("groups.committed", { group, topics: asked })).toEqual({
			topics: [
				{
					topic,
					partitions: [
						{ partition: 0, offset: null, leader_epoch: -1, metadata: "" },
						{ partition: 1, offset: 12, leader_epoch: 3, metadata: "half way" },
					],
				},
			],
		});
		const member = await RawMember.join(client, group, { topics: [topic] });
		expect((await member.assigned(2))[1]).toEqual({ partition: 1, offset: 12, leader_epoch: 3 });
		await expect(client.call("groups.commit", { group, topics })).rejects.toThrow(
			"UNKNOWN_MEMBER_ID",
		);
	});

	test("who does not give up in time is out, and cannot commit", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(2);
		const group = newGroup();
		const first = await RawMember.join(client, group, {
			topics: [topic],
			rebalance_timeout_ms: 100,
		});
		await first.assigned(2);
		const second = await RawMember.join(other, group, { topics: [topic] });
		const revoked = await first.revoked();
		expect(await first.notice("lost")).toMatchObject({
			group,
			code: CODES.UNKNOWN_MEMBER_ID.code,
			name: "UNKNOWN_MEMBER_ID",
		});
		await expect(first.commit(topic, { 0: 1 })).rejects.toThrow("UNKNOWN_MEMBER_ID");
		await expect(first.acknowledge(revoked)).rejects.toThrow("UNKNOWN_MEMBER_ID");
		const partitions = await second.assigned(2);
		expect(partitions.map(({ offset }) => offset)).toEqual([null, null]);
	});

	test("a static member finds its place again, and nobody is disturbed", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(2);
		const group = newGroup();
		const takes = { topics: [topic], instance_id: "one" };
		const first = await RawMember.join(client, group, takes);
		await first.assigned(2);
		const second = await RawMember.join(other, group, { topics: [topic] });
		await first.acknowledge(await first.revoked());
		expect(await second.assigned(0)).toEqual([]);
		const [others] = await second.assigned(1);
		await expect(RawMember.join(other, group, takes)).rejects.toThrow("UNRELEASED_INSTANCE_ID");
		client.close();
		const again = await at.client();
		await expect
			.poll(() => RawMember.join(again, group, takes).catch((error: Error) => error.message))
			.toBeInstanceOf(RawMember);
		const kept = Object.entries(await owners(again, group)).filter(
			([id]) => id !== second.memberId,
		);
		expect(kept.map(([, partitions]) => partitions)).toEqual([[1 - (others?.partition ?? 0)]]);
		expect(second.has("assign")).toBe(false);
		expect(second.has("revoke")).toBe(false);
	});

	test("who is gone before its join is answered does not stay", async () => {
		const client = await at.client();
		const group = newGroup();
		const topic = await at.topic();
		for (let count = 0; count < 5; count++) {
			const gone = await at.client();
			gone.send(7, 5, "groups.join", { group, topics: [topic] });
			gone.socket.close();
		}
		const stays = await RawMember.join(client, group, { topics: [topic] });
		await stays.assigned(1);
		await expect
			.poll(async () => Object.keys(await owners(client, group)))
			.toEqual([stays.memberId]);
	});

	test("a member that leaves for good gives up its static place, too", async () => {
		const client = await at.client();
		const topic = await at.topic(2);
		const group = newGroup();
		const takes = { topics: [topic], instance_id: "one" };
		const away = await RawMember.join(client, group, takes);
		await away.assigned(2);
		await away.call("leave");
		const other = await RawMember.join(client, group, { topics: [topic] });
		expect(await other.assigned(0)).toEqual([]);
		const back = await RawMember.join(client, group, takes);
		// Both, where it comes before the other's share is worked out.
		await back.assigned(1);
		await back.call("leave", { for_good: true });
		expect(await other.assigned(2)).toHaveLength(2);
		expect(Object.keys(await owners(client, group))).toEqual([other.memberId]);
	});

	test("a membership moves to the connection that names it", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(2);
		const group = newGroup();
		const takes = { topics: [topic] };
		const first = await RawMember.join(client, group, takes);
		await first.assigned(2);
		const again = await RawMember.join(other, group, { ...takes, member_id: first.memberId });
		expect(again).toMatchObject({ memberId: first.memberId, isResumed: true });
		expect(await again.assigned(2)).toHaveLength(2);
		expect(await first.notice("lost")).toMatchObject({ name: "FENCED_MEMBER_EPOCH" });
		await expect(first.commit(topic, { 0: 1 })).rejects.toThrow("UNKNOWN_MEMBER_ID");
		client.close();
		await other.ping();
		expect(await again.commit(topic, { 0: 1 })).toEqual([0]);
	});

	test("who is taken out by an administrator is told so", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(2);
		const group = newGroup();
		const first = await RawMember.join(client, group, { topics: [topic] });
		await first.assigned(2);
		const second = await RawMember.join(other, group, { topics: [topic] });
		expect(await second.assigned(0)).toEqual([]);
		const { memberId } = first;
		// As Kafka's tools do.
		const members = [{ memberId, groupInstanceId: null, reason: null }];
		const left = await at.options.groups.leave({ groupId: group, members });
		expect(left).toEqual([{ memberId, groupInstanceId: null, code: 0 }]);
		expect(await first.notice("lost")).toMatchObject({ group, name: "UNKNOWN_MEMBER_ID" });
		await expect(first.commit(topic, { 0: 1 })).rejects.toThrow("UNKNOWN_MEMBER_ID");
		expect(await second.assigned(2)).toHaveLength(2);
		// The connection goes on, and so may the client, as another member.
		const again = await RawMember.join(client, group, { topics: [topic] });
		expect(again.memberId).not.toBe(memberId);
	});

	test("a commit that ends late takes nothing from who has come back meanwhile", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const topic = await at.topic(2);
		const group = newGroup();
		const takes = { topics: [topic] };
		const first = await RawMember.join(client, group, takes);
		await first.assigned(2);
		const { spy, release: store } = holdCommits(at.options.groups);
		const connections = at.server.connectionCount;
		first.commit(topic, { 0: 1 }).catch(() => undefined);
		await expect.poll(() => spy.mock.calls.length).toBe(1);
		client.close();
		await expect.poll(() => at.server.connectionCount).toBe(connections - 1);
		const again = await RawMember.join(other, group, { ...takes, member_id: first.memberId });
		expect(again.isResumed).toBe(true);
		store();
		await spy.mock.results[0]?.value;
		await other.ping();
		expect(await again.commit(topic, { 1: 1 })).toEqual([0]);
		expect(Object.keys(await owners(other, group))).toEqual([first.memberId]);
		expect(again.has("lost")).toBe(false);
	});

	test("a member that nobody knows is a new one, under the id that it has made up", async () => {
		const client = await at.client();
		const takes = { topics: [await at.topic(2)] };
		const group = newGroup();
		const made = await RawMember.join(client, group, { ...takes, member_id: "made-up" });
		expect(made).toMatchObject({ isResumed: false, memberId: "made-up" });
		expect(await made.assigned(2)).toHaveLength(2);
		expect(await owners(client, group)).toHaveProperty("made-up");
		// The same id is somebody else in another group, but not on this connection.
		const elsewhere = await at.client();
		const namesake = await RawMember.join(elsewhere, newGroup(), {
			...takes,
			member_id: "made-up",
		});
		expect(namesake.isResumed).toBe(false);
		await made.call("leave", {});
		const again = await RawMember.join(client, group, { ...takes, member_id: "made-up" });
		expect(again).toMatchObject({ isResumed: false, memberId: "made-up" });
		const unnamed = await RawMember.join(client, newGroup(), { ...takes, member_id: "" });
		expect(unnamed.memberId).not.toBe("");
	});

	test("a static member that is away is another under another id", async () => {
		const [client, other] = [await at.client(), await at.client()];
		const takes = { topics: [await at.topic(2)], instance_id: "i" };
		const group = newGroup();
		const first = await RawMember.join(client, group, { ...takes, member_id: "first" });
		await first.assigned(2);
		await first.call("leave", {});
		const same = await RawMember.join(other, group, { ...takes, member_id: "first" });
		expect(same.isResumed).toBe(false);
		await same.assigned(2);
		await same.call("leave", {});
		const second = await RawMember.join(other, group, { ...takes, member_id: "second" });
		expect(second).toMatchObject({ isResumed: false, memberId: "second" });
		expect(await second.assigned(2)).toHaveLength(2);
		expect(Object.keys(await owners(other, group))).toEqual(["second"]);
	});

	test("one connection is a member once, also while it joins", async () => {
		const client = await at.client();
		const takes = { group: newGroup(), topics: [await at.topic(1)], member_id: "one" };
		const outcomes = await Promise.allSettled([
			client.call("groups.join", takes),
			client.call("groups.join", takes),
		]);
		expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
		await expect(client.call("groups.join", takes)).rejects.toThrow("INVALID_REQUEST");
	});

	test("two members on one connection share, too", async () => {
		const client = await at.client();
		const topic = await at.topic(2);
		const group = newGroup();
		const first = await RawMember.join(client, group, { topics: [topic] });
		await first.assigned(2);
		const second = await RawMember.join(client, group, { topics: [topic], assignor: "range" });
		const revoked = await first.revoked();
		// Sent at once, one behind the other: the commit is the older one.
		const partition = revoked[0]?.partitions[0] as number;
		const commit = first.commit(topic, { [partition]: 4 });
		const acknowledgement = first.acknowledge(revoked);
		expect(await commit).toEqual([0]);
		await acknowledgement;
		expect(await second.assigned(1)).toEqual([{ partition, offset: 4, leader_epoch: -1 }]);
		const leaving = [first.commit(topic, { [1 - partition]: 6 }), first.call("leave")];
		expect((await Promise.all(leaving))[0]).toEqual([0]);
		expect((await second.assigned(1))[0]).toMatchObject({ partition: 1 - partition, offset: 6 });
	});

	test.each([
		["groups.join", {}, "INVALID_ARGUMENT"],
		["groups.join", { group: "g" }, "INVALID_ARGUMENT"],
		["groups.join", { group: "", topics: ["t"] }, "INVALID_GROUP_ID"],
		["groups.join", { group: "x".repeat(8_193), topics: ["t"] }, "INVALID_GROUP_ID"],
		["groups.join", { group: "g", topics: [] }, "INVALID_ARGUMENT"],
		["groups.join", { group: "g", topics: [5] }, "INVALID_ARGUMENT"],
		["groups.join", { group: "g", topics: "t" }, "INVALID_ARGUMENT"],
		["groups.join", { group: "g", topics: Array(1_025).fill("t") }, "INVALID_ARGUMENT"],
		["groups.join", { group: "g", topics: ["x".repeat(250)] }, "INVALID_ARGUMENT"],
		["groups.join", { group: "g", pattern: "(" }, "INVALID_REGULAR_EXPRESSION"],
		["groups.join", { group: "g", pattern: "x".repeat(1_025) }, "INVALID_ARGUMENT"],
		["groups.join", { group: "g", pattern: "a{1000}{1000}{1000}" }, "INVALID_REGULAR_EXPRESSION"],
		["groups.join", { group: "g", topics: ["t"], assignor: "mine" }, "UNSUPPORTED_ASSIGNOR"],
		["groups.join", { group: "g", topics: ["t"], instance_id: " " }, "INVALID_REQUEST"],
		["groups.join", { group: "g", topics: ["t"], rebalance_timeout_ms: 0 }, "INVALID_ARGUMENT"],
		[
			"groups.join",
			{ group: "g", topics: ["t"], progress_timeout_ms: 2 ** 31 },
			"INVALID_ARGUMENT",
		],
		["groups.join", { group: "g", topics: ["t"], member_id: " " }, "INVALID_ARGUMENT"],
		[
			"groups.join",
			{ group: "g", topics: ["t"], member_id: "m".repeat(9_000) },
			"INVALID_ARGUMENT",
		],
		["groups.progress", { group: "g", member_id: "m" }, "UNKNOWN_MEMBER_ID"],
		["groups.progress", { group: "g" }, "INVALID_ARGUMENT"],
		["groups.acknowledge", { group: "g", member_id: "m", topics: [] }, "UNKNOWN_MEMBER_ID"],
		["groups.acknowledge", { group: "g", member_id: "m", topics: [{}] }, "INVALID_ARGUMENT"],
		["groups.leave", { group: "g", member_id: "m" }, "UNKNOWN_MEMBER_ID"],
		["groups.commit", { group: "g", member_id: "m", topics: [] }, "UNKNOWN_MEMBER_ID"],
		["groups.commit", { group: "g", topics: {} }, "INVALID_ARGUMENT"],
		["groups.commit", { group: "g", topics: [1] }, "INVALID_ARGUMENT"],
		[
			"groups.commit",
			{ group: "g", topics: [{ topic: "t", partitions: [{ partition: 0 }] }] },
			"INVALID_ARGUMENT",
		],
		[
			"groups.commit",
			{ group: "g", topics: [{ topic: "t", partitions: [{ partition: 0, offset: -1 }] }] },
			"INVALID_ARGUMENT",
		],
		[
			"groups.committed",
			{ group: "g", topics: [{ topic: "t", partitions: Array(251).fill(0) }] },
			"INVALID_ARGUMENT",
		],
	])("%s refuses what is wrong (%#)", async (name, parameters, code) => {
		const client = await at.client();
		await expect(client.call(name, parameters)).rejects.toThrow(code);
	});

	test("what was not revoked cannot be given up", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const member = await RawMember.join(client, newGroup(), { topics: [topic] });
		let topics: DecodedMap[] = [];
		while (topics.length === 0) {
			topics = (await member.notice("assign")).topics as unknown as DecodedMap[];
		}
		const given = [{ topic_id: topics[0]?.topic_id as string, partitions: [0] }];
		await expect(member.call("acknowledge", { topics: given })).rejects.toThrow("INVALID_REQUEST");
		expect(await member.commit(topic, { 0: 1 })).toEqual([0]);
	});

	test("commits that pile up are refused, and those that are not are carried out", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const member = await RawMember.join(client, newGroup(), { topics: [topic] });
		await member.assigned(1);
		const { release: open } = holdCommits(at.options.groups);
		const metadata = "x".repeat(3_000_000);
		const commits = [1, 2, 3, 4].map((offset) => {
			const partitions = [{ partition: 0, offset, metadata }];
			return member.call("commit", { topics: [{ topic, partitions }] });
		});
		await expect(commits[2]).rejects.toThrow("LIMIT_EXCEEDED");
		await expect(commits[3]).rejects.toThrow("LIMIT_EXCEEDED");
		open();
		const tooLarge = { partition: 0, code: CODES.OFFSET_METADATA_TOO_LARGE.code };
		for (const commit of commits.slice(0, 2)) {
			expect(await commit).toEqual({ topics: [{ topic, partitions: [tooLarge] }] });
		}
		expect(await member.commit(topic, { 0: 7 })).toEqual([0]);
	});

	test("a connection holds so many memberships at most", async () => {
		const client = await at.client();
		const topics = ["no-topic"];
		const answer = await (await at.open()).answer(1, 1, { client: "test" });
		const most = (answer.limits as DecodedMap).group_members_max as number;
		const group = newGroup();
		const joins = Array.from({ length: most }, () => client.call("groups.join", { group, topics }));
		await Promise.all(joins);
		await expect(client.call("groups.join", { group, topics })).rejects.toThrow("LIMIT_EXCEEDED");
		await client.ping();
	});

	test("nothing was logged as an error", () => {
		expect(at.errors).toEqual([]);
	});
});

describe.each(TRANSPORTS)("progress over %s", (transport) => {
	let nowMs = 0;
	const at = serve(transport, { clock: { ...systemClock, monotonicMs: () => nowMs } });

	test("a member that does not get on is out, whatever its connection does", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const takes = { topics: [topic], progress_timeout_ms: 1_000 };
		const stuck = await RawMember.join(client, newGroup(), takes);
		const busy = await RawMember.join(client, newGroup(), takes);
		nowMs += 999;
		await busy.call("progress");
		await client.ping();
		nowMs += 2;
		expect(await stuck.notice("lost")).toMatchObject({ name: "UNKNOWN_MEMBER_ID" });
		await expect(stuck.call("progress")).rejects.toThrow("UNKNOWN_MEMBER_ID");
		expect(busy.has("lost")).toBe(false);
		expect(Object.keys(await owners(client, stuck.group))).toEqual([]);
	});
});
