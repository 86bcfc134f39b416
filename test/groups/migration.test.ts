/** Groups that change their protocol with members in them, over real storage. */
import { cp } from "node:fs/promises";
import { describe, expect, test } from "vitest";

import type {
	ConsumerHeartbeatAnswer,
	ConsumerHeartbeatRequest,
} from "../../src/groups/consumer/consumer-requests.ts";
import type { JoinAnswer, JoinRequest } from "../../src/groups/requests.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { encodeMessage } from "../kafka/client-codec.ts";
import { ordersRequest } from "./consumer-requests.ts";
import {
	codeOf,
	commitRequest,
	type Harness,
	type HarnessOptions,
	joinRequest,
	start,
} from "./harness.ts";

const ASSIGNED = 1;

const subscription = (owned: readonly number[], topics: readonly string[] = ["orders"]): Buffer =>
	Buffer.concat([
		Buffer.from([0, ASSIGNED]),
		encodeMessage("ConsumerProtocolSubscription", ASSIGNED, {
			topics: [...topics],
			ownedPartitions: owned.length === 0 ? [] : [{ topic: "orders", partitions: [...owned] }],
		}),
	]);

const assignment = (partitions: readonly number[], userData: Buffer | null = null): Buffer =>
	Buffer.concat([
		Buffer.from([0, ASSIGNED]),
		encodeMessage("ConsumerProtocolAssignment", ASSIGNED, {
			assignedPartitions: [{ topic: "orders", partitions: [...partitions] }],
			userData,
		}),
	]);

/** Shorthands for what the members of group "g" say. */
class Talk {
	harness: Harness;

	constructor(harness: Harness) {
		this.harness = harness;
	}

	join(
		memberId: string,
		owned: readonly number[],
		change: Partial<JoinRequest> = {},
	): Promise<JoinAnswer> {
		const protocols = [{ name: "range", metadata: subscription(owned) }];
		const request = joinRequest({ memberId, protocolType: "consumer", protocols, ...change });
		return this.harness.coordinator.join(request);
	}

	sync(
		memberId: string,
		generation: number,
		assignments: Readonly<Record<string, Buffer>> = {},
		groupInstanceId: string | null = null,
	): Promise<string> {
		const list = Object.entries(assignments).map(([id, bytes]) => ({
			memberId: id,
			assignment: bytes,
		}));
		return this.harness.coordinator
			.sync({
				groupId: "g",
				memberId,
				groupInstanceId,
				generation,
				protocolType: "consumer",
				protocolName: "range",
				assignments: list,
			})
			.then((answer) => Buffer.from(answer.assignment).toString("hex"));
	}

	/** The code of a heartbeat. */
	beat(memberId: string, generation: number): Promise<string> {
		const request = { groupId: "g", memberId, generation, groupInstanceId: null };
		return codeOf(() => this.harness.coordinator.heartbeat(request));
	}

	consumer(
		memberId: string,
		memberEpoch: number,
		change: Partial<ConsumerHeartbeatRequest> = {},
	): Promise<ConsumerHeartbeatAnswer> {
		return this.harness.coordinator.consumerHeartbeat({
			...ordersRequest(memberId, memberEpoch),
			...change,
		});
	}

	/** Classic members in a stable group, each with as many of the four partitions. */
	async classicGroup(count: 1 | 2, change: Partial<JoinRequest> = {}): Promise<string[]> {
		const first = await this.join("", [], change);
		if (count === 1) {
			await this.sync(first.memberId, 1, { [first.memberId]: assignment([0, 1, 2, 3]) });
			return [first.memberId];
		}
		const second = this.join("", [], change);
		const { generation } = await this.join(first.memberId, [], change);
		const ids = [first.memberId, (await second).memberId];
		const parts = { [ids[0]!]: assignment([0, 1]), [ids[1]!]: assignment([2, 3]) };
		await Promise.all([this.sync(ids[0]!, generation, parts), this.sync(ids[1]!, generation)]);
		return ids;
	}

	get description() {
		return this.harness.coordinator.describeConsumerGroup("g");
	}

