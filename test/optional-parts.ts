/**
 * What some tests need and a machine may lack. A test that lacks something skips itself with the
 * reason, which `npm test` repeats at its end:
 *
 *     const node = nodeBinary(24) ?? context.skip(missingNode(24));
 *
 * `.ci/run` installs all of it below .ci/tools, where it is found from then on.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The majors of Node that Millrace supports. */
export const NODE_MAJORS = [20, 22, 24] as const;

/**
 * A `node` of this major: the one that runs the tests, or one below .ci/tools; null where there is
 * none.
 */
export function nodeBinary(major: number): string | null {
	if (Number.parseInt(process.versions.node, 10) === major) return process.execPath;
	const platform = `${process.platform}-${process.arch}`;
	const installed = toolFile(`node-${major}/node_modules/node-${platform}/bin/node`);
	return existsSync(installed) ? installed : null;
}

/** Why a test for this major of Node is skipped. */
export function missingNode(major: number): string {
	return `Node ${major} is not on this machine (.ci/run installs it)`;
}

/** A Python 3 that can import all these modules; null where there is none. */
export function pythonBinary(...modules: string[]): string | null {
	for (const candidate of [toolFile("python/bin/python"), "python3"]) {
		const statement = `import sys${modules.map((module) => `, ${module}`).join("")}`;
		if (spawnSync(candidate, ["-c", statement]).status === 0) return candidate;
	}
	return null;
}

/** Why a test that needs Python with these modules is skipped. */
export function missingPython(...modules: string[]): string {
	const what = modules.length === 0 ? "" : ` with ${modules.join(" and ")}`;
	return `there is no Python 3${what} (.ci/run installs it)`;
}

/** Whether to run what takes too long for every `npm test`: MILLRACE_TEST_LONG=1 asks for it. */
export const RUNS_LONG_TESTS = process.env.MILLRACE_TEST_LONG === "1";

/** Why a long test is skipped. */
export const TOO_LONG = "it takes long (MILLRACE_TEST_LONG=1, as .ci/run has it, runs it)";

function toolFile(path: string): string {
	return fileURLToPath(new URL(`../.ci/tools/${path}`, import.meta.url));
}
