/**
 * Members that do whatever they like, in any order, on a disk that fails now and then: what a group
 * promises holds all the same.
 */
import fc from "fast-check";
import { expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import type { JoinAnswer, SyncAnswer } from "../../src/groups/requests.ts";
import { seed } from "../seed.ts";
import { GroupDriver, type Reply, text } from "./group-host.ts";
import { protocol } from "./harness.ts";

/** One thing that happens; `who` picks among the members that were ever known. */
type Step =
	| { readonly kind: "join"; readonly instance: number; readonly asksFirst: boolean }
	| { readonly kind: "rejoin"; readonly who: number; readonly metadata: number }
	| { readonly kind: "sync" | "heartbeat" | "leave" | "commit"; readonly who: number }
	| { readonly kind: "wait"; readonly ms: number }
	| { readonly kind: "settle"; readonly fails: boolean };

const who = fc.nat({ max: 11 });
const step: fc.Arbitrary<Step> = fc.oneof(
	{
		weight: 3,
		arbitrary: fc.record({
			kind: fc.constant("join"),
			instance: fc.integer({ min: -2, max: 2 }),
			asksFirst: fc.boolean(),
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({ kind: fc.constant("rejoin"), who, metadata: fc.nat({ max: 2 }) }),
	},
	{ weight: 5, arbitrary: fc.record({ kind: fc.constant("sync"), who }) },
	{ weight: 3, arbitrary: fc.record({ kind: fc.constant("heartbeat"), who }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("leave"), who }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("commit"), who }) },
	{
		weight: 3,
		arbitrary: fc.record({
			kind: fc.constant("wait"),
			ms: fc.constantFrom(50, 3_000, 11_000, 31_000),
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({
			kind: fc.constant("settle"),
			fails: fc.nat({ max: 9 }).map((n) => n === 0),
		}),
	},
) as fc.Arbitrary<Step>;

/** A member as its client knows it. */
interface Client {
	readonly instance: string | null;
	memberId: string;
	generation: number;
	/** Whether its last join said that it leads, and whom it may assign to. */
	leads: boolean;
	others: readonly string[];
}

class World {
	readonly driver: GroupDriver;
	readonly clients: Client[] = [];
	readonly joins: { client: Client; reply: Reply<JoinAnswer> }[] = [];
	readonly syncs: { client: Client; generation: number; reply: Reply<SyncAnswer> }[] = [];
	/** What members were told of a generation; everybody must be told the same. */
	readonly generations = new Map<number, { leader: string; protocolName: string | null }>();
	/** Who was told to be a member of a generation. */
	readonly rosters = new Map<number, Set<string>>();
	readonly assigned = new Map<string, string>();

	constructor(initialRebalanceDelayMs: number) {
		this.driver = new GroupDriver({ initialRebalanceDelayMs, membersMax: 8 });
	}

	run(next: Step): void {
		if (next.kind === "join") this.#join(next.instance, next.asksFirst);
		else if (next.kind === "wait") this.driver.host.clock.advance(next.ms);
		else if (next.kind === "settle") {
			this.driver.host.settle(next.fails ? new MillraceError("DISK_FULL") : undefined);
		} else {
			const client = this.clients[next.who % Math.max(this.clients.length, 1)];
			if (client !== undefined) this.#act(client, next);
		}
	}

	#join(instance: number, asksFirst: boolean): void {
		const groupInstanceId = instance > 0 ? `i${instance}` : null;
		const client = {
			instance: groupInstanceId,
			memberId: "",
			generation: -1,
			leads: false,
			others: [],
		};
		this.clients.push(client);
		const request = { groupInstanceId, requiresKnownMemberId: asksFirst };
		this.joins.push({ client, reply: this.driver.join(request) });
	}

	#act(client: Client, next: Step): void {
		const { memberId, instance, generation } = client;
		switch (next.kind) {
			case "rejoin": {
				const protocols = [protocol("roundrobin", `${next.metadata}`)];
				const request = { memberId, groupInstanceId: instance, protocols };
				this.joins.push({ client, reply: this.driver.join(request) });
				return;
			}
			case "sync": {
				const assignments: Record<string, string> = {};
				for (const each of client.leads ? client.others : []) {
					assignments[each] = `${generation}/${each}`;
				}
				const reply = this.driver.sync(memberId, generation, assignments, {
					groupInstanceId: instance,
				});
				this.syncs.push({ client, generation, reply });
				return;
			}
			case "heartbeat":
				this.#checkGeneration(this.driver.heartbeat(memberId, generation, instance), generation);
				return;
			case "commit":
				// Of nobody's: an empty group takes it.
				if (generation < 0) return;
				this.#checkGeneration(this.driver.commit(memberId, generation, instance), generation);
				return;
			case "leave":
				this.driver.group.leave([{ memberId, groupInstanceId: instance, reason: null }]);
		}
	}

	/** Nobody of an old generation gets anything done. */
	#checkGeneration(code: string, generation: number): void {
		const present = this.driver.group.describe().generation;
		if (generation !== present) expect(code).not.toBe("NONE");
	}

	/** Takes in the answers that have come, as their clients would. */
	takeAnswers(): void {
		for (const { client, reply } of this.joins) {
			expect(reply.count).toBeLessThanOrEqual(1);
			if (reply.count === 0) continue;
			if (reply.error !== undefined) client.memberId = reply.memberId ?? client.memberId;
			else this.#takeGeneration(client, reply.value);
		}
		retain(this.joins, ({ reply }) => reply.count === 0);
		for (const { client, generation, reply } of this.syncs) {
			expect(reply.count).toBeLessThanOrEqual(1);
			const assignment = reply.answer?.assignment;
			if (assignment === undefined || assignment.length === 0) continue;
			// Whatever happens, an assignment is one that the leader of that generation made.
			expect(text(assignment).startsWith(`${generation}/`), client.memberId).toBe(true);
		}
		retain(this.syncs, ({ reply }) => reply.count === 0);
	}

	#takeGeneration(client: Client, answer: JoinAnswer): void {
		const { memberId, generation, leader, protocolName, members, skipAssignment } = answer;
		client.memberId = memberId;
		client.generation = generation;
		client.leads = leader === memberId && !skipAssignment;
		client.others = members.map((member) => member.memberId);
		const known = this.generations.get(generation);
		// Static members change their ids within a generation, the leader's among them.
		if (known === undefined) this.generations.set(generation, { leader, protocolName });
		else expect(protocolName).toBe(known.protocolName);
		if (known !== undefined && client.instance === null && !leader.startsWith("i")) {
			expect(leader).toBe(known.leader);
		}
		if (leader === memberId) expect(client.others).toContain(memberId);
		else expect(members).toEqual([]);
	}

	check(): void {
		const { leader, members, state } = this.driver.group.describe();
		const ids = members.map(({ memberId }) => memberId);
		expect(new Set(ids).size).toBe(ids.length);
		if (ids.length === 0) expect(leader).toBeNull();
		else expect(ids).toContain(leader);
		expect(state === "Empty", state).toBe(ids.length === 0 && state !== "PreparingRebalance");
		const instances = members.flatMap(({ groupInstanceId }) => groupInstanceId ?? []);
		expect(new Set(instances).size).toBe(instances.length);
		expect(ids.length).toBeLessThanOrEqual(8 + 2);
	}
}

