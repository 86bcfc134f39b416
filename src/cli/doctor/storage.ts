/** Checks of the place where data will lie: file system, space, allocation, flush latency. */
import { execFile } from "node:child_process";
import { mkdtemp, open, rm, stat, statfs } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { loadNative } from "../../native.ts";
import type { NativeSpaceWatermarks } from "../../native-binding.ts";
import { fileSystemOf, nearestDirectory } from "../file-systems.ts";
import { formatBytes } from "../sizes.ts";
import type { Check } from "./check.ts";

const PROBE_WRITES = 100;
const PROBE_BYTES = 4_096;
const PROBE_ALLOCATION_BYTES = 4_194_304;

/** Slower than this at the median, acks take visibly long. */
const FLUSH_MS_SLOW = 20;

/** Four files a segment, for some thousand partitions. */
const INODES_WANTED = 10_000;

/** All checks of `dataDir`, which need not exist yet; probes leave nothing behind. */
export async function checkStorage(dataDir: string): Promise<Check[]> {
	const checks: Check[] = [];
	let directory = resolve(dataDir);
	let exists: boolean;
	let probe: string;
	try {
		({ directory, exists } = await nearestDirectory(directory));
		checks.push(...(await checkFileSystem(directory)));
		probe = await mkdtemp(join(directory, ".millrace-doctor-"));
	} catch (error) {
		return [...checks, await describeRefusal(directory, error)];
	}
	const found = exists ? resolve(dataDir) : `${resolve(dataDir)} (will be created)`;
	checks.push({ name: "data directory", status: "ok", found });
	try {
		checks.push(await checkAllocation(probe), await checkFlush(probe));
	} catch (error) {
		checks.push(await describeRefusal(directory, error));
	} finally {
		await rm(probe, { recursive: true, force: true });
	}
	return checks;
}

/** Why nothing can be written in a directory, and what to do about it. */
export async function describeRefusal(directory: string, error: unknown): Promise<Check> {
	const { code, message } = error as NodeJS.ErrnoException;
	const elsewhere = "or choose another with --data-dir";
	const answer = (next: string, found = message): Check => {
		return { name: "data directory", status: "fail", found, next: `${next}, ${elsewhere}` };
	};
	switch (code) {
		case "ENOSPC":
			return answer("free space or inodes on this file system");
		case "EDQUOT":
			return answer("this user's quota is used up: raise it");
		case "EROFS":
			return answer("this file system is mounted read-only: mount it for writing");
		case "ENOTDIR":
			return answer("there is a file of that name: move it away");
		case "EACCES":
		case "EPERM": {
			const owner = await stat(directory).catch(() => undefined);
			const whose = owner === undefined ? "" : `; ${directory} belongs to user ${owner.uid}`;
			const found = `${message}${whose}, and this is user ${process.getuid?.() ?? "unknown"}`;
			return answer("make it writable for this user (chown)", found);
		}
		default:
			return answer("read what the system says");
	}
}

async function checkFileSystem(directory: string): Promise<Check[]> {
	const { type, blocks, bavail, bsize, files, ffree } = await statfs(directory);
	const space = describeSpace(blocks * bsize, bavail * bsize);
	return [describeFileSystem(type), space, describeInodes(files, ffree)];
}

/** Each segment has some files. File systems without a fixed number of them say 0. */
export function describeInodes(total: number, free: number): Check {
	const name = "free inodes";
	if (total === 0) return { name, status: "ok", found: "without bound" };
	const found = `${free} of ${total}`;
	if (free >= INODES_WANTED) return { name, status: "ok", found };
	const next = "remove files: a disk without inodes is as full as one without space";
	return { name, status: free === 0 ? "fail" : "warn", found, next };
}

