import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/**/*.test.ts"],
		reporters: ["default", "./test/reporter.ts"],
		// Generous: two slow cores may build and test at the same time.
		testTimeout: 30_000,
		hookTimeout: 30_000,
		// Some promises are about memory and deadlines of real processes, whose measures a busy machine
		// disturbs. On CI a test may try again; the report names each that did.
		retry: process.env.CI === "true" ? 2 : 0,
	},
});
