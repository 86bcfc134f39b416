/** What `deploy/` has is what systemd and Docker understand, as far as that can be told here. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";

import { ALL_OPTIONS, environmentName, flagName, OPTIONS } from "../../src/config/options.ts";
import { COMMAND_FILE, temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import { hasOpenssl, MISSING_OPENSSL } from "../optional-parts.ts";
import { reservePort } from "../ports.ts";

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

/** A key and a certificate that nobody has heard of. */
function ownKey(): { key: Buffer; cert: Buffer } {
	const { keyFile, certificateFile } = new CertificateAuthority().issue("/CN=elsewhere");
	return { key: readFileSync(keyFile), cert: readFileSync(certificateFile) };
}

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

	test("is asked whether it serves by a program that is in it", () => {
		const health = instructions.find((one) => one.startsWith("HEALTHCHECK"));
		const words = JSON.parse(health?.slice(health.indexOf("[")) ?? "[]");
		const [, dataDir, , websocket] = wordsOf("CMD").slice(1);
		const [node, program, asked, otherwise] = words;
		expect([node, asked]).toEqual(["node", dataDir]);
		expect(new URL(otherwise).port).toBe(websocket?.split(":").at(-1));
		const copied = instructions.find((one) => one.endsWith(` ${program}`));
		expect(copied).toBe(`COPY --chmod=0644 deploy/docker/ready.mjs ${program}`);
	});

	test.for([
		["HTTP", "http"],
		["TLS, whatever the certificate names", "https"],
	] as const)("is healthy while it is ready, by %s", async ([, scheme], context) => {
		if (scheme === "https" && !hasOpenssl()) context.skip(MISSING_OPENSSL);
		let status = 200;
		const answer: RequestListener = ({ url }, response) => {
			response.statusCode = url === "/ready" ? status : 404;
			response.end();
		};
		const answers =
			scheme === "https" ? createSecureServer(ownKey(), answer) : createServer(answer);
		await new Promise<void>((resolve) => answers.listen(0, "127.0.0.1", resolve));
		onTestFinished(() => void answers.close());
		const url = `${scheme}://127.0.0.1:${(answers.address() as AddressInfo).port}`;
		const nowhere = `http://127.0.0.1:${await reservePort(onTestFinished)}`;
		const dataDir = temporaryDirectory();
		const asked = async (otherwise: string) => {
			const program = join(root, "deploy/docker/ready.mjs");
			const child = spawn(process.execPath, [program, dataDir, otherwise]);
			return await new Promise((resolve) => child.once("exit", resolve));
		};
		expect(await asked(url)).toBe(0);
		expect(await asked(nowhere)).toBe(1);
		writeFileSync(join(dataDir, "addresses.json"), JSON.stringify({ http: url }));
		expect(await asked(nowhere)).toBe(0);
		status = 503;
		expect(await asked(nowhere)).toBe(1);
		answers.close();
		answers.closeAllConnections();
		expect(await asked(nowhere)).toBe(1);
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
