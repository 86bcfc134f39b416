/** What panics leave behind, by a program that has them: nobody can make the addon panic. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

import { atEndOfSuite, temporaryDirectory } from "../broker-process.ts";

const SOURCE = fileURLToPath(new URL("programs/panics.rs", import.meta.url));
const REPORTS_MAX = 10;
const hasRustc = spawnSync("rustc", ["--version"]).status === 0;
const MISSING_RUSTC = "rustc is not on this machine";

describe("a panic, by a program that rustc makes", () => {
	const atEnd = atEndOfSuite();
	let program: string;

	beforeAll(() => {
		if (!hasRustc) return;
		program = join(temporaryDirectory(atEnd), "panics");
		const compiled = spawnSync("rustc", ["--edition=2024", "-g", "-o", program, SOURCE], {
			env: { ...process.env, CARGO_PKG_VERSION: "1.2.3" },
		});
		expect([compiled.status, `${compiled.stderr}`]).toEqual([0, ""]);
	});

	function run(prefix: string, count: number): { stdout: string; stderr: string } {
		const { status, stdout, stderr } = spawnSync(program, [prefix, `${count}`]);
		expect(status).toBe(0);
		return { stdout: `${stdout}`, stderr: `${stderr}` };
	}

	test("leaves a report, and ends no more than it did", (context) => {
		if (!hasRustc) context.skip(MISSING_RUSTC);
		const directory = join(temporaryDirectory(), "crashes");
		const { stdout, stderr } = run(join(directory, "panic-now"), 1);
		expect(stdout).toBe("goes on\n");
		const path = join(directory, "panic-now-0.txt");
		expect(stderr).toMatch(/thread 'flusher'.* panicked at .*panics\.rs/);
		expect(stderr).toContain(`report: ${path}`);
		const report = readFileSync(path, "utf8");
		expect(report).toMatch(/^core 1\.2\.3, thread flusher: panicked at .*panics\.rs:\d+:\d+:\n/);
		expect(report).toContain("the sky fell");
		expect(report).toContain("fail_deliberately");
		expect(statSync(path).mode & 0o777).toBe(0o600);
		expect(statSync(directory).mode & 0o777).toBe(0o700);
	});

	test("that comes again and again fills no disk", (context) => {
		if (!hasRustc) context.skip(MISSING_RUSTC);
		const directory = join(temporaryDirectory(), "crashes");
		run(join(directory, "panic-now"), REPORTS_MAX + 5);
		expect(readdirSync(directory)).toHaveLength(REPORTS_MAX);
	});

	test("is told on stderr where no report can be written", (context) => {
		if (!hasRustc) context.skip(MISSING_RUSTC);
		const file = join(temporaryDirectory(), "file");
		writeFileSync(file, "");
		const { stderr } = run(join(file, "panic-now"), 1);
		expect(stderr).toContain("panicked at");
		expect(stderr).toMatch(/^no report: .*panic-now-0\.txt: /m);
	});
});
