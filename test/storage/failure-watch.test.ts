import { expect, test } from "vitest";

import { FailureWatch } from "../../src/storage/failure-watch.ts";
import type { StoreStatistics } from "../../src/storage/storage.ts";
import { FakeClock } from "../groups/fake-clock.ts";

test("a failure is told of soon, and what keeps failing once a minute", () => {
	const clock = new FakeClock();
	const counts = { checkpointFailures: 0, hintFailures: 0, damageFailures: 0 };
	const statistics = () => counts as StoreStatistics;
	const told: [number, string][] = [];
	const warn = ({ failures }: { failures: number }, message: string) => {
		told.push([failures, message.split(" ")[0] as string]);
	};
	const watch = new FailureWatch({ statistics }, clock, { warn });
	clock.advance(60_000);
	expect(told).toEqual([]);

	counts.checkpointFailures = 3;
	clock.advance(10_000);
	expect(told.splice(0)).toEqual([[3, "checkpoints"]]);

	for (let second = 0; second < 120; second++) {
		counts.checkpointFailures += 1;
		if (second === 5) counts.damageFailures = 1;
		clock.advance(1_000);
	}
	expect(told.splice(0)).toEqual([
		[1, "damage"],
		[60, "checkpoints"],
		[60, "checkpoints"],
	]);
	clock.advance(300_000);
	expect(told).toEqual([]);

	watch.stop();
	expect(clock.timerCount).toBe(0);
});
