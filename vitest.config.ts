import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Measures memory and deadlines of processes, so nothing else runs beside it. */
const MEASURED = ["test/promises/**/*.test.ts", "test/bench/**/*.test.ts"];

export default defineConfig({
	test: {
		reporters: ["default", "./test/reporter.ts"],
		// Generous: two slow cores may build and test at the same time.
		testTimeout: 30_000,
		hookTimeout: 30_000,
		expect: { poll: { timeout: 10_000 } },
		projects: [
			{
				extends: true,
				test: {
					name: "parts",
					include: ["test/**/*.test.ts"],
					exclude: MEASURED,
					// Two even on two cores: what waits for a disk or a timer leaves room for the other.
					maxWorkers: Math.max(2, availableParallelism() - 1),
					sequence: { groupOrder: 0 },
				},
			},
			{
				extends: true,
				test: {
					name: "measured",
					include: MEASURED,
					maxWorkers: 1,
					sequence: { groupOrder: 1 },
				},
			},
		],
	},
});
