import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { describeFailure, exitCodeOf, RecordsFailedError } from "../../src/cli/exit-code.ts";
import { run } from "../../src/cli/run.ts";
import { MillraceError } from "../../src/errors.ts";
import { CODES, type CodeName } from "../../src/protocol/codes.ts";

let stdout: string;
let stderr: string;

beforeEach(() => {
	stdout = "";
	stderr = "";
	vi.spyOn(process.stdout, "write").mockImplementation((text) => {
		stdout += String(text);
		return true;
	});
	vi.spyOn(process.stderr, "write").mockImplementation((text) => {
		stderr += String(text);
		return true;
	});
});
afterEach(() => {
	vi.unstubAllEnvs();
	vi.restoreAllMocks();
});

describe("exit codes", () => {
	test.each([["--help"], ["topic create --help"], ["--version"]])(
		"0: millrace %s",
		async (line) => {
			expect(await run(line.split(" "))).toBe(0);
			expect(stdout).not.toBe("");
		},
	);

	test.each([
		["consum t", "Did you mean consume?"],
		["consume", "missing required argument"],
		["consume t --form json", "Did you mean --format?"],
		["consume t --format xml", "Allowed choices are value, json, msgpack"],
		["consume t --offset 1 --from-beginning", "cannot be used with"],
		["consume t --offset -1", "Expected a whole number"],
		["consume t --from-time yesterday", "Expected milliseconds since the epoch"],
		["consume t --url http://127.0.0.1", "Expected ws://HOST:PORT"],
		["topic create t --partitions 0", "Expected a whole number from 1"],
		["topic create t --config flush.ms", "Expected name=value"],
		["topic alter t", "nothing to alter"],
		["topic delete t", "confirm with --yes"],
		["start --num-partitions x", "--num-partitions: x is not a whole number"],
		["start --config /does/not/exist", "cannot be read"],
		["config check --num-partitions x", "--num-partitions: x is not a whole number"],
		["config list num.partition", "did you mean num.partitions?"],
		["consume t --group g --partition 0", "cannot be used with"],
		["consume t --group g --offset 5", "cannot be used with"],
		["produce t --key-separator=", "Expected at least one character"],
	])("2: millrace %s", async (line, message) => {
		expect(await run(line.split(" "))).toBe(2);
		expect(stderr).toContain(message);
	});

	test.each(["topic list", "group describe g", "consume t"])(
		"3: a broker that is not there, for millrace %s",
		async (line) => {
			expect(await run([...line.split(" "), "--url", "ws://127.0.0.1:1"])).toBe(3);
			expect(stderr).toContain("CONNECTION_LOST");
		},
	);

	test("the broker is what --url names, else MILLRACE_URL, and a bad one is refused", async () => {
		vi.stubEnv("MILLRACE_URL", "ws://127.0.0.1:1");
		expect(await run(["topic", "list"])).toBe(3);
		expect(stderr).toContain("ws://127.0.0.1:1");
		expect(await run(["topic", "list", "--url", "ws://127.0.0.1:2"])).toBe(3);
		expect(stderr).toContain("ws://127.0.0.1:2");
		vi.stubEnv("MILLRACE_URL", "127.0.0.1");
		expect(await run(["topic", "list"])).toBe(2);
		expect(stderr).toContain("from env 'MILLRACE_URL' is invalid");
	});

	test("what an error was caused by is told once", () => {
		const cause = new MillraceError("INVALID_RECORD");
		const same = new MillraceError("INVALID_RECORD", "", { cause });
		expect(describeFailure(same)).toBe(describeFailure(cause));
		const other = new MillraceError("INVALID_RECORD", "", { cause: new Error("no key") });
		expect(describeFailure(other)).toMatch(/ \(no key\) \[INVALID_RECORD\]$/);
	});

	test("errors of the table have theirs", () => {
		const codeOf = (code: CodeName) => exitCodeOf(new MillraceError(code));
		expect(codeOf("NOT_AUTHENTICATED")).toBe(3);
		const names = Object.keys(CODES) as CodeName[];
		const refusals = names.filter((name) => name.endsWith("_AUTHORIZATION_FAILED"));
		expect(refusals).toContain("GROUP_AUTHORIZATION_FAILED");
		expect(refusals.map(codeOf)).toEqual(refusals.map(() => 3));
		expect(codeOf("DATA_DAMAGED")).toBe(4);
		expect(codeOf("DATA_DIRECTORY_IN_USE")).toBe(5);
		expect(codeOf("DATA_DIRECTORY_NEWER")).toBe(5);
		expect(codeOf("INVALID_CONFIG")).toBe(1);
		expect(exitCodeOf(new RecordsFailedError(2, new MillraceError("CONNECTION_LOST")))).toBe(3);
		expect(exitCodeOf(new Error("anything"))).toBe(1);
	});
});
