/**
 * What the disk below a directory is given, from /sys. Elsewhere than on Linux, and of file systems
 * that have no block device of their own (tmpfs, overlayfs, btrfs), nothing is known.
 */
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";

import { endWithRun } from "./interruption.ts";

/** What the figure is called, in results and tables. */
export const DEVICE_BYTES = "bytes to the device for a byte appended";

/** What Linux counts in, whatever the sectors of the device are. */
const SECTOR_BYTES = 512;

/** Field of /sys/dev/block/MAJOR:MINOR/stat, which partitions and mapped devices have as well. */
const SECTORS_WRITTEN = 6;

const run = promisify(execFile);

/**
 * Begins to count what the device is given that holds a directory, by whomever; calling what it
 * returns ends the count. Both first bring to the device all that its file system holds back: what
 * came before does not count, and what is still to be written does. Null where it is not known.
 */
export async function countDeviceBytes(directory: string): Promise<() => Promise<number | null>> {
	const before = await syncedBytes(directory);
	return async () => {
		const after = before === null ? null : await syncedBytes(directory);
		// A device that does not keep statistics always tells the same.
		return before === null || after === null || after === before ? null : after - before;
	};
}

async function syncedBytes(directory: string): Promise<number | null> {
	const { dev } = await stat(directory, { bigint: true });
	const path = `/sys/dev/block/${deviceNumbers(dev)}/stat`;
	// Nobody waits for a disk that will not tell.
	if ((await unlessMissing(readFile(path, "latin1"))) === null) return null;
	if (!(await syncDisk(directory))) return null;
	const statistics = await unlessMissing(readFile(path, "latin1"));
	return statistics === null ? null : bytesWritten(statistics);
}

/**
 * Brings to the disk what the file system of a directory holds back, so that nobody's bytes are
 * written during the next one's time. False where the system has no program for it.
 */
export async function syncDisk(directory: string): Promise<boolean> {
	// Elsewhere it knows no options.
	const syncing = run("sync", process.platform === "linux" ? ["-f", directory] : []);
	endWithRun(syncing.child);
	return (await unlessMissing(syncing)) !== null;
}

/** Null where there is no such file or program. */
async function unlessMissing<Result>(wanted: Promise<Result>): Promise<Result | null> {
	try {
		return await wanted;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
}

/** `MAJOR:MINOR` of what stat(2) calls the device of a file, as Linux puts both into one number. */
export function deviceNumbers(device: bigint): string {
	const major = ((device >> 32n) & ~0xfffn) | ((device >> 8n) & 0xfffn);
	const minor = ((device >> 12n) & 0xffff_ff00n) | (device & 0xffn);
	return `${major}:${minor}`;
}

/** Of a device, since the system was started, from its statistics. */
export function bytesWritten(statistics: string): number {
	return Number(statistics.trim().split(/\s+/)[SECTORS_WRITTEN]) * SECTOR_BYTES;
}