	get classicDescription() {
		return this.harness.coordinator.describeClassicGroup("g");
	}

	get type(): string | undefined {
		const [group] = this.harness.coordinator.listGroups();
		return group?.type;
	}
}

async function startTalk(dataDir?: string, policy?: "disabled" | "downgrade" | "upgrade") {
	const options = policy === undefined ? {} : { groupConsumerMigrationPolicy: policy };
	const harness = await start({ ...(dataDir === undefined ? {} : { dataDir }), options });
	await harness.catalogue.create({ name: "orders", partitions: 4, ifNotExists: true });
	return new Talk(harness);
}

/** The same data directory in another process, as after kill -9 of this one. */
async function killed(talk: Talk): Promise<Talk> {
	const dataDir = temporaryDirectory();
	// Not what is about to be renamed: it may be gone when its turn comes.
	const filter = (path: string) => !path.endsWith(".tmp");
	await cp(talk.harness.dataDir, dataDir, { recursive: true, filter });
	return startTalk(dataDir);
}

const ALL = assignment([0, 1, 2, 3]).toString("hex");

describe("a classic group that a consumer joins", () => {
	test("keeps members, offsets and who has what, and gives up piece by piece", async () => {
		const talk = await startTalk(temporaryDirectory());
		const [a, b] = (await talk.classicGroup(2)) as [string, string];
		const before = commitRequest(7, { memberId: a, generation: 2 });
		await talk.harness.coordinator.commitOffsets(before);
		expect(await talk.consumer("c", 0)).toMatchObject({ memberEpoch: 3, assignment: [] });
		expect(talk.description).toMatchObject({ state: "Reconciling", epoch: 3 });
		const kinds = talk.description.members.map(({ memberId, memberEpoch, isClassic }) => [
			memberId,
			memberEpoch,
			isClassic,
		]);
		expect(kinds).toEqual([
			[a, 2, true],
			[b, 2, true],
			["c", 3, false],
		]);
		// Commits of the classic members go on by the generation that they know, also old ones.
		const commit = commitRequest(8, { memberId: a, generation: 2, knowsGroupIdNotFound: false });
		expect(await codeOf(talk.harness.coordinator.commitOffsets(commit))).toBe("NONE");
		const other = commitRequest(9, { memberId: a, generation: 3 });
		expect(await codeOf(talk.harness.coordinator.commitOffsets(other))).toBe("ILLEGAL_GENERATION");
		const [fetched] = talk.harness.coordinator.fetchOffsets({ groupId: "g", topics: null });
		expect(fetched!.partitions[0]).toMatchObject({ offset: 8 });
		// One that gives up everything to join, as eager ones do.
		expect(await talk.beat(a, 2)).toBe("REBALANCE_IN_PROGRESS");
		const joined = await talk.join(a, []);
		expect(joined).toMatchObject({ generation: 3, leader: "", members: [], protocolName: "range" });
		const part = talk.description.members[0]!.assigned[0]!.partitions;
		expect(await talk.sync(a, 3)).toBe(assignment(part).toString("hex"));
		expect(await talk.beat(a, 3)).toBe("NONE");
		// One that keeps what it may, and gives the rest up when it is told to.
		expect((await talk.join(b, [2, 3])).generation).toBe(2);
		expect(await talk.sync(b, 2)).toBe(assignment([2]).toString("hex"));
		expect(await talk.beat(b, 2)).toBe("REBALANCE_IN_PROGRESS");
		expect((await talk.join(b, [2])).generation).toBe(3);
		expect(await talk.sync(b, 3)).toBe(assignment([2]).toString("hex"));
		await talk.consumer("c", 3, { owned: [] });
		expect(talk.description.state).toBe("Stable");

		const again = await killed(talk);
		expect(again.description).toEqual(talk.description);
		expect(await again.beat(a, 3)).toBe("NONE");
		again.harness.clock.advance(11_000);
		// Members have the session timeouts that they asked for.
		expect(await again.beat(a, 3)).toBe("UNKNOWN_MEMBER_ID");
		await again.consumer("c", 3);
	});

	test("tells those who wait for a rebalance that there is another", async () => {
		const talk = await startTalk();
		const [a] = (await talk.classicGroup(1)) as [string];
		const waiting = codeOf(talk.join("", []));
		await talk.consumer("c", 0);
		expect(await waiting).toBe("REBALANCE_IN_PROGRESS");
		expect(await talk.beat(a, 1)).toBe("REBALANCE_IN_PROGRESS");
		const joins = talk.join(a, []);
		expect((await joins).generation).toBe(2);
	});

	test("refuses what it cannot be: policies, types, assignors of the members' own", async () => {
		for (const policy of ["disabled", "downgrade"] as const) {
			const talk = await startTalk(undefined, policy);
			const [a] = (await talk.classicGroup(1)) as [string];
			expect(await codeOf(talk.consumer("c", 0))).toBe("GROUP_ID_NOT_FOUND");
			expect(await talk.beat(a, 1)).toBe("NONE");
		}
		const custom = await startTalk();
		const { memberId } = await custom.join("", []);
		await custom.sync(memberId, 1, { [memberId]: assignment([0], Buffer.of(1)) });
		expect(await codeOf(custom.consumer("c", 0))).toBe("GROUP_ID_NOT_FOUND");
		expect(await custom.beat(memberId, 1)).toBe("NONE");

		// Data of a sticky assignor only says who had what.
		const sticky = await startTalk();
		const named = [{ name: "cooperative-sticky", metadata: subscription([]) }];
		const first = await sticky.join("", [], { protocols: named });
		const part = assignment([0, 1, 2, 3], Buffer.of(1));
		await sticky.harness.coordinator.sync({
			groupId: "g",
			memberId: first.memberId,
			groupInstanceId: null,
			generation: 1,
			protocolType: null,
			protocolName: null,
			assignments: [{ memberId: first.memberId, assignment: part }],
		});
		expect(await sticky.consumer("c", 0)).toMatchObject({ memberEpoch: 2 });

		const twice = await startTalk();
		const [a] = (await twice.classicGroup(1)) as [string];
		const second = twice.join("", []);
		await twice.join(a, []);
		const parts = { [a]: assignment([0]), [(await second).memberId]: assignment([0]) };
		await twice.sync(a, 2, parts);
		expect(await codeOf(twice.consumer("c", 0))).toBe("GROUP_ID_NOT_FOUND");
		expect(await twice.beat(a, 2)).toBe("NONE");
		expect(twice.type).toBe("classic");
	});

	test("is as it was when the consumer is refused", async () => {
		const talk = await startTalk();
		const [a] = (await talk.classicGroup(1)) as [string];
		const refused = talk.consumer("c", 0, { topicPattern: "a[" });
		expect(await codeOf(refused)).toBe("INVALID_REGULAR_EXPRESSION");
		expect(talk.classicDescription.state).toBe("Stable");
		expect(await talk.beat(a, 1)).toBe("NONE");
	});
});

