import { describe, expect, test } from "vitest";

import { WindowedRate } from "../../src/quotas/windowed-rate.ts";

const SECOND = 1_000;
const WINDOW = { samples: 11, sampleMs: SECOND };

describe("a rate", () => {
	test("allows after a silence what the whole window has, and not more", () => {
		const rate = new WindowedRate(WINDOW);
		rate.record(1_000, 0);
		expect(rate.excessMs(100, 0)).toBe(0);
		rate.record(50, 0);
		// 1,050 at 100 a second are 10.5 s, of which 10 s count as gone.
		expect(rate.excessMs(100, 0)).toBe(500);
		expect(rate.excessMs(100, 300)).toBe(200);
		expect(rate.excessMs(100, 500)).toBe(0);
	});

	test("never allows more in the long run", () => {
		const rate = new WindowedRate(WINDOW);
		let nowMs = 0;
		let sent = 0;
		while (sent < 100_000) {
			rate.record(70, nowMs);
			sent += 70;
			nowMs += Math.max(rate.excessMs(100, nowMs), 1);
		}
		const seconds = nowMs / SECOND;
		expect(sent).toBeLessThanOrEqual(100 * (seconds + 11));
		expect(sent).toBeGreaterThan(100 * (seconds - 11));
	});

	test("forgets what is older than the window", () => {
		const rate = new WindowedRate(WINDOW);
		rate.record(1_000_000, 0);
		expect(rate.isIdle(10_999)).toBe(false);
		expect(rate.isIdle(11_000)).toBe(true);
		expect(rate.excessMs(1, 11_000)).toBe(0);
	});

	test("has an unfinished sample alone, where the window has one", () => {
		const rate = new WindowedRate({ samples: 1, sampleMs: SECOND });
		rate.record(100, 0);
		expect(rate.excessMs(100, 0)).toBe(999);
		expect(rate.excessMs(100, 600)).toBe(400);
	});
});
