import { readFileSync } from "node:fs";
import { defineConfig } from "rolldown";

/** Packages of many files, or of large ones of which we use little, and their licences. */
const BUNDLED = new Map([
	["@valibot/to-json-schema", "node_modules/@valibot/to-json-schema/LICENSE.md"],
	["valibot", "node_modules/valibot/LICENSE.md"],
	["yaml", "node_modules/yaml/LICENSE"],
]);

/**
 * What runs is bundled from what the compiler made: loading a few files takes half as long as
 * loading each module by itself. Dependencies stay packages of their own but for those that take
 * long to load.
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
	external: (id) => !/^(\.|\/|#dist\/)/.test(id) && !BUNDLED.has(id),
	plugins: [
		{
			name: "licences",
			generateBundle() {
				for (const [name, file] of BUNDLED) {
					const source = readFileSync(file, "utf8");
					this.emitFile({
						type: "asset",
						fileName: `licences/${name.replace("/", "-")}.txt`,
						source,
					});
				}
			},
		},
	],
	platform: "neutral",
	output: {
		dir: "dist/bundle",
		cleanDir: true,
		chunkFileNames: "chunks/[name].js",
	},
});