describe("a member of the classic protocol in a consumer group", () => {
	test("gets what is free when all of it is", async () => {
		const talk = await startTalk();
		const c = await talk.consumer("c", 0);
		expect(await codeOf(talk.join("", [], { requiresKnownMemberId: true }))).toBe(
			"MEMBER_ID_REQUIRED",
		);
		const { memberId, generation } = await talk.join("", []);
		expect(generation).toBe(c.memberEpoch + 1);
		expect(await talk.sync(memberId, generation)).toBe("000100000000ffffffff");
		expect(await talk.beat(memberId, generation)).toBe("NONE");
		const { topicId } = c.assignment![0]!;
		await talk.consumer("c", c.memberEpoch, { owned: [{ topicId, partitions: [0, 1, 2, 3] }] });
		expect(await talk.beat(memberId, generation)).toBe("NONE");
		await talk.consumer("c", c.memberEpoch, { owned: [{ topicId, partitions: [0, 1] }] });
		expect(await talk.beat(memberId, generation)).toBe("REBALANCE_IN_PROGRESS");
		await talk.join(memberId, []);
		expect(await talk.sync(memberId, generation)).toBe(assignment([2, 3]).toString("hex"));
		expect(talk.description.state).toBe("Stable");
	});

	test("is out when it does not sync, or does not join again when it is told to", async () => {
		const talk = await startTalk();
		await talk.consumer("c", 0);
		const timeouts = { sessionTimeoutMs: 1_000_000, rebalanceTimeoutMs: 5_000 };
		const { memberId } = await talk.join("", [], timeouts);
		talk.harness.clock.advance(6_000);
		expect(await codeOf(talk.sync(memberId, 3))).toBe("UNKNOWN_MEMBER_ID");

		const { memberId: next, generation } = await talk.join("", [], timeouts);
		await talk.sync(next, generation);
		talk.harness.clock.advance(6_000);
		expect(await talk.beat(next, generation)).toBe("NONE");
		await talk.harness.catalogue.alter("orders", { partitions: 6 });
		expect(await talk.beat(next, generation)).toBe("REBALANCE_IN_PROGRESS");
		talk.harness.clock.advance(4_000);
		expect(await talk.beat(next, generation)).toBe("REBALANCE_IN_PROGRESS");
		talk.harness.clock.advance(2_000);
		expect(await talk.beat(next, generation)).toBe("UNKNOWN_MEMBER_ID");
	});

	test("is told what it is refused for", async () => {
		const talk = await startTalk();
		const { memberEpoch } = await talk.consumer("c", 0, { instanceId: "i" });
		const protocols = [{ name: "odd", metadata: Buffer.of(1) }];
		const join = (change: Partial<JoinRequest>) => codeOf(talk.join("", [], change));
		expect(await join({ protocolType: "connect" })).toBe("INCONSISTENT_GROUP_PROTOCOL");
		expect(await join({ protocols })).toBe("UNKNOWN_SERVER_ERROR");
		expect(await join({ groupInstanceId: "j", memberId: "x" })).toBe("UNKNOWN_MEMBER_ID");
		expect(await join({ groupInstanceId: "i", memberId: "x" })).toBe("FENCED_INSTANCE_ID");
		await talk.join("m", []);
		expect(await join({ protocols })).toBe("INCONSISTENT_GROUP_PROTOCOL");
		expect(await talk.beat("c", memberEpoch)).toBe("UNKNOWN_MEMBER_ID");
		expect(await codeOf(talk.sync("c", memberEpoch))).toBe("UNKNOWN_MEMBER_ID");
		expect(await talk.beat("m", memberEpoch)).toBe("ILLEGAL_GENERATION");
		const fetch = { groupId: "g", member: { memberId: "m", epoch: 1 }, topics: null };
		expect(await codeOf(() => talk.harness.coordinator.fetchOffsets(fetch))).toBe(
			"ILLEGAL_GENERATION",
		);
	});

	test("goes on under its id in the other protocol, and back", async () => {
		const talk = await startTalk();
		await talk.consumer("c", 0);
		await talk.join("m", []);
		const { memberEpoch } = await talk.consumer("m", 0);
		expect(await talk.beat("m", memberEpoch)).toBe("UNKNOWN_MEMBER_ID");
		expect(talk.description.members.every(({ isClassic }) => !isClassic)).toBe(true);
		const { generation } = await talk.join("m", []);
		expect(await talk.beat("m", generation)).not.toBe("UNKNOWN_MEMBER_ID");
	});
});

