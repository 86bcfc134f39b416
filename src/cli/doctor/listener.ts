/** Who listens on a port of this machine, as Linux tells those who may know. */
import { readdir, readFile, readlink } from "node:fs/promises";

/** State 0A is LISTEN: see proc_pid_net(5). The inode is the tenth field. */
const LISTENING = /^ *\d+: [\dA-F]+:([\dA-F]{4}) [\dA-F]+:[\dA-F]+ 0A(?: +\S+){5} +(\d+)/gm;

/**
 * The process that listens on a TCP port, such as "pid 17 (node)"; undefined where the system does
 * not tell, or not this user.
 */
export async function listenerOf(port: number): Promise<string | undefined> {
	const tables = await Promise.all(["tcp", "tcp6"].map((name) => textOf(`/proc/net/${name}`)));
	const sockets = new Set(
		[...tables.join("\n").matchAll(LISTENING)]
			.filter(([, hexadecimal]) => Number.parseInt(hexadecimal as string, 16) === port)
			.map(([, , inode]) => `socket:[${inode}]`),
	);
	if (sockets.size === 0) return undefined;
	for (const pid of (await namesIn("/proc")).filter((name) => /^\d+$/.test(name))) {
		for (const descriptor of await namesIn(`/proc/${pid}/fd`)) {
			const target = await linkOf(`/proc/${pid}/fd/${descriptor}`);
			if (!sockets.has(target)) continue;
			return `pid ${pid} (${(await textOf(`/proc/${pid}/comm`)).trim()})`;
		}
	}
	return undefined;
}

// Processes end while they are looked at, and those of others are hidden: both is nothing found.

const textOf = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const linkOf = (path: string): Promise<string> => readlink(path).catch(() => "");
const namesIn = (path: string): Promise<string[]> => readdir(path).catch(() => []);
