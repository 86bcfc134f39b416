/** Time that stands still while the program works: a test on it takes no time, and has no hurry. */
import { setImmediate as turn } from "node:timers/promises";
import { vi } from "vitest";

/** From now on timers and `performance.now()` are the test's; `vi.useRealTimers()` ends it. */
export function simulateTime(): void {
	const faked = ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] as const;
	vi.useFakeTimers({ toFake: [...faked, "performance"] });
}

/** Lets the clock run whenever the program has come to rest, until `work` is done. */
export async function running<Result>(work: () => Promise<Result>): Promise<Result> {
	let isDone = false;
	const result = work().finally(() => {
		isDone = true;
	});
	while (!isDone) {
		await turn();
		vi.advanceTimersToNextTimer();
	}
	return result;
}

/** Resolves when so much simulated time has passed. */
export const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
