/**
 * A power cut under a broker: it is stopped by SIGSTOP, then the file system is cut off from its
 * device at once, so that what was not synced by then never reaches the image (btrfs cannot be cut
 * off; it is copied before it writes by itself). A copy of the image is mounted, which replays its
 * journal. A file that nobody synced proves each time that the cut takes such data away.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

import { type BrokerProcess, temporaryDirectory } from "../../broker-process.ts";
import { type ImageKind, type Mount, mountImage, run } from "../../mounts.ts";

const UNSYNCED = Buffer.alloc(65_536, "unsynced");
/** Acknowledgements and deliveries that were on their way have arrived by then. */
const ARRIVAL_MS = 200;

/** Resolves when nothing reaches the disk any more, and nobody hears of the broker any more. */
export async function cutPower(
	broker: BrokerProcess,
	disk: Mount,
	kind: ImageKind,
	python: string,
): Promise<void> {
	writeFileSync(join(disk.directory, "unsynced"), UNSYNCED);
	await broker.pause();
	if (kind !== "btrfs") cutOff(python, disk.directory);
	await sleep(ARRIVAL_MS);
}

/** What a power cut has left of a disk, as a file. */
export function copyOf(disk: Mount): string {
	const copy = join(temporaryDirectory(), "copy");
	run("cp", ["--sparse=always", disk.imageFile as string, copy]);
	return copy;
}

/** Mounts what a power cut has left. */
export function mountCopy(copy: string, kind: ImageKind): Mount {
	if (kind === "ext4") expect(run("dumpe2fs", ["-h", copy])).toContain("needs_recovery");
	// An XFS is not mounted twice, and a process with mounts of its own may still have the original.
	const after = mountImage(copy, kind === "xfs" ? ["nouuid"] : []);
	expect(contentOf(join(after.directory, "unsynced"))).not.toEqual(UNSYNCED);
	return after;
}

/** EXT4_IOC_SHUTDOWN, which is XFS_IOC_GOINGDOWN, without a flush of the log. */
function cutOff(python: string, directory: string): void {
	const program = [
		"import fcntl, os, struct, sys",
		"SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2",
		"descriptor = os.open(sys.argv[1], os.O_RDONLY)",
		'fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))',
	].join("\n");
	const { status, stderr } = spawnSync(python, ["-c", program, directory], { encoding: "utf8" });
	expect(status, stderr).toBe(0);
}

function contentOf(file: string): Buffer | null {
	try {
		return readFileSync(file);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
}
