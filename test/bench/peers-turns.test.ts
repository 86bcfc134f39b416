import { expect, test } from "vitest";

import type { PeerGroup, PeerScenario } from "../../bench/peers/contender.ts";
import type { ContenderRounds, PeerRound } from "../../bench/peers/results.ts";
import { Settling } from "../../bench/peers/settling.ts";
import {
	addUncounted,
	describeLeft,
	inTurns,
	type Turn,
	turnsOf,
} from "../../bench/peers/turns.ts";

const NEVER_RUN = { roundsOf: () => 0 };
const EVERY = { isChosen: () => true, rounds: 2 };

function groupOf(...names: string[]): PeerGroup {
	const scenarios = names.map((name) => ({ name }) as PeerScenario);
	return { peer: "kafka", scenarios, start: () => Promise.reject(new Error("is not started")) };
}

/** What a round cost Millrace and a peer; null where the system does not tell. */
function costing(...costs: (number | null)[]): ContenderRounds[] {
	return costs.map((cost, index) => {
		const broker = cost === null ? null : { cpu_seconds_per_gib: cost };
		const contender = index === 0 ? "millrace" : "kafka";
		return { contender, rounds: [{ broker } as PeerRound] };
	});
}

function settledAfter(...rounds: ContenderRounds[][]): number | null {
	const settling = new Settling();
	for (const [index, round] of rounds.entries()) {
		settling.add("a", round);
		if (settling.isSettled("a")) return index + 1;
	}
	return null;
}

/** As a log of what is run: counted ones have a plain number. */
function told(turns: readonly Turn[]): string[] {
	return turns.map(({ scenario: { name }, round, isCounted }) =>
		isCounted ? `${name}${round}` : `(${name}${round})`,
	);
}

test("rounds are counted once the cost of none falls by more than a tenth", () => {
	expect(settledAfter(costing(1, 2.4), costing(1, 2.2))).toBe(2);
	expect(settledAfter(costing(1, 2.4), costing(1, 1.6), costing(1, 1.4), costing(1, 1.3))).toBe(4);
	expect(settledAfter(costing(1, 2), costing(0.8, 2), costing(0.8, 2))).toBe(3);
});

test("a disturbed round in between is not what the next one is held against", () => {
	expect(settledAfter(costing(1, 3), costing(1, 2), costing(3, 2), costing(1, 2))).toBe(3);
	const settling = new Settling();
	for (const cost of [3, 2, 1, 4, 1]) settling.add("a", costing(cost));
	expect(settling.isSettled("a")).toBe(true);
});

test("rounds are counted after six at the latest, and never after one", () => {
	const falling = [64, 32, 16, 8, 4, 2, 1].map((cost) => costing(1, cost));
	expect(settledAfter(...falling)).toBe(6);
	expect(settledAfter(costing(1, 1))).toBeNull();
	expect(settledAfter(costing(null, null), costing(null, null))).toBe(2);
});

test("uncounted rounds come first, and as many more as a scenario needs", () => {
	const left = turnsOf(groupOf("a", "b"), EVERY, NEVER_RUN);
	expect(told(left)).toEqual(["(a1)", "(b1)", "(a2)", "(b2)", "a1", "b1", "a2", "b2"]);

	const settling = new Settling();
	const costs: Record<string, number[]> = { a: [1, 1], b: [4, 3, 2, 2] };
	const done: Turn[] = [];
	for (let turn = left.shift(); turn !== undefined; turn = left.shift()) {
		done.push(turn);
		if (turn.isCounted) continue;
		const { name } = turn.scenario;
		settling.add(name, costing(1, costs[name]?.[turn.round - 1] ?? 0));
		addUncounted(left, turn, settling);
	}
	expect(told(done)).toEqual([
		...["(a1)", "(b1)", "(a2)", "(b2)", "(b3)", "(b4)"],
		...["a1", "b1", "a2", "b2"],
	]);
	expect([settling.roundsOf("a"), settling.roundsOf("b")]).toEqual([2, 4]);
});

test("what has its rounds is left out, and a single round has none before it", () => {
	const results = { roundsOf: (name: string) => (name === "a" ? 2 : 1) };
	expect(told(turnsOf(groupOf("a", "b"), EVERY, results))).toEqual(["(b1)", "(b2)", "b2"]);
	expect(told(turnsOf(groupOf("a"), { ...EVERY, rounds: 1 }, NEVER_RUN))).toEqual(["a1"]);
});

test("nobody is first in every round", () => {
	expect([1, 2, 3].map((round) => inTurns(["m", "k", "n"], round).join(""))).toEqual([
		...["mkn", "nkm", "mkn"],
	]);
});

test("what is left is told by what the same scenarios took, or guessed", () => {
	const turns = turnsOf(groupOf("a", "b"), { ...EVERY, rounds: 1 }, NEVER_RUN);
	expect(describeLeft(turns, new Map([["a", 20]]), 2)).toBe("about 30 s left");
});
