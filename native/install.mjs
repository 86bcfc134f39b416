// What `npm install` does for the native parts, in this order:
// 1. a prebuilt package for this platform is there, or nobody wants one (`--omit=optional`, for
//    programs that only use the client): nothing to do;
// 2. in a clone, node-gyp builds binding.gyp: the storage core (through cargo) and the roofline;
// 3. elsewhere, and where node-gyp has no Python, C++ compiler or Node headers: cargo alone builds
//    the core;
// 4. nothing works: one message says what is missing.
// Nothing is downloaded but what cargo takes from its registry: node-gyp would fetch missing
// headers, so it is only started where they are on the machine already.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { buildCore } from "./build.mjs";
import { addonFile, describePlatform, prebuiltPackage } from "./platform.mjs";

const rootDirectory = fileURLToPath(new URL("..", import.meta.url));

const say = (line) => process.stderr.write(`millrace: ${line}\n`);

function prebuiltFound() {
	try {
		createRequire(import.meta.url).resolve(prebuiltPackage());
		return true;
	} catch (error) {
		if (error.code === "MODULE_NOT_FOUND") return false;
		throw error;
	}
}

/** The directory that holds include/node/node_api.h for node-gyp, or null. */
function nodeHeadersDirectory() {
	const candidates = [
		process.env.npm_config_nodedir,
		join(dirname(realpathSync(process.execPath)), ".."),
		join(homedir(), ".cache", "node-gyp", process.versions.node),
	];
	return candidates.find(
		(directory) => directory && existsSync(join(directory, "include", "node", "node_api.h")),
	);
}

/** Why node-gyp could not build, or null when it did. */
async function buildWithNodeGyp() {
	const headersDirectory = nodeHeadersDirectory();
	if (!headersDirectory) return "Node's headers (include/node) are not on this machine";
	const nodeGyp = process.env.npm_config_node_gyp;
	if (!nodeGyp) return "node-gyp was not found: it comes with npm";
	const child = spawn(
		process.execPath,
		[nodeGyp, "rebuild", `--nodedir=${headersDirectory}`, "--loglevel=error"],
		{ cwd: rootDirectory, stdio: ["ignore", "ignore", "pipe"] },
	);
	const ended = new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", resolve);
	});
	// Cargo's and the compiler's words pass; node-gyp's own become one line.
	let cause = null;
	for await (const line of createInterface({ input: child.stderr })) {
		if (!line.startsWith("gyp ")) process.stderr.write(`${line}\n`);
		cause ??= /^gyp ERR! stack Error: (.*)/.exec(line)?.[1] ?? null;
	}
	const status = await ended;
	return status === 0 ? null : (cause ?? `node-gyp ended with status ${status}`);
}

/** The oldest Rust that compiles the core, from the workspace manifest. */
function rustVersionMin() {
	const manifest = readFileSync(new URL("./Cargo.toml", import.meta.url), "utf8");
	return /^rust-version = "([^"]+)"$/m.exec(manifest)?.[1] ?? "(see native/Cargo.toml)";
}

function explainFailure(missing, remedy) {
	process.stderr.write(`
millrace: there is no storage core for this machine, and without one the broker cannot run.
  platform  ${describePlatform()}
  prebuilt  ${prebuiltPackage()} is not installed
  missing   ${missing}
  remedy    ${remedy}
`);
	process.exit(1);
}

/** Whether npm leaves optional dependencies out, of which the storage core is one. */
const isClientAlone = () =>
	!existsSync(join(rootDirectory, "binding.gyp")) &&
	(process.env.npm_config_omit ?? "").split(/\s+/).includes("optional");

async function install() {
	if (prebuiltFound()) return say(`using the prebuilt ${prebuiltPackage()}`);
	if (isClientAlone()) return say("no storage core, as asked: the client works, a broker does not");

	const cargo = spawnSync("cargo", ["--version"], { encoding: "utf8" });
	if (cargo.error || cargo.status !== 0) {
		explainFailure(
			`a working cargo (${cargo.error?.message ?? cargo.stderr.trim()})`,
			`install Rust ${rustVersionMin()} or newer (https://rustup.rs) and run npm install again`,
		);
	}
	say("building the storage core; the first time takes a minute or two");
	if (existsSync(join(rootDirectory, "binding.gyp"))) {
		const cause = await buildWithNodeGyp();
		if (cause === null) return say(`built ${addonFile} and the roofline`);
		say(`the roofline benchmark addon is skipped: ${cause}`);
	}
	try {
		say(`built ${await buildCore()}`);
	} catch (error) {
		explainFailure(
			`a build of native/ that succeeds: ${error.message}; its output is above`,
			`Rust ${rustVersionMin()} or newer and a C compiler (here is ${cargo.stdout.trim()})`,
		);
	}
}

await install();