describe("a consumer group whose last member of the new protocol is gone", () => {
	/** One classic member that has all, beside a consumer that has nothing yet. */
	async function mixed(policy?: "upgrade"): Promise<{ talk: Talk; a: string }> {
		const talk = await startTalk(temporaryDirectory(), policy);
		const [a] = (await talk.classicGroup(1)) as [string];
		await talk.harness.coordinator.commitOffsets(commitRequest(7, { memberId: a, generation: 1 }));
		await talk.consumer("c", 0);
		await talk.join(a, []);
		await talk.sync(a, 2);
		return { talk, a };
	}

	test("is classic, and its members rebalance", async () => {
		const { talk, a } = await mixed();
		await talk.consumer("c", -1);
		expect(talk.classicDescription).toMatchObject({ state: "PreparingRebalance", generation: 2 });
		expect(await codeOf(() => talk.description)).toBe("GROUP_ID_NOT_FOUND");
		expect(await talk.beat(a, 2)).toBe("REBALANCE_IN_PROGRESS");
		const { generation, leader } = await talk.join(a, [0, 1]);
		expect([generation, leader]).toEqual([3, a]);
		expect(await talk.sync(a, 3, { [a]: assignment([0, 1, 2, 3]) })).toBe(ALL);
		const again = await killed(talk);
		expect(again.classicDescription).toMatchObject({ state: "Stable", generation: 3 });
		const [fetched] = again.harness.coordinator.fetchOffsets({ groupId: "g", topics: null });
		expect(fetched!.partitions[0]).toMatchObject({ offset: 7 });
		expect(again.type).toBe("classic");
	});

	test("is classic also after a crash before anybody has joined again", async () => {
		const { talk, a } = await mixed();
		await talk.consumer("c", -1);
		const again = await killed(talk);
		expect(again.classicDescription).toMatchObject({
			state: "Stable",
			generation: 2,
			members: [{ memberId: a, metadata: subscription([]) }],
		});
		expect(await again.beat(a, 2)).toBe("NONE");
	});

	test("lets members commit what they read under the generation that they know", async () => {
		const { talk, a } = await mixed();
		await talk.consumer("d", 0);
		await talk.consumer("c", -1);
		await talk.consumer("d", -1);
		expect(talk.classicDescription).toMatchObject({ state: "PreparingRebalance", generation: 4 });
		expect(await talk.beat(a, 2)).toBe("REBALANCE_IN_PROGRESS");
		expect(await talk.beat(a, 3)).toBe("ILLEGAL_GENERATION");
		const commit = (generation: number) =>
			codeOf(talk.harness.coordinator.commitOffsets(commitRequest(8, { memberId: a, generation })));
		expect(await commit(2)).toBe("NONE");
		await talk.join(a, []);
		expect(await commit(2)).toBe("ILLEGAL_GENERATION");
	});

	test("whether it left by LeaveGroup, or its session is over", async () => {
		for (const how of ["LeaveGroup", "session"]) {
			const { talk, a } = await mixed();
			const leaving = { memberId: "c", groupInstanceId: null, reason: null };
			if (how === "LeaveGroup") {
				const left = await talk.harness.coordinator.leave({ groupId: "g", members: [leaving] });
				expect(left).toEqual([{ memberId: "c", groupInstanceId: null, code: 0 }]);
			} else {
				for (let count = 0; count < 10; count++) {
					talk.harness.clock.advance(5_000);
					await talk.beat(a, 2);
				}
			}
			expect(talk.classicDescription.members).toHaveLength(1);
		}
	});

	test("stays what it is where the policy has it so, and when nobody is left", async () => {
		const { talk, a } = await mixed("upgrade");
		await talk.consumer("c", -1);
		expect(talk.description.members).toMatchObject([{ memberId: a, isClassic: true }]);
		expect(await talk.beat(a, 2)).toBe("REBALANCE_IN_PROGRESS");
		expect((await talk.join(a, [])).generation).toBe(3);
		expect(await talk.sync(a, 3)).toBe(ALL);
		const leaving = { memberId: a, groupInstanceId: null, reason: null };
		await talk.harness.coordinator.leave({ groupId: "g", members: [leaving] });
		expect(talk.description.state).toBe("Empty");
		// Without members it is whatever the next one speaks.
		await talk.join("", []);
		expect(talk.type).toBe("classic");
	});

	test("is classic without a rebalance when a static member changes its protocol", async () => {
		const talk = await startTalk();
		const { memberEpoch } = await talk.consumer("c", 0, { instanceId: "i" });
		const joined = await talk.join("", [], { groupInstanceId: "i" });
		expect(joined.generation).toBe(memberEpoch);
		expect(talk.classicDescription.state).toBe("Stable");
		expect(await talk.sync(joined.memberId, memberEpoch, {}, "i")).toBe(ALL);
		expect(await codeOf(talk.consumer("c", memberEpoch, { instanceId: "i" }))).toBe(
			"GROUP_ID_NOT_FOUND",
		);
	});
});

