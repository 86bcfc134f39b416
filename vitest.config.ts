import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		reporters: ["default", "./test/reporter.ts"],
		// Generous: two slow cores may build and test at the same time.
		testTimeout: 30_000,
		hookTimeout: 30_000,
	},
});
