/** Looking for old offsets takes turns, and nothing that others do in between is lost. */
import { expect, test } from "vitest";

import { nextTurn } from "../../src/next-turn.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { joinRequest } from "./consumer-requests.ts";
import { FakeClock } from "./fake-clock.ts";
import { commitRequest, type Harness, type HarnessOptions, start } from "./harness.ts";

const HOUR_MS = 3_600_000;
const PARTITIONS = 900;
const options = { offsetsRetentionMinutes: 60, offsetsRetentionCheckIntervalMs: 60_000 };

/** A clock that can be told that every look at it takes a millisecond. */
class SlowClock extends FakeClock {
	isSlow = false;
	#lookedMs = 0;

	override monotonicMs(): number {
		if (this.isSlow) this.#lookedMs++;
		return super.monotonicMs() + this.#lookedMs;
	}
}

/** A broker in the midst of its looking at a group's offsets, all of which are too old. */
async function startInTheMidst(asked: HarnessOptions = {}): Promise<Harness> {
	const clock = new SlowClock();
	const harness = await start({ options, clock, ...asked });
	await harness.catalogue.create({ name: "wide", partitions: PARTITIONS });
	const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({
		...{ partition, offset: 1, leaderEpoch: -1, metadata: null },
	}));
	const topics = [{ topic: "wide", partitions }];
	await harness.coordinator.commitOffsets(commitRequest(0, { topics }));
	clock.advance(HOUR_MS - 30_000);
	expect(offsetsLeft(harness)).toHaveLength(PARTITIONS);
	clock.isSlow = true;
	clock.advance(60_300);
	return harness;
}

function offsetsLeft({ coordinator }: Harness): number[] {
	return coordinator
		.fetchOffsets({ groupId: "g", topics: null })
		.flatMap(({ partitions }) => partitions.map(({ offset }) => offset));
}

test("others have the loop in the midst of a group, and what they commit then stays", async () => {
	const dataDir = temporaryDirectory();
	const harness = await startInTheMidst({ dataDir });
	const { length } = offsetsLeft(harness);
	expect(length).toBeGreaterThan(0);
	expect(length).toBeLessThan(PARTITIONS);
	// The first partition's offset is gone by now.
	const partitions = [{ partition: 0, offset: 7, leaderEpoch: -1, metadata: null }];
	const topics = [{ topic: "wide", partitions }];
	await harness.coordinator.commitOffsets(commitRequest(0, { topics }));
	await expect.poll(() => offsetsLeft(harness)).toEqual([7]);
	await harness.stop();
	expect(harness.complaints).toEqual([]);
	expect(offsetsLeft(await start({ dataDir }))).toEqual([7]);
});

test("what a group has that takes its place in the midst is left to the next round", async () => {
	const harness = await startInTheMidst();
	const { length } = offsetsLeft(harness);
	const join = joinRequest("m", "wide");
	await harness.coordinator.consumerHeartbeat(join);
	for (let turn = 0; turn < 10; turn++) await nextTurn();
	// Somebody reads on from them.
	expect(offsetsLeft(harness)).toHaveLength(length);
	expect(length).toBeGreaterThan(0);
});
