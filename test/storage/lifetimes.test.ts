/**
 * Views of mapped memory and their lifetimes, on every Node that Millrace supports: the programs in
 * `lifetimes/` each run in a process of their own, where a mistake would be a signal.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { temporaryDirectory } from "../broker-process.ts";
import { missingNode, NODE_MAJORS, nodeBinary } from "../optional-parts.ts";

const PROGRAMS = [
	"idle",
	"overlapping-views",
	"shared-store",
	"views-outlive-their-topic",
	"workers",
];

describe.each(NODE_MAJORS)("Node %i", (major) => {
	test.for(PROGRAMS)("%s", { timeout: 60_000 }, (program, context) => {
		const node = nodeBinary(major) ?? context.skip(missingNode(major));
		const file = fileURLToPath(new URL(`lifetimes/${program}.mjs`, import.meta.url));
		const { status, signal, stderr } = spawnSync(node, [file, temporaryDirectory()], {
			encoding: "utf8",
			timeout: 50_000,
		});
		expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
	});
});
