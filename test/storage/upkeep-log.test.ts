import { expect, test } from "vitest";

import type { UpkeepEntry } from "../../src/storage/storage.ts";
import { UpkeepLog } from "../../src/storage/upkeep-log.ts";
import { FakeClock } from "../groups/fake-clock.ts";

test("what the store did by itself is told once, within a second, and at the end", () => {
	const clock = new FakeClock();
	let done: UpkeepEntry[] = [];
	const takeUpkeepReport = () => done.splice(0);
	const told: unknown[] = [];
	const log = new UpkeepLog({ takeUpkeepReport }, clock, {
		info: (details, message) => told.push(["info", details, message]),
		warn: (details, message) => told.push(["warn", details, message]),
	});
	done = [
		{ subject: "orders-0", detail: "offsets 0 to 9 deleted", isWarning: false },
		{ subject: "orders-1", detail: "segments could not be deleted", isWarning: true },
	];
	clock.advance(1_000);
	expect(told.splice(0)).toEqual([
		["info", { subject: "orders-0" }, "offsets 0 to 9 deleted"],
		["warn", { subject: "orders-1" }, "segments could not be deleted"],
	]);
	clock.advance(5_000);
	expect(told).toEqual([]);
	done = [{ subject: "orders-2", detail: "offsets 3 to 4 deleted", isWarning: false }];
	log.stop();
	expect(told).toHaveLength(1);
	expect(clock.timerCount).toBe(0);
});
