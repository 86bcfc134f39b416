import { expect, test } from "vitest";

import { ClientWatch } from "../../src/monitoring/client-watch.ts";

const FINE = { unreadSinceMs: undefined, unaskedSinceMs: undefined, lagRecords: 0 };

test("who reads and asks is not slow, however far behind", () => {
	const watch = new ClientWatch();
	for (let nowMs = 0; nowMs < 60_000; nowMs += 2_000) {
		watch.look(nowMs, { ...FINE, lagRecords: 1_000_000 - nowMs });
		expect(watch.slowness).toBeNull();
	}
	expect(watch.lagRecords).toBeGreaterThan(900_000);
});

test("who takes nothing for two seconds is not reading, whatever else", () => {
	const watch = new ClientWatch();
	watch.look(1_999, { unreadSinceMs: 0, unaskedSinceMs: 0, lagRecords: 5 });
	expect(watch.slowness).toBeNull();
	watch.look(4_000, { unreadSinceMs: 0, unaskedSinceMs: 0, lagRecords: 5 });
	expect(watch.slowness).toEqual({ reason: "not_reading", sinceMs: 0 });
	watch.look(6_000, FINE);
	expect(watch.slowness).toBeNull();
});

test("who asks for nothing is slow from when there was something to ask for", () => {
	const watch = new ClientWatch();
	watch.look(90_000, { ...FINE, unaskedSinceMs: 1_000 });
	watch.look(92_000, { ...FINE, unaskedSinceMs: 1_000, lagRecords: 1 });
	expect(watch.slowness).toBeNull();
	watch.look(94_000, { ...FINE, unaskedSinceMs: 1_000, lagRecords: 1 });
	expect(watch.slowness).toEqual({ reason: "not_asking", sinceMs: 92_000 });
});

test("a lag that grows for ten seconds is falling behind, and one that does not is none", () => {
	const watch = new ClientWatch();
	const look = (nowMs: number, lagRecords: number) => {
		watch.look(nowMs, { ...FINE, lagRecords });
		return watch.slowness;
	};
	expect(look(0, 5_000)).toBeNull();
	expect(look(2_000, 4_000)).toBeNull();
	expect(look(8_000, 9_000)).toBeNull();
	// Within what says nothing: a tenth.
	expect(look(12_000, 4_400)).toBeNull();
	expect(look(14_000, 9_000)).toEqual({ reason: "falling_behind", sinceMs: 2_000 });
	expect(look(16_000, 3_000)).toBeNull();
});
