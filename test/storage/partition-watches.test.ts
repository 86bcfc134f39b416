import { expect, test } from "vitest";

import { PartitionWatches } from "../../src/storage/partition-watches.ts";

/** A core whose only partition grows when the test says so. */
function core() {
	const state = { highWatermark: 5, asked: [] as number[] };
	const watches = new PartitionWatches({
		arm(_topic, _partition, offset) {
			if (state.highWatermark > offset) return false;
			state.asked.push(offset);
			return true;
		},
		highWatermark: () => state.highWatermark,
	});
	return { state, watches };
}

test("the core is asked once, however many come and go", () => {
	const { state, watches } = core();
	for (let round = 0; round < 1_000; round++) watches.add(1, 0, 5, () => undefined)();
	let woken = 0;
	watches.add(1, 0, 5, () => woken++);
	expect(state.asked).toEqual([5]);
	state.highWatermark = 6;
	watches.advance(1, 0);
	expect(woken).toBe(1);
});

test("who comes between the event and its arrival is woken by the next one", () => {
	const { state, watches } = core();
	const woken: string[] = [];
	watches.add(1, 0, 5, () => woken.push("early"));
	state.highWatermark = 6;
	watches.add(1, 0, 6, () => woken.push("late"));
	watches.advance(1, 0);
	expect(woken).toEqual(["early"]);
	expect(state.asked).toEqual([5, 6]);
	state.highWatermark = 7;
	watches.advance(1, 0);
	expect(woken).toEqual(["early", "late"]);
});

test("who waits for what is there already is woken on a later turn", async () => {
	const { watches } = core();
	let woken = 0;
	watches.add(1, 0, 4, () => woken++);
	expect(woken).toBe(0);
	await expect.poll(() => woken).toBe(1);
});