function retain<Item>(list: Item[], keeps: (item: Item) => boolean): void {
	list.splice(0, list.length, ...list.filter(keeps));
}

test("members get generations in order, one leader each, and an answer to everything", () => {
	fc.assert(
		fc.property(
			fc.constantFrom(0, 3_000),
			fc.array(step, { minLength: 1, maxLength: 60 }),
			(delayMs, steps) => {
				const world = new World(delayMs);
				let generation = 0;
				for (const next of steps) {
					world.run(next);
					world.takeAnswers();
					world.check();
					const present = world.driver.group.describe().generation;
					expect(present).toBeGreaterThanOrEqual(generation);
					generation = present;
				}
				// Left alone, with a disk that works, a group lets nobody wait for ever.
				for (let round = 0; round < 12; round++) {
					world.driver.host.clock.advance(100_000);
					world.driver.host.settle();
				}
				world.takeAnswers();
				expect({ joins: world.joins.length, syncs: world.syncs.length }).toEqual({
					joins: 0,
					syncs: 0,
				});
				expect(world.driver.group.describe().members).toEqual([]);
				world.driver.group.retire();
				expect(world.driver.host.budget.bytes).toBe(0);
				expect(world.driver.host.clock.timerCount).toBe(0);
			},
		),
		{ seed, numRuns: 500 },
	);
});
