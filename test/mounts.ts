/**
 * Small file systems for tests that fill a disk or cut its power. Mounting needs root and loop
 * devices; a test without them skips itself with the reason:
 *
 *     const missing = missingMounts();
 *     if (missing !== null) context.skip(missing);
 */
import { spawnSync } from "node:child_process";
import {
	closeSync,
	ftruncateSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readFileSync,
	rmdirSync,
} from "node:fs";
import { tmpdir } from "node:os";
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

/** How a file system of each kind is made, in a file; on ext4 without blocks kept for root. */
const MAKERS = {
	ext4: ["mkfs.ext4", "-q", "-F", "-m", "0"],
	xfs: ["mkfs.xfs", "-q", "-f"],
	btrfs: ["mkfs.btrfs", "-q", "-f"],
} as const;

export type ImageKind = keyof typeof MAKERS;

/** Why nothing can be mounted here, or no image of this kind; null where it can. */
export function missingMounts(kind: ImageKind = "ext4"): string | null {
	if (process.platform !== "linux") return "mounting file systems for a test needs Linux";
	if (process.getuid?.() !== 0) return "mounting file systems for a test needs root";
	for (const command of ["mount", "umount", "losetup", "flock", MAKERS[kind][0]]) {
		const { error } = spawnSync(command, ["--version"]);
		if (error !== undefined) return `${command} is not on this machine`;
	}
	const known = readFileSync("/proc/filesystems", "utf8").split(/\s+/);
	if (!known.includes(kind)) return `this machine's kernel has no ${kind}`;
	if (spawnSync("losetup", ["--find"]).status !== 0) return "there is no free loop device";
	return refusal();
}

/** Why even root is refused a mount, as in many containers; null where it is not. */
function refusal(): string | null {
	const directory = mkdtempSync(join(tmpdir(), "millrace-test-"));
	const tried = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "millrace-test", directory]);
	if (tried.status === 0) run("umount", [directory]);
	rmdirSync(directory);
	return tried.status === 0 ? null : `nothing may be mounted here: ${tried.stderr}`.trim();
}

/** A tmpfs of this size. */
export function mountMemory(bytes: number): Mount {
	const directory = join(temporaryDirectory(), "mount");
	mkdirSync(directory);
	run("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "millrace-test", directory]);
	return mounted(directory, null);
}

/** What a new image is to be; by default an ext4 in a directory of its own. */
export interface ImageOptions {
	readonly kind?: ImageKind;
	readonly directory?: string;
	/** Further options of the command that makes it. */
	readonly making?: readonly string[];
	/** Further options of its mount. */
	readonly mounting?: readonly string[];
}

/**
 * A new file system of this size in the file `image`, sparse where nothing was written. The
 * smallest that can be made is 64 MiB with ext4, 109 MiB with btrfs and 300 MiB with xfs.
 */
export function mountNewImage(bytes: number, options: ImageOptions = {}): Mount {
	const { kind = "ext4", directory = temporaryDirectory(), making = [], mounting } = options;
	const imageFile = join(directory, "image");
	const descriptor = openSync(imageFile, "w");
	ftruncateSync(descriptor, bytes);
	closeSync(descriptor);
	const [command, ...given] = MAKERS[kind];
	run(command, [...given, ...making, imageFile]);
	return mountImage(imageFile, mounting);
}

/**
 * The file system in a file; its journal is replayed where it was not unmounted.
 * @param options further ones of the mount
 */
export function mountImage(imageFile: string, options: readonly string[] = []): Mount {
	const directory = join(temporaryDirectory(), "mount");
	mkdirSync(directory);
	runAlone("mount", ["-o", ["loop", ...options].join(","), imageFile, directory]);
	return mounted(directory, imageFile);
}

function mounted(directory: string, imageFile: string | null): Mount {
	let isMounted = true;
	const unmount = () => {
		if (!isMounted) return;
		isMounted = false;
		runAlone("umount", [directory]);
	};
	onTestFinished(unmount);
	return { directory, imageFile, unmount };
}

/**
 * Runs what takes or gives back a loop device while no other test does. Of two at once one may get
 * the device that the other has just taken, or that is about to be free: then it finds no file
 * system on it.
 */
export function runAlone(command: string, parameters: readonly string[]): string {
	return run("flock", [join(tmpdir(), "millrace-test-loop.lock"), command, ...parameters]);
}

/** Runs a command to its end. Throws with what it wrote to stderr when it fails. */
export function run(command: string, parameters: readonly string[]): string {
	const { status, stdout, stderr, error } = spawnSync(command, parameters, { encoding: "utf8" });
	if (error !== undefined) throw error;
	if (status !== 0) throw new Error(`${command} ${parameters.join(" ")}: ${stderr}`);
	return stdout;
}
