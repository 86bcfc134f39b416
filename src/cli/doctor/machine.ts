/** Checks of Node, the addon, limits of the process, and ports. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";

import { type Address, formatAddress } from "../../config/address.ts";
import type { BrokerConfig } from "../../config/options.ts";
import { loadNative } from "../../native.ts";
import type { Check } from "./check.ts";
import { listenerOf } from "./listener.ts";

const NODE_MAJORS = [20, 22, 24];

/**
 * One descriptor a segment that is in use, of which the broker takes half of the limit at most, and
 * one a connection: enough for thousands of both.
 */
const OPEN_FILES_WANTED = 65_536;

/**
 * The kernel's own default; windows and segments of a broker with thousands of partitions need no
 * more.
 */
const MAP_COUNT_WANTED = 65_530;

export function checkNode(): Check {
	const name = "node";
	const platform = `${process.platform}-${process.arch}`;
	const found = `${process.version}, ABI ${process.versions.modules}, ${platform}`;
	const major = Number(process.versions.node.split(".")[0]);
	if (NODE_MAJORS.includes(major)) return { name, status: "ok", found };
	const next = `Node ${NODE_MAJORS.join(", ")} are tested; use one of them`;
	return { name, status: major < 20 ? "fail" : "warn", found, next };
}

export function checkAddon(): Check {
	const name = "storage core";
	try {
		loadNative();
		return { name, status: "ok", found: "loaded" };
	} catch (error) {
		const next = "run `npm rebuild millrace` (in a clone: `npm run build`) and read what it says";
		// Each place that was tried has its own reason, and a line.
		const found = error instanceof Error ? error.message.replaceAll(/\n\s*/g, "; ") : String(error);
		return { name, status: "fail", found, next };
	}
}

export async function checkTransport(wanted: BrokerConfig["websocketTransport"]): Promise<Check> {
	const name = "websocket transport";
	if (wanted === "ws") return { name, status: "ok", found: "ws, as configured" };
	try {
		await import("uWebSockets.js");
		return { name, status: "ok", found: "uWebSockets.js" };
	} catch {
		const found = "no uWebSockets.js for this Node, libc or architecture";
		if (wanted === "uws") {
			return { name, status: "fail", found, next: "set websocket.transport to auto or ws" };
		}
		return { name, status: "ok", found: `ws (${found})` };
	}
}

export async function checkOpenFiles(): Promise<Check> {
	const name = "open files";
	const limits = await readText("/proc/self/limits");
	const row = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits ?? "");
	if (row === null) return { name, status: "warn", found: "the limit is not known on this system" };
	const soft = row[1] === "unlimited" ? Number.POSITIVE_INFINITY : Number(row[1]);
	const found = `at most ${row[1]}`;
	if (soft >= OPEN_FILES_WANTED) return { name, status: "ok", found };
	const next = `for thousands of partitions: LimitNOFILE=${OPEN_FILES_WANTED} or ulimit -n`;
	return { name, status: "warn", found, next };
}

export async function checkMapCount(): Promise<Check> {
	const name = "memory maps";
	const text = await readText("/proc/sys/vm/max_map_count");
	if (text === undefined)
		return { name, status: "warn", found: "the limit is not known on this system" };
	const found = `at most ${text.trim()}`;
	if (Number(text) >= MAP_COUNT_WANTED) return { name, status: "ok", found };
	return { name, status: "warn", found, next: `sysctl vm.max_map_count=${MAP_COUNT_WANTED}` };
}

/** Whether `address` can be listened on right now. */
export async function checkPort(name: string, flag: string, address: Address): Promise<Check> {
	const text = formatAddress(address);
	const server = createServer();
	try {
		await new Promise<void>((resolve, reject) => {
			server.once("error", reject);
			server.listen({ host: address.host, port: address.port, exclusive: true }, resolve);
		});
		return { name, status: "ok", found: `${text} is free` };
	} catch (error) {
		const code = error instanceof Error && "code" in error ? String(error.code) : "";
		return {
			name,
			status: "warn",
			found: messageOf(error),
			next: await portStep(code, flag, address),
		};
	} finally {
		server.close();
	}
}

async function portStep(code: string, flag: string, { port }: Address): Promise<string> {
	const other = `choose another with ${flag}`;
	switch (code) {
		case "EADDRINUSE": {
			const listener = (await listenerOf(port)) ?? "something";
			return `${listener} listens there, perhaps a running broker; else ${other}`;
		}
		case "EACCES":
			return `ports below 1024 need CAP_NET_BIND_SERVICE; else ${other}`;
		case "EADDRNOTAVAIL":
		case "ENOTFOUND":
			return `this machine does not have that address; ${other}`;
		default:
			return other;
	}
}

/**
 * Files are mapped, and large buffers taken that are rarely used whole: where the kernel promises
 * no more memory than there is, that fails long before memory is short.
 */
export async function checkOvercommit(path = "/proc/sys/vm/overcommit_memory"): Promise<Check> {
	const name = "memory promises";
	const text = await readText(path);
	if (text === undefined) return { name, status: "ok", found: "not known on this system" };
	const mode = text.trim();
	const found = `vm.overcommit_memory=${mode}`;
	if (mode !== "2") return { name, status: "ok", found };
	const next = "allocations fail while memory is free: sysctl vm.overcommit_memory=0";
	return { name, status: "warn", found, next };
}

async function readText(path: string): Promise<string | undefined> {
	try {
		return await readFile(path, "utf8");
	} catch {
		// Not Linux, or hidden from us: the caller says that it does not know.
		return undefined;
	}
}

function messageOf(error: unknown): string {
	return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
}
