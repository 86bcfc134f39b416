import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["test/integration/capture/traffic.ts"],
		testTimeout: 120_000,
		hookTimeout: 120_000,
	},
});
