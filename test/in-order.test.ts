import { expect, test } from "vitest";

import { InOrder } from "../src/in-order.ts";
import { nextTurn } from "../src/next-turn.ts";

test("work is done one after the other, also behind what fails", async () => {
	const order = new InOrder();
	const seen: string[] = [];
	const first = order.run(async () => {
		await nextTurn();
		seen.push("first");
		return 1;
	});
	const second = order.run(() => {
		seen.push("second");
		throw new Error("it failed");
	});
	const third = order.run(() => seen.push("third"));
	await expect(second).rejects.toThrow("it failed");
	await order.done();
	expect(seen).toEqual(["first", "second", "third"]);
	expect(await Promise.all([first, third])).toEqual([1, 3]);
});
