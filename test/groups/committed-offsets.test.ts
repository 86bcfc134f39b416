import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
	type CommittedOffset,
	CommittedOffsets,
	costOf,
	StateBudget,
} from "../../src/groups/offsets/committed-offsets.ts";
import { seed } from "../seed.ts";

interface UnderWay {
	readonly partition: number;
	readonly offset: CommittedOffset;
	isRemoved: boolean;
	readonly end: (fails: boolean) => void;
}

const offsetAt = (offset: number, metadata = ""): CommittedOffset => ({
	offset,
	leaderEpoch: -1,
	metadata,
	commitMs: 0,
	expireMs: -1,
	topicId: "00000000-0000-0000-0000-000000000000",
});

function offsets() {
	const budget = new StateBudget(1_000_000);
	return { budget, offsets: new CommittedOffsets(budget) };
}

describe("a commit that is not durable", () => {
	test("is the latest, and is not shown", () => {
		const { offsets: of } = offsets();
		of.restore("t", 0, offsetAt(1));
		const second = of.stage("t", 0, offsetAt(2));
		const third = of.stage("t", 0, offsetAt(3));
		expect([...of.latest()].map(([, , { offset }]) => offset)).toEqual([3]);
		expect(of.get("t", 0)?.offset).toBe(1);
		second.settle();
		expect(of.get("t", 0)?.offset).toBe(2);
		third.settle();
		expect(of.get("t", 0)?.offset).toBe(3);
	});

	test("leaves what was before when it fails", () => {
		const { offsets: of } = offsets();
		const first = of.stage("t", 0, offsetAt(1));
		const second = of.stage("t", 0, offsetAt(2));
		second.revert();
		expect(of.has("t", 0)).toBe(true);
		first.settle();
		expect(of.get("t", 0)?.offset).toBe(1);
		of.stage("t", 1, offsetAt(1)).revert();
		expect(of.has("t", 1)).toBe(false);
	});

	test("does not bring back what was removed meanwhile", () => {
		const { offsets: of, budget } = offsets();
		const staged = of.stage("t", 0, offsetAt(1));
		of.remove("t", 0);
		const again = of.stage("t", 0, offsetAt(9));
		staged.settle();
		expect(of.get("t", 0)).toBeNull();
		again.settle();
		expect(of.get("t", 0)?.offset).toBe(9);
		of.clear();
		expect(budget.bytes).toBe(0);
	});
});

test("whatever happens, the last durable commit is shown and nothing miscounted", () => {
	const step = fc.record({
		kind: fc.constantFrom("stage", "stage", "stage", "settle", "settle", "revert", "remove"),
		partition: fc.nat({ max: 2 }),
		metadata: fc.constantFrom("", "x", "x".repeat(50)),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
			const { offsets: of, budget } = offsets();
			/** What is under way, in the order of the log, as appends end in that order. */
			const underWay: UnderWay[] = [];
			const durable = new Map<number, CommittedOffset>();
			for (const [index, { kind, partition, metadata }] of steps.entries()) {
				if (kind === "stage") {
					const offset = offsetAt(index, metadata);
					const staged = of.stage("t", partition, offset);
					const end = (fails: boolean) => (fails ? staged.revert() : staged.settle());
					underWay.push({ partition, offset, isRemoved: false, end });
				} else if (kind === "remove") {
					of.remove("t", partition);
					durable.delete(partition);
					for (const each of underWay) if (each.partition === partition) each.isRemoved = true;
				} else {
					const next = underWay.shift();
					next?.end(kind === "revert");
					if (next !== undefined && kind === "settle" && !next.isRemoved) {
						durable.set(next.partition, next.offset);
					}
				}
				const shown = new Map(of.of("t"));
				expect(shown).toEqual(durable);
				const waiting = underWay.filter(({ isRemoved }) => !isRemoved);
				const known = new Set([...durable.keys(), ...waiting.map((each) => each.partition)]);
				expect(of.count).toBe(known.size);
				expect(of.metadataCharacters).toBe(
					[...durable.values()].reduce((sum, each) => sum + each.metadata.length, 0),
				);
			}
			for (const { end } of underWay) end(false);
			const costs = [...of.latest()].reduce((sum, [, , offset]) => sum + costOf(offset), 0);
			expect(budget.bytes - costs).toBe(of.count === 0 ? 0 : 401);
			of.clear();
			expect(budget.bytes).toBe(0);
		}),
		{ seed, numRuns: 2_000 },
	);
});
