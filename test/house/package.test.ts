import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { VERSION } from "../../src/version.ts";
import { temporaryDirectory } from "../broker-process.ts";

const rootDirectory = fileURLToPath(new URL("../..", import.meta.url));

// npm and tar are no quicker than the disk.
test("what npm packs has a command, a broker and a client that run", { timeout: 600_000 }, () => {
	const directory = temporaryDirectory();
	run("npm", ["pack", "--ignore-scripts", "--silent", `--pack-destination=${directory}`]);
	run("tar", ["-xzf", join(directory, `millrace-${VERSION}.tgz`), "-C", directory]);
	// As npm would have it: the package among its dependencies, with the addon that it builds.
	const installed = join(directory, "node_modules", "millrace");
	mkdirSync(join(directory, "node_modules"));
	cpSync(join(directory, "package"), installed, { recursive: true });
	symlinkSync(join(rootDirectory, "node_modules"), join(installed, "node_modules"));
	symlinkSync(join(rootDirectory, "native/millrace.node"), join(installed, "native/millrace.node"));

	// Single modules are not packed: what is named in a bundle has to be one.
	const bundle = join(installed, "dist/bundle");
	const texts = readdirSync(bundle, { recursive: true, encoding: "utf8" })
		.filter((name) => name.endsWith(".js"))
		.map((name) => readFileSync(join(bundle, name), "utf8"));
	expect(texts.join("\n").match(/"#dist\/.*?"/g)).toBeNull();
	for (const [, name] of texts.join("\n").matchAll(/"#bundle\/(.*?)"/g)) {
		expect(existsSync(join(bundle, name as string)), name).toBe(true);
	}

	const command = join(installed, "dist/bundle/millrace.js");
	expect(run(process.execPath, [command, "--version"], directory)).toBe(`${VERSION}\n`);
	const program = `
		import { startBroker } from "millrace";
		import { connect } from "millrace/client";
		const broker = await startBroker({ memory: true });
		const client = await connect(broker.addresses.websocket);
		const { offset } = await client.producer().send({ topic: "t", value: "first" });
		console.log("acknowledged", Number(offset));
		await client.close();
		await broker.close();
	`;
	const arguments_ = ["--input-type=module", "--eval", program];
	expect(run(process.execPath, arguments_, directory)).toBe("acknowledged 0\n");
});

/** What a program wrote to stdout; it must have ended well. */
function run(program: string, programArguments: readonly string[], cwd = rootDirectory): string {
	const { status, stdout, stderr } = spawnSync(program, programArguments, {
		cwd,
		encoding: "utf8",
	});
	expect(status, stderr).toBe(0);
	return stdout;
}
