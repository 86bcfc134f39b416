import { defineConfig } from "rolldown";

/**
 * What runs is bundled from what the compiler made: loading a few files takes half as long as
 * loading each module by itself. Dependencies stay packages of their own.
 */
export default defineConfig({
	input: {
		millrace: "./dist/cli/main.js",
		index: "./dist/index.js",
		client: "./dist/client/index.js",
		browser: "./dist/client/browser.js",
		"echo-server": "./dist/bench/harness/echo-server.js",
		"ping-worker": "./dist/bench/harness/ping-worker.js",
	},
	// "#dist/" names modules of ours; what else begins with "#" lies outside of dist.
	external: /^(?!\.|\/|#dist\/)/,
	platform: "neutral",
	output: {
		dir: "dist/bundle",
		cleanDir: true,
		chunkFileNames: "chunks/[name].js",
	},
});
