/**
 * Small file systems for tests that fill a disk or cut its power. Mounting needs root and loop
 * devices; a test without them skips itself with the reason:
 *
 *     const missing = missingMounts();
 *     if (missing !== null) context.skip(missing);
 */
import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";

import { temporaryDirectory } from "./broker-process.ts";

/** A mounted file system, unmounted at the end of the test. */
export interface Mount {
	readonly directory: string;
	/** Where its blocks are, for a loop-mounted one. */
	readonly imageFile: string | null;
	unmount(): void;
}

/** Why nothing can be mounted here; null where it can. */
export function missingMounts(): string | null {
	if (process.platform !== "linux") return "mounting file systems for a test needs Linux";
	if (process.getuid?.() !== 0) return "mounting file systems for a test needs root";
	for (const command of ["mount", "umount", "losetup", "mkfs.ext4"]) {
		const { error } = spawnSync(command, ["--version"]);
		if (error !== undefined) return `${command} is not on this machine`;
	}
	if (spawnSync("losetup", ["--find"]).status !== 0) return "there is no free loop device";
	return null;
}

/** A tmpfs of this size. */
export function mountMemory(bytes: number): Mount {
	const directory = join(temporaryDirectory(), "mount");
	mkdirSync(directory);
	run("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "millrace-test", directory]);
	return mounted(directory, null);
}

/** A new ext4 of this size in a file, sparse where nothing was written, in this directory. */
export function mountNewImage(bytes: number, directory: string = temporaryDirectory()): Mount {
	const imageFile = join(directory, "image");
	const descriptor = openSync(imageFile, "w");
	ftruncateSync(descriptor, bytes);
	closeSync(descriptor);
	// No blocks kept back for root, whom the test runs as.
	run("mkfs.ext4", ["-q", "-F", "-m", "0", imageFile]);
	return mountImage(imageFile);
}

/** The ext4 in a file; its journal is replayed where it was not unmounted. */
export function mountImage(imageFile: string): Mount {
	const directory = join(temporaryDirectory(), "mount");
	mkdirSync(directory);
	run("mount", ["-o", "loop", imageFile, directory]);
	return mounted(directory, imageFile);
}

function mounted(directory: string, imageFile: string | null): Mount {
	let isMounted = true;
	const unmount = () => {
		if (!isMounted) return;
		isMounted = false;
		run("umount", [directory]);
	};
	onTestFinished(unmount);
	return { directory, imageFile, unmount };
}

/** Runs a command to its end. Throws with what it wrote to stderr when it fails. */
export function run(command: string, parameters: readonly string[]): string {
	const { status, stdout, stderr, error } = spawnSync(command, parameters, { encoding: "utf8" });
	if (error !== undefined) throw error;
	if (status !== 0) throw new Error(`${command} ${parameters.join(" ")}: ${stderr}`);
	return stdout;
}
