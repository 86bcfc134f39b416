import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { missingPython, pythonBinary } from "../optional-parts.ts";
import { serve, TRANSPORTS } from "./harness.ts";

const MODULES = ["websockets", "msgpack"];
const specification = readFileSync(
	new URL("../../docs/websocket-protocol.md", import.meta.url),
	"utf8",
);

/** The program in the specification, as it stands. */
function example(): string {
	const program = /```python\n([\s\S]*?)```/.exec(specification)?.[1];
	if (program === undefined) throw new Error("the specification has no Python program");
	return program;
}

test("the program in the specification has at most 36 lines", () => {
	expect(example().trimEnd().split("\n").length).toBeLessThanOrEqual(36);
});

describe.each(TRANSPORTS)("the Python program of the specification over %s", (transport) => {
	const at = serve(transport);

	test("produces and consumes", async (context) => {
		const python = pythonBinary(...MODULES) ?? context.skip(missingPython(...MODULES));
		const { code, output } = await run(python, ["-", at.url], example());
		expect(output).toContain("produced at 0, code 0, flushed");
		expect(output).toContain("9 b'key-0' {'hello': 'world', 'number': 9}");
		expect(code).toBe(0);
	});
});

function run(
	command: string,
	parameters: string[],
	input: string,
): Promise<{ code: number | null; output: string }> {
	return new Promise((resolve, reject) => {
		const child = spawn(command, parameters);
		let output = "";
		const collect = (chunk: Buffer) => {
			output += chunk;
		};
		child.stdout.on("data", collect);
		child.stderr.on("data", collect);
		child.on("error", reject);
		child.on("close", (code) => resolve({ code, output }));
		child.stdin.end(input);
	});
}
