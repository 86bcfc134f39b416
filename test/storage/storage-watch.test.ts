import { beforeEach, expect, test } from "vitest";

import type { StoreStatistics, UpkeepEntry } from "../../src/storage/storage.ts";
import { StorageWatch } from "../../src/storage/storage-watch.ts";
import { FakeClock } from "../groups/fake-clock.ts";

let clock: FakeClock;
const NONE = { checkpointFailures: 0, hintFailures: 0, damageFailures: 0, journalFailures: 0 };
const counts = { ...NONE };
let done: UpkeepEntry[];
let told: [level: string, details: object, message: string][];

function startWatch(): StorageWatch {
	const statistics = () => counts as StoreStatistics;
	const takeUpkeepReport = () => done.splice(0);
	return new StorageWatch({ statistics, takeUpkeepReport }, clock, {
		info: (details, message) => told.push(["info", details, message]),
		warn: (details, message) => told.push(["warn", details, message]),
	});
}

beforeEach(() => {
	clock = new FakeClock();
	Object.assign(counts, NONE);
	done = [];
	told = [];
});

test("a failure is told of soon, and what keeps failing once a minute", () => {
	const failures = () =>
		told.splice(0).map(([, details, message]) => [details, message.split(" ")[0]]);
	const watch = startWatch();
	clock.advance(60_000);
	expect(told).toEqual([]);

	counts.checkpointFailures = 3;
	clock.advance(1_000);
	expect(failures()).toEqual([[{ failures: 3 }, "checkpoints"]]);

	for (let second = 0; second < 120; second++) {
		counts.checkpointFailures += 1;
		if (second === 5) counts.damageFailures = 1;
		clock.advance(1_000);
	}
	expect(failures()).toEqual([
		[{ failures: 1 }, "damage"],
		[{ failures: 60 }, "checkpoints"],
		[{ failures: 60 }, "checkpoints"],
	]);
	clock.advance(300_000);
	expect(told).toEqual([]);

	watch.stop();
	expect(clock.timerCount).toBe(0);
});

test("what the store did by itself is told once, within a second, and at the end", () => {
	const watch = startWatch();
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
	watch.stop();
	expect(told).toHaveLength(1);
});
