/** Millrace in each comparison: a broker with its defaults, topics with the peer's settings. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { VERSION } from "#dist/version.js";

import { type ServerProcess, startBrokerProcess } from "../harness/server-process.ts";
import type { Contender } from "./contender.ts";

/** `address` chooses the protocol; `written` says what its topics have where acks are `written`. */
export async function startMillrace(
	directory: string,
	address: (server: ServerProcess) => string,
	written: string,
): Promise<{ contender: Contender; stop(): Promise<void> }> {
	const data = join(directory, "data");
	await mkdir(data, { recursive: true });
	const server = await startBrokerProcess(data);
	const endpoint = { address: address(server), measure: () => server.measure() };
	const contender: Contender = {
		contender: "millrace",
		title: "Millrace",
		version: VERSION,
		written,
		flushed: "flush.messages=1",
		endpoint: () => endpoint,
	};
	return { contender, stop: () => server.stop() };
}
