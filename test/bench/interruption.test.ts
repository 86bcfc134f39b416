import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { processesNaming, temporaryDirectory } from "../broker-process.ts";

const harness = new URL("../../dist/bench/harness/interruption.js", import.meta.url).href;

/** A run with a child and a directory of its own, in which `fail` happens while the rest waits. */
function program(data: string, fail: string): string {
	return `
		import { spawn } from "node:child_process";
		import { endingOnSignals, endWithRun, withTemporaryDirectory } from "${harness}";
		await endingOnSignals(() =>
			withTemporaryDirectory(${JSON.stringify(data)}, "run-", async (directory) => {
				const endless = "setInterval(() => undefined, 1_000)";
				const child = spawn(process.execPath, ["-e", endless, directory]);
				endWithRun(child);
				child.once("spawn", () => setImmediate(() => { ${fail} }));
				await new Promise(() => setInterval(() => undefined, 1_000));
			}),
		);
	`;
}

test.for([
	["a rejection that nobody waits for", 'void Promise.reject(new Error("an ack did not come"))'],
	["an error that nobody caught", 'throw new Error("an ack did not come")'],
])("%s ends a run with 1, and leaves nothing behind", async ([, fail]) => {
	const data = temporaryDirectory();
	const child = spawn(
		process.execPath,
		["--input-type=module", "--eval", program(data, fail as string)],
		{ cwd: fileURLToPath(new URL("../..", import.meta.url)) },
	);
	let stderr = "";
	child.stderr.on("data", (text) => {
		stderr += String(text);
	});
	const [status] = await once(child, "close");
	expect(status, stderr).toBe(1);
	expect(stderr).toMatch(/^millrace: the run failed: Error: an ack did not come/);
	expect(readdirSync(data)).toEqual([]);
	expect(processesNaming(data)).toEqual([]);
});
