/** Checks against what a broker has left in its data directory, or has there now. */
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { readPid } from "../../addresses.ts";
import { partitionsOf } from "../../storage/data-files.ts";
import { formatBytes } from "../sizes.ts";
import type { Check } from "./check.ts";

/** Clocks that are kept by NTP are nearer than this to each other. */
const CLOCK_STEP_MS_MAX = 5_000;
/** What a broker under full load has of its own, and as much again for what it needs at times. */
const MEMORY_LIMIT_WANTED_BYTES = 2 ** 29;
/** Version 1 of control groups writes about this for no limit. */
const UNLIMITED_BYTES = 2 ** 62;

/** No machine that runs this has its clock right before. */
const CLOCK_MIN_MS = Date.parse("2026-01-01");

/** Whether the clock has gone back behind what was written last, or was never set. */
export function checkClock(dataDir: string, nowMs: number): Check {
	const name = "clock";
	if (nowMs < CLOCK_MIN_MS) {
		const found = `it is ${isoTime(nowMs)} here, which is over`;
		const next = "set the clock by NTP: retention deletes, and certificates count, by it";
		return { name, status: "fail", found, next };
	}
	let newestMs: number;
	try {
		newestMs = newestSegmentMs(resolve(dataDir));
	} catch (error) {
		return notKnown(name, error);
	}
	if (newestMs === Number.NEGATIVE_INFINITY) {
		return { name, status: "ok", found: "nothing was written yet that it could be behind of" };
	}
	const aheadMs = newestMs - nowMs;
	if (aheadMs <= CLOCK_STEP_MS_MAX) {
		return { name, status: "ok", found: `the newest segment is of ${isoTime(newestMs)}` };
	}
	return {
		name,
		status: "warn",
		found: `the newest segment was written ${(aheadMs / 1_000).toFixed(0)} s in the future`,
		next:
			"the clock is wrong or was: set it by NTP; with LogAppendTime, times stay where they are " +
			"until it has caught up",
	};
}

/** When a segment was written to last; negative infinity where there is none. */
function newestSegmentMs(dataDir: string): number {
	let newestMs = Number.NEGATIVE_INFINITY;
	for (const { files } of partitionsOf(dataDir)) {
		for (const file of files) {
			if (file.name.endsWith(".log")) newestMs = Math.max(newestMs, file.modifiedMs);
		}
	}
	return newestMs;
}

/** A check of what lies in a data directory that does not let itself be looked at. */
function notKnown(name: string, error: unknown): Check {
	const { code, message } = error as NodeJS.ErrnoException;
	// Anything else is a mistake of ours.
	if (code === undefined) throw error;
	const found = `not known: ${message}`;
	const isForbidden = code === "EACCES" || code === "EPERM";
	const next = isForbidden
		? "ask as the user that the broker runs as: sudo -u USER millrace doctor ..."
		: "see what is said of the data directory";
	return { name, status: "warn", found, next };
}

const isoTime = (timeMs: number): string => new Date(timeMs).toISOString();

/** The figure to watch: of a running broker what it has now, and what it may have. */
export async function checkMemory(dataDir: string): Promise<Check> {
	const name = "memory";
	let figure: string | undefined;
	try {
		figure = await brokerMemory(resolve(dataDir));
	} catch (error) {
		return notKnown(name, error);
	}
	const found =
		figure ?? "no broker runs here; of one that does, watch RssAnon in /proc/PID/status";
	const limit = await memoryLimitBytes();
	if (limit === undefined || limit >= MEMORY_LIMIT_WANTED_BYTES) {
		return { name, status: "ok", found };
	}
	return {
		name,
		status: "warn",
		found: `${found}; at most ${formatBytes(limit)} by this cgroup`,
		next: `give it ${formatBytes(MEMORY_LIMIT_WANTED_BYTES)} and what page cache is to have`,
	};
}

/**
 * What the broker of a data directory has; undefined where none runs or nobody says. Rejects with
 * the system's error where that cannot be found out.
 */
async function brokerMemory(dataDir: string): Promise<string | undefined> {
	const pid = await readPid(dataDir);
	if (pid === null) return undefined;
	const status = await readIfThere(`/proc/${pid}/status`);
	const bytesOf = (field: string) => {
		const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status ?? "")?.[1];
		return kibibytes === undefined ? undefined : Number(kibibytes) * 1_024;
	};
	const [own, all] = [bytesOf("RssAnon"), bytesOf("VmRSS")];
	if (own === undefined || all === undefined) return undefined;
	return `RssAnon ${formatBytes(own)} of pid ${pid}; ${formatBytes(all - own)} more are page cache`;
}

/** undefined: none. Those of the groups around this one count, too. */
export async function memoryLimitBytes(
	root = "/sys/fs/cgroup",
	membership = "/proc/self/cgroup",
): Promise<number | undefined> {
	const text = (await readIfThere(membership)) ?? "";
	const unified = /^0::(.*)$/m.exec(text)?.[1];
	const first = /^\d+:[^:]*\bmemory\b[^:]*:(.*)$/m.exec(text)?.[1];
	const files = [
		...groupsFrom(unified).map((group) => join(root, group, "memory.max")),
		...groupsFrom(first).map((group) => join(root, "memory", group, "memory.limit_in_bytes")),
	];
	const limits = await Promise.all(files.map(async (file) => Number(await readIfThere(file))));
	const least = Math.min(...limits.filter((limit) => limit > 0));
	return least < UNLIMITED_BYTES ? least : undefined;
}

/** A group and all those that it is in. */
function groupsFrom(group: string | undefined): string[] {
	if (group === undefined) return [];
	return group === "/" ? ["/"] : [group, ...groupsFrom(dirname(group))];
}

async function readIfThere(path: string): Promise<string | undefined> {
	try {
		return await readFile(path, "utf8");
	} catch {
		// Not Linux, hidden from us, or just gone: the caller says what it knows.
		return undefined;
	}
}
