import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
	type Assignment,
	NO_PARTITIONS,
	partitionCount,
} from "../../src/groups/consumer/assignment.ts";
import {
	ASSIGNORS,
	type AssignableMember,
	type Assignor,
	range,
	uniform,
} from "../../src/groups/consumer/assignors.ts";
import { seed } from "../seed.ts";

type Topics = ReadonlyMap<string, number>;

function member(memberId: string, topics: Topics, current = NO_PARTITIONS): AssignableMember {
	return { memberId, instanceId: null, topics, current };
}

const of = (topicId: string, ...partitions: number[]): Assignment =>
	new Map([[topicId, partitions]]);

const shown = (assignments: readonly Assignment[]) =>
	assignments.map((assignment) => Object.fromEntries(assignment));

/** The members with what they were assigned. */
function assigned(assignor: Assignor, members: readonly AssignableMember[]): AssignableMember[] {
	const assignments = assignor(members);
	return members.map((each, index) => ({ ...each, current: assignments[index]! }));
}

/** Partitions that somebody had and somebody else has now. */
function moved(before: readonly AssignableMember[], after: readonly AssignableMember[]): number {
	const owners = ownersOf(before);
	let count = 0;
	for (const [key, owner] of ownersOf(after)) {
		const previous = owners.get(key);
		if (previous !== undefined && previous !== owner) count++;
	}
	return count;
}

/** Fails when a partition has two. */
function ownersOf(members: readonly AssignableMember[]): Map<string, string> {
	const owners = new Map<string, string>();
	for (const { memberId, current } of members) {
		for (const [topicId, partitions] of current) {
			expect([...partitions]).toEqual([...partitions].sort((left, right) => left - right));
			for (const partition of partitions) {
				const key = `${topicId}/${partition}`;
				expect(owners.has(key), `${key} has two owners`).toBe(false);
				owners.set(key, memberId);
			}
		}
	}
	return owners;
}

/** Every partition of a topic that anybody wants is with somebody who wants it. */
function expectComplete(members: readonly AssignableMember[]): void {
	const owners = ownersOf(members);
	const wanted = new Map<string, Set<string>>();
	for (const { memberId, topics } of members) {
		for (const [topicId, count] of topics) {
			for (let partition = 0; partition < count; partition++) {
				const key = `${topicId}/${partition}`;
				wanted.set(key, (wanted.get(key) ?? new Set()).add(memberId));
			}
		}
	}
	expect(owners.size).toBe(wanted.size);
	for (const [key, owner] of owners) expect(wanted.get(key)?.has(owner), key).toBe(true);
}

const loadsOf = (members: readonly AssignableMember[]) =>
	members.map(({ current }) => partitionCount(current));

const spread = (numbers: readonly number[]) => Math.max(...numbers) - Math.min(...numbers);

describe("uniform", () => {
	test("deals topics out in turns, so that each is read by many", () => {
		const topics = new Map([
			["t", 3],
			["u", 3],
		]);
		const members = ["a", "b", "c"].map((id) => member(id, topics));
		expect(shown(uniform(members))).toEqual([
			{ t: [0], u: [0] },
			{ t: [1], u: [1] },
			{ t: [2], u: [2] },
		]);
	});

	test("a member that joins takes its share and nothing else moves", () => {
		const topics = new Map([["t", 7]]);
		const two = assigned(uniform, [member("a", topics), member("b", topics)]);
		expect(loadsOf(two)).toEqual([4, 3]);
		const three = assigned(uniform, [...two, member("c", topics)]);
		expect(loadsOf(three)).toEqual([3, 2, 2]);
		expect(moved(two, three)).toBe(2);
	});

	test("who has what it had gets the same object", () => {
		const topics = new Map([["t", 4]]);
		const before = assigned(uniform, [member("a", topics), member("b", topics)]);
		expect(uniform(before)[0]).toBe(before[0]!.current);
	});

	test("whoever can read only one topic is considered first", () => {
		const both = new Map([
			["t", 2],
			["u", 4],
		]);
		const only = new Map([["t", 2]]);
		const members = assigned(uniform, [member("a", both), member("b", only)]);
		expect(shown(members.map(({ current }) => current))).toEqual([
			{ u: [0, 1, 2, 3] },
			{ t: [0, 1] },
		]);
	});

	test("nobody subscribes, or to nothing", () => {
		expect(uniform([])).toEqual([]);
		expect(shown(uniform([member("a", new Map())]))).toEqual([{}]);
		expect(shown(uniform([member("a", new Map(), of("gone", 0))]))).toEqual([{}]);
	});
});

