/**
 * Views of mapped memory and their lifetimes, on every Node that Millrace supports: the programs in
 * `lifetimes/` each run in a process of their own, where a mistake would be a signal.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, test } from "vitest";

import { temporaryDirectory } from "../broker-process.ts";
import { missingNode, NODE_MAJORS, nodeBinary } from "../optional-parts.ts";

/** What takes so long hangs, in milliseconds: it is told what it was. */
const HUNG_MS = 600_000;

const PROGRAMS = [
	"idle",
	"overlapping-views",
	"shared-store",
	"slots",
	"views-outlive-their-topic",
	"workers",
];

describe.concurrent.each(NODE_MAJORS)("Node %i", (major) => {
	test.for(PROGRAMS)("%s", { timeout: HUNG_MS + 60_000 }, async (program, context) => {
		const node = nodeBinary(major) ?? context.skip(missingNode(major));
		const file = fileURLToPath(new URL(`lifetimes/${program}.mjs`, import.meta.url));
		const directory = temporaryDirectory(context.onTestFinished);
		// Rejects with how it ended, unless that is in order.
		const { stderr } = await promisify(execFile)(node, [file, directory], { timeout: HUNG_MS });
		context.expect(stderr).toBe("");
	});
});
