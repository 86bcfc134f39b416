/** Where a running broker can be reached, in its data directory, for scripts that started it. */
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type Address, formatAddress } from "./config.ts";

/** What clients connect to. */
export interface BrokerAddresses {
	/** `ws://HOST:PORT` */
	readonly websocket: string;
	/** `http://HOST:PORT` */
	readonly http: string;
	/** `HOST:PORT`, or null while the Kafka protocol is not served. */
	readonly kafka: string | null;
}

const FILE = "addresses.json";

/** The addresses of listeners; one that listens everywhere is reached through loopback. */
export function reachableAddresses(websocket: Address, kafka: Address | null): BrokerAddresses {
	const authority = formatAddress(reachable(websocket));
	return {
		websocket: `ws://${authority}`,
		http: `http://${authority}`,
		kafka: kafka === null ? null : formatAddress(reachable(kafka)),
	};
}

function reachable({ host, port }: Address): Address {
	if (host === "0.0.0.0") return { host: "127.0.0.1", port };
	if (host === "::") return { host: "::1", port };
	return { host, port };
}

/**
 * Writes `addresses.json` by rename, so that whoever sees the file sees all of it: also after a
 * power cut, which could otherwise leave the name without the content.
 */
export async function writeAddresses(
	dataDir: string,
	addresses: BrokerAddresses,
	startedMs: number,
): Promise<void> {
	const content = {
		pid: process.pid,
		started_at: new Date(startedMs).toISOString(),
		...addresses,
	};
	const temporary = join(dataDir, `${FILE}.new`);
	await writeFile(temporary, `${JSON.stringify(content)}\n`, { mode: 0o600, flush: true });
	await rename(temporary, join(dataDir, FILE));
}

/** Removes `addresses.json`, also one that a broker which did not stop in order has left. */
export async function removeAddresses(dataDir: string): Promise<void> {
	await rm(join(dataDir, FILE), { force: true });
}
