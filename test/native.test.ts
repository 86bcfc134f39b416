import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { loadNative, NativeLoadError } from "../src/native.ts";
import { missingNode, NODE_MAJORS, nodeBinary } from "./optional-parts.ts";

describe("the addon", () => {
	test("loads once a thread", () => {
		expect(loadNative()).toBe(loadNative());
	});

	test.for(NODE_MAJORS)("loads in Node %i from the compiled package", (major, context) => {
		const node = nodeBinary(major) ?? context.skip(missingNode(major));
		const program = 'import("./dist/native.js").then((m) => console.log(typeof m.loadNative()))';
		const result = spawnSync(node, ["-e", program], { encoding: "utf8" });
		expect(result).toMatchObject({ status: 0, stdout: "object\n", stderr: "" });
	});

	test("that cannot be loaded says on what machine, where it was looked for and why", () => {
		const error = new NativeLoadError([
			{ place: "millrace.node", reason: "version `GLIBC_2.38' not found" },
			{ place: "@millrace/core-linux-x64-gnu", reason: "the package is not installed" },
		]);
		expect(error.message).toContain(`${process.platform} ${process.arch}`);
		expect(error.message).toContain(`ABI ${process.versions.modules}`);
		expect(error.message).toContain("millrace.node: version `GLIBC_2.38' not found");
		expect(error.message).toContain("core-linux-x64-gnu: the package is not installed");
	});
});
