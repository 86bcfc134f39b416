// Makes the tarballs that are published: the package, and the storage core that was built for this
// platform as a package of its own, on which the first depends optionally. It builds neither of
// them: `npm run build` does. Called by `npm run pack -- [DIRECTORY]`.
//
// The dependency is only in the tarball: a clone builds its own core, and asks no registry for it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { addonFile, libc, prebuiltPackage } from "./platform.mjs";

const rootDirectory = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(rootDirectory, "package.json"), "utf8"));

/** What the names of npm's platform packages are made of, by target of Rust. */
const PLATFORM_PACKAGES = new Map([
	["x86_64-unknown-linux-gnu", "linux-x64-gnu"],
	["aarch64-unknown-linux-gnu", "linux-arm64-gnu"],
	["aarch64-apple-darwin", "darwin-arm64"],
]);

function run(command, commandArguments, cwd) {
	const { status, stdout, stderr, error } = spawnSync(command, commandArguments, {
		cwd,
		encoding: "utf8",
	});
	if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`);
	return stdout.trim();
}

const writeManifest = (directory, content) =>
	writeFileSync(join(directory, "package.json"), `${JSON.stringify(content, null, "\t")}\n`);

/** Packs a directory as it stands; returns the tarball's path. */
function pack(directory, destination) {
	const flags = ["--ignore-scripts", "--silent", `--pack-destination=${destination}`];
	return join(destination, run("npm", ["pack", ...flags], directory));
}

/** The core of this platform. Its symbols stay, for backtraces; what debuggers want does not. */
function packCore(work, destination) {
	const directory = join(work, "core");
	mkdirSync(directory);
	const file = join(directory, "millrace.node");
	cpSync(addonFile, file);
	run("strip", process.platform === "darwin" ? ["-x", file] : ["--strip-debug", file]);
	cpSync(join(rootDirectory, "LICENSE"), join(directory, "LICENSE"));
	writeManifest(directory, {
		name: prebuiltPackage(),
		version: manifest.version,
		description: `The storage core of Millrace for ${process.platform} on ${process.arch}`,
		license: manifest.license,
		engines: manifest.engines,
		main: "millrace.node",
		files: ["millrace.node"],
		os: [process.platform],
		cpu: [process.arch],
		...(libc() === null ? {} : { libc: [libc() === "musl" ? "musl" : "glibc"] }),
	});
	return pack(directory, destination);
}

/** The package with what npm needs of its manifest, and the cores of all platforms. */
function packPackage(work, destination) {
	const tarball = pack(rootDirectory, work);
	run("tar", ["-xzf", tarball, "-C", work]);
	const directory = join(work, "package");
	const { devDependencies: _, allowScripts: __, scripts, optionalDependencies, ...kept } = manifest;
	const cores = manifest.napi.targets.map((target) => {
		const platform = PLATFORM_PACKAGES.get(target);
		if (platform === undefined) throw new Error(`no package has the core for ${target}`);
		return [`${manifest.napi.packageName}-${platform}`, manifest.version];
	});
	writeManifest(directory, {
		...kept,
		scripts: { install: scripts.install },
		optionalDependencies: { ...optionalDependencies, ...Object.fromEntries(cores) },
	});
	return pack(directory, destination);
}

const destination = resolve(process.argv[2] ?? join(rootDirectory, "build", "packages"));
const work = mkdtempSync(join(tmpdir(), "millrace-pack-"));
try {
	mkdirSync(destination, { recursive: true });
	process.stdout.write(`${packPackage(work, destination)}\n${packCore(work, destination)}\n`);
} finally {
	rmSync(work, { recursive: true });
}
