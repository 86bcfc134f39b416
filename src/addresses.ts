/** Where a running broker can be reached, in its data directory, for scripts that started it. */
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { type Address, formatAddress } from "./config/address.ts";

/** What clients connect to. */
export interface BrokerAddresses {
	/** `ws://HOST:PORT`, or `wss:` */
	readonly websocket: string;
	/** `http://HOST:PORT`, or `https:` */
	readonly http: string;
	/** `HOST:PORT`, or null while the Kafka protocol is not served. */
	readonly kafka: string | null;
}

const FILE = "addresses.json";
const NEXT_FILE = `${FILE}.next`;

/** The addresses of listeners; one that listens everywhere is reached through loopback. */
export function reachableAddresses(
	websocket: Address,
	kafka: Address | null,
	isSecure = false,
): BrokerAddresses {
	const s = isSecure ? "s" : "";
	const authority = formatAddress(reachable(websocket));
	return {
		websocket: `ws${s}://${authority}`,
		http: `http${s}://${authority}`,
		kafka: kafka === null ? null : formatAddress(reachable(kafka)),
	};
}

function reachable({ host, port }: Address): Address {
	if (host === "0.0.0.0") return { host: "127.0.0.1", port };
	if (host === "::") return { host: "::1", port };
	return { host, port };
}

/**
 * Where the broker that uses a data directory says it can be reached; null: there is no such file,
 * or none that can be believed. Rejects with the system's error where it cannot be read.
 */
export async function readAddresses(dataDir: string): Promise<BrokerAddresses | null> {
	const { websocket, http, kafka } = await readFields(dataDir);
	const isAddress = typeof websocket === "string" && typeof http === "string";
	const isKafka = typeof kafka === "string";
	return isAddress ? { websocket, http, kafka: isKafka ? kafka : null } : null;
}

/** The process that uses a data directory by its own account; null as above. */
export async function readPid(dataDir: string): Promise<number | null> {
	const { pid } = await readFields(dataDir);
	return Number.isSafeInteger(pid) ? (pid as number) : null;
}

async function readFields(dataDir: string): Promise<Record<string, unknown>> {
	try {
		return Object(JSON.parse(await readFile(join(dataDir, FILE), "utf8")));
	} catch (error) {
		if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") {
			return {};
		}
		throw error;
	}
}

/**
 * Writes `addresses.json` by rename, so that whoever sees the file sees all of it: also after a
 * power cut, which could otherwise leave the name without the content.
 *
 * A broker must come up on a full disk, so that room can be made through it: then `makeRoom` is
 * called, and what it resolves to says whether to try again. Resolves to false when there was none.
 */
export async function writeAddresses(
	dataDir: string,
	addresses: BrokerAddresses,
	startedMs: number,
	makeRoom: () => Promise<boolean>,
): Promise<boolean> {
	const content = `${JSON.stringify({
		pid: process.pid,
		started_at: new Date(startedMs).toISOString(),
		...addresses,
	})}\n`;
	const next = join(dataDir, NEXT_FILE);
	if (!(await overwrite(next, content))) {
		if (!(await makeRoom()) || !(await overwrite(next, content))) return false;
	}
	await rename(next, join(dataDir, FILE));
	return true;
}

/** Resolves to false when there was no room for it. */
async function overwrite(path: string, content: string): Promise<boolean> {
	let file: FileHandle | undefined;
	try {
		file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
		await file.writeFile(content);
		await file.datasync();
		return true;
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOSPC" || code === "EDQUOT") return false;
		throw error;
	} finally {
		await file?.close();
	}
}

/** Removes `addresses.json`, also one that a broker which did not stop in order has left. */
export async function removeAddresses(dataDir: string): Promise<void> {
	await rm(join(dataDir, FILE), { force: true });
	await rm(join(dataDir, NEXT_FILE), { force: true });
}
