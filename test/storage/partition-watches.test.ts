import { expect, test } from "vitest";

import { LoopHold } from "../../src/storage/loop-hold.ts";
import { PartitionWatches, type WatchSource } from "../../src/storage/partition-watches.ts";

/** A core whose only partition grows when the test says so. */
function core() {
	const state = { highWatermark: 5, asked: [] as number[], isHeld: false };
	const hold = new LoopHold((isHeld) => {
		expect(isHeld).not.toBe(state.isHeld);
		state.isHeld = isHeld;
	});
	const source: WatchSource = {
		arm(_topic, _partition, offset) {
			if (state.highWatermark > offset) return false;
			state.asked.push(offset);
			return true;
		},
		highWatermark: () => state.highWatermark,
	};
	return { state, watches: new PartitionWatches(source, hold) };
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

test("the event loop is held while anyone waits, and only then", () => {
	const { state, watches } = core();
	const cancel = watches.add(1, 0, 5, () => undefined);
	watches.add(1, 0, 6, () => undefined);
	expect(state.isHeld).toBe(true);
	cancel();
	cancel();
	expect(state.isHeld).toBe(true);
	state.highWatermark = 7;
	watches.advance(1, 0);
	expect(state.isHeld).toBe(false);
	watches.add(1, 0, 7, () => undefined);
	expect(state.isHeld).toBe(true);
});

test("closing wakes everyone, and lets go", () => {
	const { state, watches } = core();
	let woken = 0;
	for (const partition of [0, 1, 1]) watches.add(1, partition, 5, () => woken++);
	watches.close();
	expect(woken).toBe(3);
	expect(state.isHeld).toBe(false);
	watches.advance(1, 0);
	expect(woken).toBe(3);
});

test("who waits for what is there already is woken on a later turn", async () => {
	const { watches } = core();
	let woken = 0;
	watches.add(1, 0, 4, () => woken++);
	expect(woken).toBe(0);
	await expect.poll(() => woken).toBe(1);
});
