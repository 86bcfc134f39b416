// Which machine this is, in the words that addons are chosen by. Shared by the install script,
// which runs before TypeScript is compiled, and by src/native.ts.
import { fileURLToPath } from "node:url";

/** Where the addon lies when it was built on this machine. */
export const addonFile = fileURLToPath(new URL("./millrace.node", import.meta.url));

/** Where node-gyp puts the roofline addon. */
export const rooflineFile = fileURLToPath(
	new URL("../build/Release/roofline.node", import.meta.url),
);

/**
 * The C library of this process with its version, such as "glibc 2.36"; null where it plays no
 * part.
 */
export function libc() {
	if (process.platform !== "linux") return null;
	// Without this the report resolves the name of every network peer, which can take seconds.
	process.report.excludeNetwork = true;
	const version = process.report.getReport().header.glibcVersionRuntime;
	return version ? `glibc ${version}` : "musl";
}

/**
 * The npm package that carries the prebuilt addon of this platform, whether it is published or not.
 */
export function prebuiltPackage() {
	const linuxSuffix = libc() === "musl" ? "-musl" : "-gnu";
	const suffix = process.platform === "linux" ? linuxSuffix : "";
	return `@millrace/core-${process.platform}-${process.arch}${suffix}`;
}

/** One line for people: operating system, architecture, C library, Node and its ABI. */
export function describePlatform() {
	const node = `Node ${process.versions.node} (ABI ${process.versions.modules})`;
	return [`${process.platform} ${process.arch}`, libc(), node].filter(Boolean).join(", ");
}
