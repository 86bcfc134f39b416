// Builds the storage core with cargo and puts it at native/millrace.node. Called by binding.gyp, by
// the install script where node-gyp cannot run, and by `npm run build`; when nothing changed it
// takes a fraction of a second. Cargo's target directory is native/target (or CARGO_TARGET_DIR),
// never build/, which node-gyp wipes.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { addonFile } from "./platform.mjs";

const workspaceDirectory = fileURLToPath(new URL(".", import.meta.url));
const targetDirectory = process.env.CARGO_TARGET_DIR ?? join(workspaceDirectory, "target");

/** The directory where the build writes one file a crate with the types of what it exports. */
export const typeDefinitionDirectory = join(targetDirectory, "type-definitions");

/**
 * Builds the core in release mode, with cargo's progress on stderr, and returns the addon's path.
 */
export async function buildCore() {
	mkdirSync(typeDefinitionDirectory, { recursive: true });
	const cargo = spawn(
		"cargo",
		[
			"build",
			"--locked",
			"--release",
			"--package=millrace-binding",
			"--message-format=json-render-diagnostics",
			`--manifest-path=${join(workspaceDirectory, "Cargo.toml")}`,
			`--target-dir=${targetDirectory}`,
		],
		{
			stdio: ["ignore", "pipe", "inherit"],
			env: { ...process.env, NAPI_TYPE_DEF_TMP_FOLDER: typeDefinitionDirectory },
		},
	);
	const ended = new Promise((resolve, reject) => {
		cargo.on("error", reject);
		cargo.on("close", resolve);
	});
	// Cargo says where the library is: that depends on its configuration and the platform.
	let library = null;
	for await (const line of createInterface({ input: cargo.stdout })) {
		const message = JSON.parse(line);
		if (message.reason !== "compiler-artifact") continue;
		if (message.target.kind.includes("cdylib")) library = message.filenames[0];
	}
	const status = await ended;
	if (status !== 0 || library === null) throw new Error(`cargo build ended with status ${status}`);

	// By rename: a broker that runs from the old file keeps it, where writing into it would crash it.
	copyFileSync(library, `${addonFile}.new`);
	renameSync(`${addonFile}.new`, addonFile);
	return addonFile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	try {
		await buildCore();
	} catch (error) {
		process.stderr.write(`millrace: the storage core was not built: ${error.message}\n`);
		process.exit(1);
	}
}
