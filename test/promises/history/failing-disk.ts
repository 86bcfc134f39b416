/**
 * A disk that fails when a test says so: an ext4 on a loop device whose file lies on a tmpfs that
 * is filled then. The page cache still takes writes, and an fdatasync of what finds no room fails.
 *
 * A loop device answers a write of which a part has room as if all of it had (Linux 6.18), and that
 * would be a disk that lies. So requests are of one page, which has room or has not.
 */
import { closeSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";

import { temporaryDirectory } from "../../broker-process.ts";
import { type Mount, mountImage, mountMemory, mountNewImage, run, runAlone } from "../../mounts.ts";

const MEBIBYTE = 1_048_576;
const PAGE_BYTES = 4_096;

/**
 * What fails: the whole disk, so that most files' data does, or the journal alone, so that a commit
 * fails in which many files are.
 */
export type FailingPart = "disk" | "journal";

export class FailingDisk {
	readonly #memory = mountMemory(64 * MEBIBYTE);
	readonly #journalFile: string | undefined;
	readonly #disk: Mount;
	#ballast: string | undefined;

	constructor(part: FailingPart) {
		const making = ["-b", `${PAGE_BYTES}`];
		if (part === "disk") {
			const { directory } = this.#memory;
			this.#disk = mountNewImage(256 * MEBIBYTE, { directory, making });
			limitRequests(deviceOf(this.#disk.imageFile as string));
			return;
		}
		const journalFile = join(this.#memory.directory, "journal");
		writeFileSync(journalFile, "");
		truncateSync(journalFile, 32 * MEBIBYTE);
		const device = attach(journalFile);
		limitRequests(device);
		run("mke2fs", ["-q", "-F", ...making, "-O", "journal_dev", device]);
		const apart = [...making, "-J", `device=${device}`];
		this.#disk = mountNewImage(256 * MEBIBYTE, { making: apart });
		// It was filled with zeros, and is to have no room when it is written to.
		run("fallocate", ["--dig-holes", journalFile]);
		this.#journalFile = journalFile;
	}

	/** Where the file system is mounted. */
	get directory(): string {
		return this.#disk.directory;
	}

	fail(): void {
		this.#ballast = fill(this.#memory.directory);
	}

	/** What is on the disk now, without what only the page cache has, in a new directory. */
	copy(): string {
		const directory = temporaryDirectory();
		const files = [this.#disk.imageFile, this.#journalFile].filter((file) => file !== undefined);
		run("cp", ["--sparse=always", ...(files as string[]), directory]);
		return directory;
	}

	/** Gives up the disk; nobody may use it any more. Mounts what `copy` has taken. */
	replaceBy(copy: string): Mount {
		if (this.#ballast !== undefined) rmSync(this.#ballast);
		this.#disk.unmount();
		const image = join(copy, "image");
		if (this.#journalFile === undefined) return mountImage(image);
		return mountImage(image, [`journal_path=${attach(join(copy, "journal"))}`]);
	}
}

/** The loop device of a file that gets one, which it loses at the end of the test. */
function attach(file: string): string {
	const device = runAlone("losetup", ["--find", "--show", file]).trim();
	onTestFinished(() => void runAlone("losetup", ["--detach", device]));
	return device;
}

/** The loop device that a file has. */
function deviceOf(file: string): string {
	return run("losetup", ["--noheadings", "--output", "NAME", "--associated", file]).trim();
}

/** Has a loop device ask for one page at a time of the file behind it. */
function limitRequests(device: string): void {
	const name = device.slice("/dev/".length);
	writeFileSync(`/sys/block/${name}/queue/max_sectors_kb`, `${PAGE_BYTES / 1_024}`);
}

/** Takes all the room that there is in a file system; gives the file. */
function fill(directory: string): string {
	const file = join(directory, "ballast");
	const descriptor = openSync(file, "w");
	const zeroes = Buffer.alloc(MEBIBYTE);
	try {
		for (let bytes = zeroes; bytes.length > 0; ) {
			try {
				writeSync(descriptor, bytes);
			} catch (error) {
				if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
				bytes = bytes.subarray(0, bytes.length >> 1);
			}
		}
	} finally {
		closeSync(descriptor);
	}
	return file;
}