describe("range", () => {
	test("gives ranges of each topic, the first members one more", () => {
		const topics = new Map([
			["t", 5],
			["u", 3],
		]);
		const members = ["b", "a"].map((id) => member(id, topics));
		expect(shown(range(members))).toEqual([
			{ t: [3, 4], u: [2] },
			{ t: [0, 1, 2], u: [0, 1] },
		]);
	});

	test("topics with as many partitions stay together while members come and go", () => {
		const topics = new Map([
			["t", 6],
			["u", 6],
		]);
		let members = assigned(range, [member("a", topics), member("b", topics)]);
		for (const change of ["+c", "+d", "-a", "+e", "-c"]) {
			const id = change.slice(1);
			const next = change.startsWith("+")
				? [...members, member(id, topics)]
				: members.filter(({ memberId }) => memberId !== id);
			members = assigned(range, next);
			expectComplete(members);
			for (const { current } of members) expect(current.get("t")).toEqual(current.get("u"));
		}
	});

	test("a topic that is new is dealt out as the ones like it are", () => {
		const before = assigned(
			range,
			["a", "b"].map((id) => member(id, new Map([["t", 4]]))),
		);
		const topics = new Map([
			["new", 4],
			["t", 4],
		]);
		const after = assigned(
			range,
			before.map((each) => ({ ...each, topics })),
		);
		expect(moved(before, after)).toBe(0);
		for (const { current } of after) expect(current.get("new")).toEqual(current.get("t"));
	});

	test("a static member that comes back under another id keeps its place", () => {
		const topics = new Map([["t", 4]]);
		const before = range([
			{ ...member("z", topics), instanceId: "first" },
			{ ...member("y", topics), instanceId: "second" },
		]);
		const after = range([
			{ ...member("a", topics), instanceId: "second", current: before[1]! },
			{ ...member("z", topics), instanceId: "first", current: before[0]! },
		]);
		expect(shown(after)).toEqual([{ t: [2, 3] }, { t: [0, 1] }]);
	});
});

/** A group that lives: what it subscribes to, and what happens to it. */
const topicSets = fc.array(
	fc.dictionary(fc.constantFrom("t", "u", "v", "w", "x"), fc.integer({ min: 1, max: 9 }), {
		noNullPrototype: true,
	}),
	{ minLength: 1, maxLength: 3 },
);
const events = fc.array(
	fc.oneof(
		fc.record({ kind: fc.constant("join" as const), set: fc.nat({ max: 2 }) }),
		fc.record({ kind: fc.constant("leave" as const), who: fc.nat({ max: 9 }) }),
		fc.record({ kind: fc.constant("grow" as const), topic: fc.constantFrom("t", "u", "v") }),
	),
	{ maxLength: 20 },
);
const parameters = { seed, numRuns: 300 };

