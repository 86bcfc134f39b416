/** What `deploy/` has is what systemd and Docker understand, as far as that can be told here. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";

import { ALL_OPTIONS, environmentName, flagName, OPTIONS } from "../../src/config/options.ts";
import { COMMAND_FILE, temporaryDirectory } from "../broker-process.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const textOf = (path: string) => readFileSync(join(root, "deploy", path), "utf8");

const unit = textOf("systemd/millrace.service");

test("systemd takes every line of the unit", (context) => {
	const { status } = spawnSync("systemd-analyze", ["--version"]);
	if (status !== 0) context.skip("systemd-analyze is not on this machine");
	const file = join(temporaryDirectory(), "millrace.service");
	// The program has to be there, and is not where it will be installed.
	writeFileSync(file, unit.replace("ExecStart=/usr/bin/millrace", `ExecStart=${process.execPath}`));
	const verified = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
	expect(verified.stderr).toBe("");
	expect(verified.status).toBe(0);
});

test("the unit starts the broker with flags that there are", () => {
	const flags = /^ExecStart=\/usr\/bin\/millrace start (.*)$/m.exec(unit)?.[1]?.match(/--\S+/g);
	expect(flags).toEqual(["--config", `--${flagName(OPTIONS.dataDir)}`]);
});

describe("the container", () => {
	const dockerfile = textOf("docker/Dockerfile");
	const instructions = dockerfile
		.replaceAll(/^\s*#.*\n/gm, "")
		.replaceAll(/\\\n\s*/g, "")
		.split("\n")
		.filter((line) => line !== "");

	/** The words of an instruction that Docker takes as JSON. */
	function wordsOf(name: string): string[] {
		const line = instructions.find((one) => one.startsWith(`${name} [`));
		return JSON.parse(line?.slice(name.length) ?? "[]");
	}

	test("starts the broker as PID 1, with flags that there are, and not as root", () => {
		expect(wordsOf("ENTRYPOINT")).toEqual([
			"node",
			`/opt/millrace/node_modules/millrace/${COMMAND_FILE.slice(root.length)}`,
		]);
		const [command, ...flags] = wordsOf("CMD");
		expect(command).toBe("start");
		const known = ALL_OPTIONS.map((option) => `--${flagName(option)}`);
		const given = flags.filter((flag) => flag.startsWith("--"));
		expect(given).toHaveLength(3);
		expect(known).toEqual(expect.arrayContaining(given));
		const last = instructions.slice(instructions.findLastIndex((one) => one.startsWith("FROM ")));
		expect(last).toContain("USER 10001:10001");
		expect(last).toContain(`VOLUME ${flags[1]}`);
	});

	test("is asked whether it serves by a program that says so by its exit code", async () => {
		const health = instructions.find((one) => one.startsWith("HEALTHCHECK"));
		const [, flag, program] = JSON.parse(health?.slice(health.indexOf("[")) ?? "[]");
		expect(flag).toBe("-e");
		const answers = createServer((_, response) => {
			response.statusCode = status;
			response.end();
		});
		let status = 200;
		await new Promise<void>((resolve) => answers.listen(0, "127.0.0.1", resolve));
		onTestFinished(() => void answers.close());
		const { port } = answers.address() as AddressInfo;
		const asked = async () => {
			const script = program.replace("127.0.0.1:4600", `127.0.0.1:${port}`);
			const child = spawn(process.execPath, ["-e", script]);
			return await new Promise((resolve) => child.once("exit", resolve));
		};
		expect(await asked()).toBe(0);
		status = 503;
		expect(await asked()).toBe(1);
		answers.close();
		answers.closeAllConnections();
		expect(await asked()).toBe(1);
	});

	test("in the example of compose has options that there are and files that it names", () => {
		const { millrace } = parse(textOf("docker/compose.yaml")).services;
		const { context, dockerfile: path } = millrace.build;
		expect(readFileSync(join(root, "deploy/docker", context, path), "utf8")).toBe(dockerfile);
		const known = ALL_OPTIONS.map(environmentName);
		expect(known).toEqual(expect.arrayContaining(Object.keys(millrace.environment)));
		// By this name HTTP is served to the containers beside it.
		expect(millrace.environment.MILLRACE_ADVERTISE).toBe("millrace:9092");
		const [volume] = millrace.volumes;
		expect(volume).toBe(`data:${wordsOf("CMD")[2]}`);
	});
});
