import { expect, test } from "vitest";

import { ToldRarely } from "../src/told-rarely.ts";
import { FakeClock } from "./groups/fake-clock.ts";

test("what happens often is told at once, then once in ten seconds with how often it was", () => {
	const clock = new FakeClock();
	const rarely = new ToldRarely(clock);
	expect(rarely.happened()).toBe(1);
	for (let count = 0; count < 5; count++) expect(rarely.happened()).toBeUndefined();
	clock.advance(9_999);
	expect(rarely.happened()).toBeUndefined();
	clock.advance(1);
	expect(rarely.happened()).toBe(7);
	expect(rarely.happened()).toBeUndefined();
});