describe("whoever is told instead of asking", () => {
	/** Watches a member; answers the codes of what it was told. */
	function watch({ harness }: Talk, memberId: string): string[] {
		const ends: string[] = [];
		harness.coordinator.watchConsumer("g", memberId, {
			news: () => undefined,
			lost: ({ code }) => void ends.push(code),
		});
		return ends;
	}

	test("hears that a member of the classic protocol has the place of a static one", async () => {
		for (const others of [[], ["d"]]) {
			const talk = await startTalk();
			for (const other of others) await talk.consumer(other, 0);
			await talk.consumer("c", 0, { instanceId: "i" });
			const ends = watch(talk, "c");
			await talk.join("", [], { groupInstanceId: "i" });
			expect(talk.type).toBe(others.length === 0 ? "classic" : "consumer");
			expect(ends).toEqual(["FENCED_INSTANCE_ID"]);
		}
	});

	test("hears that its member goes on in the other protocol, and no news of it", async () => {
		const talk = await startTalk();
		await talk.consumer("d", 0);
		await talk.consumer("c", 0);
		const ends = watch(talk, "c");
		const timeouts = { sessionTimeoutMs: 10_000 };
		const { generation } = await talk.join("c", [], timeouts);
		expect(ends).toEqual(["FENCED_MEMBER_EPOCH"]);
		// Nobody keeps it alive but itself.
		talk.harness.clock.advance(11_000);
		expect(await talk.beat("c", generation)).toBe("UNKNOWN_MEMBER_ID");
	});
});

