/**
 * What `npm run pack` makes, installed as users install it: by npm, in an empty directory, on a
 * machine that has Node and nothing to build with. Dependencies come from npm's registry.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { startBroker } from "../../src/index.ts";
import { VERSION } from "../../src/version.ts";
import { atEndOfSuite, temporaryDirectory } from "../broker-process.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";

const rootDirectory = fileURLToPath(new URL("../..", import.meta.url));
/** Packing and installing take long on a busy machine, and longer with a slow registry. */
const PATIENCE_MS = 900_000;
/** All that npm itself needs. */
const PROGRAMS = ["node", "npm", "npx", "sh", "env"];

describe("the tarballs of npm run pack", { timeout: PATIENCE_MS }, () => {
	const atEnd = atEndOfSuite();
	let environment: Record<string, string>;
	let tarballs: string[];

	beforeAll(() => {
		if (!RUNS_LONG_TESTS) return;
		const directory = temporaryDirectory(atEnd);
		const programs = join(directory, "bin");
		mkdirSync(programs);
		for (const name of PROGRAMS) {
			const found = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" });
			symlinkSync(found.stdout.trim(), join(programs, name));
		}
		environment = { PATH: programs, HOME: process.env.HOME ?? directory };
		const packed = spawnSync("npm", ["run", "--silent", "pack", "--", directory], {
			cwd: rootDirectory,
			encoding: "utf8",
		});
		expect(packed.status, packed.stderr).toBe(0);
		tarballs = packed.stdout.trim().split("\n");
	}, PATIENCE_MS);

	/** Ends well, and returns what it wrote to stdout. */
	function run(cwd: string, command: string, flags: readonly string[], input = ""): string {
		const ended = spawnSync(command, flags, { cwd, env: environment, input, encoding: "utf8" });
		expect(ended.status, ended.stderr).toBe(0);
		return ended.stdout;
	}

	/** A directory into which npm has installed tarballs. */
	function installed(files: readonly string[], ...flags: string[]): string {
		const directory = temporaryDirectory();
		writeFileSync(join(directory, "package.json"), '{ "private": true, "type": "module" }');
		run(directory, "npm", ["install", "--no-audit", "--no-fund", ...flags, ...files]);
		return directory;
	}

	test("install without a compiler, and serve the command and the SDK", async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		expect(tarballs).toHaveLength(2);
		const directory = installed(tarballs);
		expect(run(directory, "npx", ["millrace", "--version"])).toBe(`${VERSION}\n`);

		const [url, child] = await startInstalled(directory);
		environment.MILLRACE_URL = url;
		run(directory, "npx", ["millrace", "produce", "lines"], "one\ntwo\n");
		const program = `
			import { connect } from "millrace/client";
			const client = await connect("${url}");
			const producer = client.producer({ codec: "string" });
			const ack = await producer.send({ topic: "lines", value: "three" });
			console.log(ack.offset, ack.durability);
			await client.close();
		`;
		const flags = ["--input-type=module", "--eval", program];
		expect(run(directory, "node", flags)).toBe("2 flushed\n");
		const consume = ["millrace", "consume", "lines", "--from-beginning", "--exit-at-end"];
		expect(run(directory, "npx", consume)).toBe("one\ntwo\nthree\n");
		const ended = new Promise((resolve) => child.once("exit", resolve));
		child.kill("SIGTERM");
		expect(await ended).toBe(0);
	});

	async function startInstalled(directory: string): Promise<[url: string, child: ChildProcess]> {
		const command = join(directory, "node_modules", ".bin", "millrace");
		const flags = ["start", "--websocket=127.0.0.1:0", "--kafka=127.0.0.1:0"];
		const child = spawn(command, flags, { cwd: directory, env: environment, stdio: "ignore" });
		onTestFinished(() => void child.kill("SIGKILL"));
		const file = join(directory, "data", "addresses.json");
		await expect.poll(() => existsSync(file)).toBe(true);
		return [JSON.parse(readFileSync(file, "utf8")).websocket, child];
	}

	test("give the client alone where optional dependencies are omitted", async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const directory = installed(tarballs.slice(0, 1), "--omit=optional");
		expect(existsSync(join(directory, "node_modules", "@millrace"))).toBe(false);
		const broker = await startBroker({ memory: true });
		onTestFinished(() => broker.close());
		const program = `
			import { connect } from "millrace/client";
			import { startBroker } from "millrace";
			const client = await connect("${broker.addresses.websocket}");
			console.log((await client.producer().send({ topic: "orders", value: 1 })).offset);
			await client.close();
			await startBroker({ memory: true }).catch((error) => console.log(error.name));
		`;
		const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
			cwd: directory,
			env: environment,
		});
		let stdout = "";
		child.stdout.on("data", (chunk: Buffer) => {
			stdout += chunk.toString();
		});
		expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
		expect(stdout).toBe("0\nNativeLoadError\n");

		const entry = join(directory, "page.js");
		writeFileSync(entry, 'export { connect } from "millrace/client";\n');
		const bundle = await rolldown({ input: entry, platform: "browser" });
		const { output } = await bundle.generate({ minify: true });
		expect(output.map(({ type }) => type)).toEqual(["chunk"]);
		expect(output[0].imports).toEqual([]);
		expect(output[0].code).not.toMatch(/node:|\bBuffer\b|process\./);
	});

	test("have what npm asks of a platform package", (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const [main, core] = tarballs.map((file) => {
			const directory = temporaryDirectory();
			const unpacked = spawnSync("tar", ["-xzf", file, "-C", directory]);
			expect(unpacked.status).toBe(0);
			expect(readdirSync(join(directory, "package"))).toContain("LICENSE");
			return JSON.parse(readFileSync(join(directory, "package", "package.json"), "utf8"));
		});
		expect(core).toMatchObject({ version: VERSION, os: [process.platform], cpu: [process.arch] });
		expect(main.optionalDependencies).toHaveProperty([core.name], VERSION);
		expect(main).not.toHaveProperty("devDependencies");
		expect(dirname(main.bin.millrace)).toBe("./dist/bundle");
	});
});
