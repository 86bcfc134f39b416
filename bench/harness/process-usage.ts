/** What another process has used, from /proc. Elsewhere than on Linux nothing is known. */
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessUsage {
	/** User and system time since the process began, with that of its children that have ended. */
	readonly cpuSeconds: number;
	/** Anonymous memory: heaps and buffers, without mapped files and their page cache. */
	readonly anonymousBytes: number;
}

/** Linux reports times to programs in hundredths of a second on every architecture. */
const TICKS_PER_SECOND = 100;

/** Fields of /proc/PID/stat behind the name, which may hold blanks and ends with a parenthesis. */
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;
const CHILDREN_USER_TICKS = 13;
const CHILDREN_SYSTEM_TICKS = 14;

/** Null where there is no /proc, or no such process. */
export function processUsage(pid: number): ProcessUsage | null {
	let stat: string;
	let status: string;
	try {
		stat = readFileSync(`/proc/${pid}/stat`, "latin1");
		status = readFileSync(`/proc/${pid}/status`, "latin1");
	} catch {
		// Not Linux, or the process is gone: the caller shows that it does not know.
		return null;
	}
	const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
	const ticks = [USER_TICKS, SYSTEM_TICKS, CHILDREN_USER_TICKS, CHILDREN_SYSTEM_TICKS]
		.map((field) => Number(fields[field]))
		.reduce((sum, value) => sum + value);
	const anonymous = /^RssAnon:\s+(\d+) kB/m.exec(status);
	return {
		cpuSeconds: ticks / TICKS_PER_SECOND,
		anonymousBytes: Number(anonymous?.[1] ?? 0) * 1_024,
	};
}

/**
 * Seconds for which the first thread of a process, in Node its event loop, was ready to run and had
 * no processor, since it began. Null where the system does not tell.
 */
export function loopWaitSeconds(pid: number): number | null {
	try {
		// Of that thread alone: nanoseconds that it ran, that it waited, and how often it ran.
		const [, waited] = readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ");
		return waited === undefined ? null : Number(waited) / 1e9;
	} catch {
		// As above, or a kernel without CONFIG_SCHED_INFO.
		return null;
	}
}

/** Files and sockets that a process has open. Null where there is no /proc, or no such process. */
export function openFiles(pid: number): number | null {
	try {
		return readdirSync(`/proc/${pid}/fd`).length;
	} catch {
		// As above.
		return null;
	}
}
