import { expect, test } from "vitest";

import { TICK_MS, Timers } from "../../src/groups/timers.ts";
import { FakeClock } from "./fake-clock.ts";

test("a deadline comes once, not early, and at most a tick late", () => {
	const clock = new FakeClock();
	const timers = new Timers(clock);
	const firedMs: number[] = [];
	const deadline = timers.deadline(() => firedMs.push(clock.monotonicMs()));
	for (const delayMs of [0, 1, 99, 100, 101, 5_000, 102_400, 1_800_000]) {
		const dueMs = clock.monotonicMs() + delayMs;
		deadline.set(delayMs);
		expect(deadline.isSet).toBe(true);
		clock.advance(delayMs + TICK_MS);
		expect(firedMs).toHaveLength(1);
		const [atMs = 0] = firedMs.splice(0);
		expect(atMs).toBeGreaterThanOrEqual(dueMs);
		expect(atMs).toBeLessThanOrEqual(dueMs + TICK_MS);
		expect(deadline.isSet).toBe(false);
		expect(clock.timerCount).toBe(0);
		clock.advance(37);
	}
});

test("heartbeats plan no timers, and a session that gets them does not end", () => {
	const clock = new FakeClock();
	const timers = new Timers(clock);
	let expired = 0;
	const sessions = Array.from({ length: 1_000 }, () => timers.deadline(() => expired++));
	for (const session of sessions) session.set(45_000);
	const before = clock.plannedCount;
	// An hour of heartbeats, every three seconds.
	for (let round = 0; round < 1_200; round++) {
		clock.advance(3_000);
		for (const session of sessions) session.set(45_000);
	}
	expect(expired).toBe(0);
	expect(clock.plannedCount - before).toBeLessThan(3_000);
	clock.advance(45_000 + TICK_MS);
	expect(expired).toBe(1_000);
});

test("what is cleared or moved forward does as it was told last", () => {
	const clock = new FakeClock();
	const timers = new Timers(clock);
	const fired: string[] = [];
	const cleared = timers.deadline(() => fired.push("cleared"));
	const earlier = timers.deadline(() => fired.push("earlier"));
	const again = timers.deadline(() => {
		fired.push("again");
		if (fired.length < 4) again.set(1_000);
	});
	cleared.set(500);
	earlier.set(60_000);
	earlier.set(200);
	again.set(1_000);
	cleared.clear();
	clock.advance(10_000);
	expect(fired).toEqual(["earlier", "again", "again", "again"]);
	timers.close();
	again.set(1);
	clock.advance(1_000);
	expect(fired).toHaveLength(4);
});

test("after a long sleep everything that is due comes, and nothing else", () => {
	const clock = new FakeClock();
	const timers = new Timers(clock);
	let due = 0;
	let later = 0;
	timers.deadline(() => due++).set(30_000);
	clock.advance(20_000);
	timers.deadline(() => later++).set(10_000_000);
	clock.advance(500_000);
	expect({ due, later }).toEqual({ due: 1, later: 0 });
	clock.advance(9_500_000 + TICK_MS);
	expect(later).toBe(1);
});