describe.each(["uniform", "range"] as const)("%s, whatever happens to the group", (name) => {
	test("every partition is with one member that wants it", () => {
		const property = fc.property(topicSets, events, (dictionaries, list) => {
			// The same topic has as many partitions in every subscription.
			const counts = new Map(dictionaries.flatMap((each) => Object.entries(each)));
			let sets: Topics[] = dictionaries.map(
				(each) => new Map(Object.keys(each).map((topic) => [topic, counts.get(topic)!])),
			);
			let members: { member: AssignableMember; set: number }[] = [];
			let joined = 0;
			for (const event of list) {
				if (event.kind === "join") {
					const set = event.set % sets.length;
					members.push({ member: member(`m${joined++}`, sets[set]!), set });
				} else if (event.kind === "leave") {
					members = members.filter((_, index) => index !== event.who);
				} else {
					sets = sets.map(
						(topics) =>
							new Map(
								Array.from(topics, ([id, count]) => [id, id === event.topic ? count + 2 : count]),
							),
					);
				}
				const before = members.map((each) => ({ ...each.member, topics: sets[each.set]! }));
				const after = assigned(ASSIGNORS[name], before);
				expectComplete(after);
				members = members.map(({ set }, index) => ({ set, member: after[index]! }));
			}
		});
		fc.assert(property, parameters);
	});
});

describe("uniform, when all subscribe to the same", () => {
	test("loads differ by one at most, and no more moves than has to", () => {
		const property = fc.property(
			fc.dictionary(fc.constantFrom("t", "u", "v"), fc.integer({ min: 1, max: 12 }), {
				minKeys: 1,
				noNullPrototype: true,
			}),
			events,
			(dictionary, list) => {
				const topics = new Map(Object.entries(dictionary));
				const total = [...topics.values()].reduce((sum, count) => sum + count, 0);
				let members: AssignableMember[] = [];
				let joined = 0;
				for (const event of list) {
					if (event.kind === "join") members.push(member(`m${joined++}`, topics));
					else if (event.kind === "leave") members.splice(event.who, 1);
					if (members.length === 0) continue;
					const after = assigned(uniform, members);
					expect(spread(loadsOf(after))).toBeLessThanOrEqual(1);
					// Nobody keeps less than it had unless it has all that it should.
					const least = Math.floor(total / members.length);
					const extra = total % members.length;
					const had = loadsOf(members).sort((left, right) => right - left);
					const kept = had.reduce(
						(sum, load, index) => sum + Math.min(load, least + (index < extra ? 1 : 0)),
						0,
					);
					const heldBefore = had.reduce((sum, load) => sum + load, 0);
					expect(moved(members, after)).toBe(heldBefore - kept);
					members = after;
				}
			},
		);
		fc.assert(property, parameters);
	});
});

describe("uniform, when members subscribe to different topics", () => {
	test("no single partition could be moved to make it more even", () => {
		const property = fc.property(topicSets, events, (dictionaries, list) => {
			const counts = new Map(dictionaries.flatMap((each) => Object.entries(each)));
			const sets = dictionaries.map(
				(each) => new Map(Object.keys(each).map((topic) => [topic, counts.get(topic)!])),
			);
			let members: AssignableMember[] = [];
			let joined = 0;
			for (const event of list) {
				if (event.kind === "join") {
					members.push(member(`m${joined++}`, sets[event.set % sets.length]!));
				} else if (event.kind === "leave") members.splice(event.who, 1);
				members = assigned(uniform, members);
				const loads = loadsOf(members);
				for (const [from, { current }] of members.entries()) {
					for (const [to, { topics }] of members.entries()) {
						const shares = [...current.keys()].some((topicId) => topics.has(topicId));
						if (shares) expect(loads[from]! - loads[to]!).toBeLessThanOrEqual(1);
					}
				}
			}
		});
		fc.assert(property, parameters);
	});
});

describe("size", () => {
	test("10,000 partitions are divided among 1,000 members without holding the loop up", () => {
		const topics = new Map(Array.from({ length: 100 }, (_, index) => [`t${index}`, 100]));
		let members = Array.from({ length: 999 }, (_, index) => member(`m${index}`, topics));
		members = assigned(uniform, members);
		const start = process.cpuUsage();
		members = assigned(uniform, [...members, member("late", topics)]);
		const { user } = process.cpuUsage(start);
		expect(loadsOf(members).every((load) => load === 10)).toBe(true);
		// It takes 5 ms of CPU time, and a quadratic one would take a second.
		expect(user / 1_000).toBeLessThan(500);
	});
});
