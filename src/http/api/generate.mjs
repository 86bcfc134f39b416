// Writes docs/openapi.json from the tables of the HTTP API, as they were compiled last. `node
// src/http/api/generate.mjs --check` changes nothing and exits 1 when the file is stale.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { openApiText } from "../../../dist/http/api/openapi.js";

const file = new URL("../../../docs/openapi.json", import.meta.url);
const content = openApiText();
if (!process.argv.includes("--check")) {
	writeFileSync(file, content);
} else if (!existsSync(file) || readFileSync(file, "utf8") !== content) {
	process.stderr.write("docs/openapi.json is stale: npm run compile && npm run generate\n");
	process.exitCode = 1;
}