/** `type` is statfs's. */
export function describeFileSystem(type: number): Check {
	const name = "file system";
	const { name: label, kind } = fileSystemOf(type);
	switch (kind) {
		case "local":
			return { name, status: "ok", found: label };
		case "memory":
			return {
				name,
				status: "warn",
				found: label,
				next: "nothing here survives a reboot; use a disk",
			};
		case "copy-on-write":
			return {
				name,
				status: "warn",
				found: label,
				next: "an overwrite may not fit on a full disk here; ext4 or xfs keep every promise",
			};
		case "layered":
			return {
				name,
				status: "warn",
				found: label,
				next: "a container's own layer is lost with it; mount a volume",
			};
		case "network":
			return {
				name,
				status: "fail",
				found: `${label}, where a broker does not start`,
				next: "locks and flushes cannot be relied on there; use a local disk",
			};
		case undefined:
			return {
				name,
				status: "warn",
				found: label,
				next: "it is not a file system we know; ext4 and xfs are tested",
			};
	}
}

/** What is free of a file system of `totalBytes`, and what the broker keeps free of it. */
export function describeSpace(totalBytes: number, availableBytes: number): Check {
	const name = "free space";
	const available = `${formatBytes(availableBytes)} of ${formatBytes(totalBytes)}`;
	let marks: NativeSpaceWatermarks;
	try {
		marks = loadNative().spaceWatermarks(totalBytes);
	} catch {
		// The core does not load, which has a line of its own.
		return { name, status: "ok", found: available };
	}
	const { warnBelow, refuseBelow, resumeFrom, reserve } = marks;
	const found =
		`${available}; records are refused below ${formatBytes(refuseBelow)}, taken again from ` +
		`${formatBytes(resumeFrom)} on, warned of below ${formatBytes(warnBelow)}; ` +
		`${formatBytes(reserve)} reserve`;
	if (availableBytes >= warnBelow) return { name, status: "ok", found };
	const next = "free space, or choose another place with --data-dir";
	return { name, status: "warn", found, next };
}

/** Node has no fallocate: the program of that name is asked, where there is one. */
async function checkAllocation(directory: string): Promise<Check> {
	const name = "fallocate";
	const path = join(directory, "allocated");
	try {
		await promisify(execFile)("fallocate", ["--length", String(PROBE_ALLOCATION_BYTES), path]);
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") {
			return { name, status: "ok", found: "not checked: there is no fallocate program here" };
		}
		const next =
			"a full disk can then fail a write that was promised to fit; ext4 and xfs allocate";
		return { name, status: "warn", found: "this file system does not allocate ahead", next };
	}
	const { blocks } = await stat(path);
	const allocated = blocks * 512 >= PROBE_ALLOCATION_BYTES;
	return allocated
		? { name, status: "ok", found: "blocks are allocated ahead" }
		: { name, status: "warn", found: "it allocates nothing", next: "ext4 and xfs allocate" };
}

/** Appends and flushes as a topic with flush.messages=1 does. */
async function checkFlush(directory: string): Promise<Check> {
	const file = await open(join(directory, "flushed"), "w");
	const block = Buffer.alloc(PROBE_BYTES, 0x6d);
	const durationsMs: number[] = [];
	try {
		for (let count = 0; count < PROBE_WRITES; count++) {
			const startedMs = performance.now();
			await file.write(block);
			await file.datasync();
			durationsMs.push(performance.now() - startedMs);
		}
	} finally {
		await file.close();
	}
	return describeFlush(durationsMs);
}

/** `durationsMs`: how long each write and fdatasync took. */
export function describeFlush(durationsMs: readonly number[]): Check {
	const sorted = [...durationsMs].sort((left, right) => left - right);
	const at = (share: number) =>
		sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
	const found =
		`write + fdatasync of ${PROBE_BYTES} bytes: p50 ${at(0.5).toFixed(2)} ms, ` +
		`p99 ${at(0.99).toFixed(2)} ms, max ${at(1).toFixed(2)} ms`;
	const name = "flush latency";
	if (at(0.5) <= FLUSH_MS_SLOW) return { name, status: "ok", found };
	const next = "every ack waits so long: use a faster disk, or topics with flush.messages above 1";
	return { name, status: "warn", found, next };
}
