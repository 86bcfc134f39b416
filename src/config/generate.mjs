// Writes docs/configuration.md from the tables of options, as they were compiled last. `node
// src/config/generate.mjs --check` changes nothing and exits 1 when the page is stale.
import { readFileSync, writeFileSync } from "node:fs";
import { configurationPage } from "../../dist/config/page.js";

const page = new URL("../../docs/configuration.md", import.meta.url);
const content = configurationPage();
if (!process.argv.includes("--check")) {
	writeFileSync(page, content);
} else if (readFileSync(page, "utf8") !== content) {
	process.stderr.write("docs/configuration.md is stale: npm run compile && npm run generate\n");
	process.exitCode = 1;
}