describe("a disk that fails while a group changes over", () => {
	/** Storage whose appends fail while the test says so. */
	function failing(disk: { isFull: boolean }): NonNullable<HarnessOptions["storage"]> {
		return (storage) =>
			new Proxy(storage, {
				get(target, name) {
					if (name === "onToken") {
						return (token: number, done: (code: number) => void) =>
							target.onToken(token, (code) => done(disk.isFull ? CODES.DISK_FULL.code : code));
					}
					const value: unknown = Reflect.get(target, name, target);
					return typeof value === "function" ? value.bind(target) : value;
				},
			});
	}

	async function onDisk(): Promise<{ talk: Talk; disk: { isFull: boolean } }> {
		const disk = { isFull: false };
		const dataDir = temporaryDirectory();
		const harness = await start({ dataDir, storage: failing(disk) });
		await harness.catalogue.create({ name: "orders", partitions: 4 });
		return { talk: new Talk(harness), disk };
	}

	test("leaves it classic, and it can change over later", async () => {
		const { talk, disk } = await onDisk();
		const [a] = (await talk.classicGroup(1)) as [string];
		disk.isFull = true;
		expect(await codeOf(talk.consumer("c", 0))).toBe("COORDINATOR_NOT_AVAILABLE");
		expect(talk.type).toBe("classic");
		disk.isFull = false;
		const { generation } = await talk.join(a, []);
		await talk.sync(a, generation, { [a]: assignment([0, 1, 2, 3]) });
		const again = await killed(talk);
		expect(again.classicDescription).toMatchObject({ state: "Stable", generation });
		await talk.consumer("c", 0);
		expect((await killed(talk)).description).toEqual(talk.description);
	});

	test("has nobody told that it is classic again until that is stored", async () => {
		const { talk, disk } = await onDisk();
		const [a] = (await talk.classicGroup(1)) as [string];
		await talk.consumer("c", 0);
		disk.isFull = true;
		expect(await codeOf(talk.consumer("c", -1))).toBe("COORDINATOR_NOT_AVAILABLE");
		disk.isFull = false;
		const { generation } = await talk.join(a, []);
		await talk.sync(a, generation, { [a]: assignment([0, 1, 2, 3]) });
		const again = await killed(talk);
		expect(again.classicDescription).toMatchObject({ state: "Stable", generation });
	});
});
