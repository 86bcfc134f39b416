import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { readPeersResults, readResults, renderDocument } from "../../bench/document.ts";

const rootDirectory = fileURLToPath(new URL("../..", import.meta.url));

test("docs/benchmarks.md is what the results in bench/results say", () => {
	const directory = `${rootDirectory}/bench/results`;
	const page = renderDocument(readResults(directory), readPeersResults(directory));
	expect(readFileSync(`${rootDirectory}/docs/benchmarks.md`, "utf8")).toBe(page);
});
