import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

/**
 * Logs much more than a pipe holds, says so on stdout, waits for a byte on stdin, and logs once
 * more.
 */
const PROGRAM = `
	import { createLogger } from ${JSON.stringify(new URL("../dist/log.js", import.meta.url).href)};
	const logger = createLogger("info");
	for (let count = 0; count < 2_000; count++) logger.info({ pad: "x".repeat(500) }, "line");
	process.stdout.write("logged");
	process.stdin.once("data", () => {
		logger.info("after");
		process.stdin.destroy();
	});
`;

let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "millrace-log-"));
});
afterEach(() => {
	rmSync(directory, { recursive: true });
});

/**
 * Runs PROGRAM with this stderr; `whenLogged` is called before its last line. Resolves to the exit
 * code.
 */
function runProgram(stderr: number, whenLogged: () => void): Promise<number | null> {
	const child = spawn(process.execPath, ["--input-type=module", "--eval", PROGRAM], {
		stdio: ["pipe", "pipe", stderr],
	});
	closeSync(stderr);
	child.stdout!.once("data", () => {
		whenLogged();
		child.stdin!.end("\n");
	});
	return new Promise((resolve) => child.once("close", resolve));
}

/** Both ends of a pipe; reading does not wait. */
function openPipe(): { readEnd: number; writeEnd: number } {
	const path = join(directory, "pipe");
	execFileSync("mkfifo", [path]);
	const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
	return { readEnd, writeEnd: openSync(path, constants.O_WRONLY) };
}

/** What the pipe holds; "" when it is empty or its other end is closed. */
function drain(readEnd: number): string {
	const buffer = Buffer.alloc(1_048_576);
	try {
		return buffer.toString("utf8", 0, readSync(readEnd, buffer));
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
		throw error;
	}
}

test("nobody reads stderr: the program goes on, and the loss is reported later", async () => {
	const { readEnd, writeEnd } = openPipe();
	let before = "";
	const exitCode = await runProgram(writeEnd, () => {
		before = drain(readEnd);
	});
	expect(exitCode).toBe(0);
	const text = before + drain(readEnd);
	closeSync(readEnd);
	const lines = text
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line));
	expect(lines.length).toBeLessThan(2_000);
	expect(lines.at(-1)).toMatchObject({ msg: "after" });
	const dropped = lines.at(-2).dropped;
	// Every line was either written or counted.
	expect(lines.length - 2 + dropped).toBe(2_000);
});

test("the reader of stderr goes away: the program goes on", async () => {
	const { readEnd, writeEnd } = openPipe();
	closeSync(readEnd);
	expect(await runProgram(writeEnd, () => undefined)).toBe(0);
});

test("a full disk behind stderr: the program goes on", async () => {
	expect(await runProgram(openSync("/dev/full", "w"), () => undefined)).toBe(0);
});

test("fields that hold secrets are logged without them", async () => {
	const log = new URL("../dist/log.js", import.meta.url).href;
	const program = `
		import { createLogger } from ${JSON.stringify(log)};
		createLogger("info").child({ area: "kafka" }).info(
			{ user: "alice", password: "secret-1", credential: { salt: "secret-2", count: 3 } },
			"told",
		);
	`;
	const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
		stdio: ["ignore", "ignore", "pipe"],
	});
	let text = "";
	child.stderr?.on("data", (chunk: Buffer) => {
		text += chunk.toString();
	});
	await new Promise((resolve) => child.once("close", resolve));
	expect(JSON.parse(text)).toMatchObject({
		area: "kafka",
		user: "alice",
		password: "[secret]",
		credential: { salt: "[secret]", count: 3 },
	});
});
