import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { run } from "../../src/cli/run.ts";
import { ALL_OPTIONS } from "../../src/config/options.ts";
import { LOG_LEVELS } from "../../src/log-levels.ts";
import { temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import { hasOpenssl } from "../optional-parts.ts";

let stdout: string;
let stderr: string;

beforeEach(() => {
	stdout = "";
	stderr = "";
	for (const name of Object.keys(process.env)) {
		if (name.startsWith("MILLRACE_")) vi.stubEnv(name, undefined);
	}
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

function file(text: string): string {
	const path = join(temporaryDirectory(), "millrace.yaml");
	writeFileSync(path, text);
	return path;
}

test("config check accepts what a broker would start with", async () => {
	const config = file("num.partitions: 3\n");
	expect(await run(["config", "check", "--config", config])).toBe(0);
	expect(stdout).toBe(`${config} is valid\n`);
});

test("config check tells all that is wrong and ends with 2, for people and machines", async () => {
	const config = file("num.partitions: many\nlog.level: loud\n");
	const problems = [
		`${config}:1:17: num.partitions: many is not a whole number from 1 to 10000`,
		`${config}:2:12: log.level: loud is not one of ${LOG_LEVELS.join(", ")}`,
	];
	vi.stubEnv("MILLRACE_CONFIG", config);
	expect(await run(["config", "check"])).toBe(2);
	expect(stderr.split("\n").slice(0, 2)).toEqual([`millrace: ${problems[0]}`, problems[1]]);
	expect(await run(["config", "check", "--json"])).toBe(2);
	expect(JSON.parse(stdout)).toEqual({ valid: false, file: config, problems });
});

test("config check reads the files of TLS as a start does", async () => {
	const flags = ["--kafka-security-protocol", "SSL"];
	expect(await run(["config", "check", ...flags])).toBe(2);
	expect(stderr).toContain("needs ssl.keystore.location");
	const keystore = file("no key\n");
	flags.push("--ssl-keystore-location", keystore);
	expect(await run(["config", "check", ...flags])).toBe(2);
	expect(stderr).toContain(`ssl.keystore.location: ${keystore}: `);
	expect(await run(["config", "check", ...flags, "--json"])).toBe(2);
	expect(JSON.parse(stdout)).toMatchObject({
		valid: false,
		problems: [expect.stringContaining(`ssl.keystore.location: ${keystore}: `)],
	});
});

test.runIf(hasOpenssl())("config check accepts files that TLS can be spoken with", async () => {
	const { keystore } = new CertificateAuthority().issue("/CN=broker");
	const flags = ["--kafka-security-protocol", "SSL", "--ssl-keystore-location", keystore];
	expect(await run(["config", "check", ...flags])).toBe(0);
});

test("config list tells each option's value and where it comes from", async () => {
	const config = file("num.partitions: 3\nlog.level: debug\nlog.retention.hours: 5\n");
	vi.stubEnv("MILLRACE_LOG_LEVEL", "warn");
	const line = ["config", "list", "--config", config, "--websocket", "[::1]:0", "--json"];
	expect(await run(line)).toBe(0);
	const { options } = JSON.parse(stdout) as { options: { name: string }[] };
	expect(options).toHaveLength(ALL_OPTIONS.length);
	const byName = new Map(options.map((option) => [option.name, option]));
	expect(byName.get("websocket")).toMatchObject({ value: "[::1]:0", source: "flag" });
	expect(byName.get("kafka")).toMatchObject({ value: "127.0.0.1:0", source: "default" });
	expect(byName.get("log.level")).toMatchObject({ value: "warn", source: "environment" });
	expect(byName.get("num.partitions")).toMatchObject({
		value: "3",
		source: "file",
		dynamic: false,
	});
	expect(byName.get("log.retention.hours")).toMatchObject({
		value: "5",
		source: "file",
		dynamic: true,
	});
	expect(byName.get("log.retention.bytes")).toMatchObject({ value: "-1", source: "default" });
});

test("config list shows single options on request", async () => {
	expect(await run(["config", "list", "num.partitions", "log.level"])).toBe(0);
	expect(stdout).toBe(
		[
			"option          value  from     changes",
			"num.partitions  1      default  restart",
			"log.level       info   default  running\n",
		].join("\n"),
	);
});
