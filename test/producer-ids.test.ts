import { expect, test } from "vitest";

import { ProducerIds } from "../src/producer-ids.ts";

/** A counter that others raise, too, and that fails when it is told to. */
class Counter {
	producerIdsEnd = 0;
	fails = false;

	async allocateProducerIds(count: number): Promise<number> {
		if (this.fails) throw new Error("no disk");
		this.producerIdsEnd += count;
		return this.producerIdsEnd - count;
	}
}

test("every id is handed out once, however many ask at the same time", async () => {
	const counter = new Counter();
	const [one, other] = [new ProducerIds(counter), new ProducerIds(counter)];
	const asked = Array.from({ length: 2_500 }, (_, index) => (index % 2 === 0 ? one : other).next());
	const ids = await Promise.all(asked);
	expect(new Set(ids).size).toBe(2_500);
	expect(Math.max(...ids)).toBeLessThan(counter.producerIdsEnd);
});

test("a reservation that failed is made again", async () => {
	const counter = new Counter();
	const ids = new ProducerIds(counter);
	counter.fails = true;
	await expect(ids.next()).rejects.toThrow("no disk");
	counter.fails = false;
	expect(await ids.next()).toBe(0);
});

test("what was handed out is known, also before a restart, and nothing else", async () => {
	const counter = new Counter();
	const before = new ProducerIds(counter);
	expect(before.wasHandedOut(0)).toBe(false);
	expect(await before.next()).toBe(0);
	expect([-1, 0, 1, 999, 1_000].map((id) => before.wasHandedOut(id))).toEqual([
		false,
		true,
		false,
		false,
		false,
	]);
	// Which of a block were handed out before the restart, nobody knows any more.
	const after = new ProducerIds(counter);
	expect([0, 999, 1_000].map((id) => after.wasHandedOut(id))).toEqual([true, true, false]);
	expect(await after.next()).toBe(1_000);
	expect([1_000, 1_001, 1_999].map((id) => after.wasHandedOut(id))).toEqual([true, false, false]);
});
