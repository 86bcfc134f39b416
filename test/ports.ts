/**
 * Ports for brokers that come back at the same address. While such a broker is down, a port of
 * those that the system gives to whoever asks for any (on Linux from 32768 on) may go to somebody
 * else, so these are below; no two tests have the same.
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

import type { AtEnd } from "./broker-process.ts";

const HOST = "127.0.0.1";
const PORT_FIRST = 20_000;
const PORT_END = 32_000;
const TRIES_MAX = 1_000;

/** A port of TCP at 127.0.0.1 that nobody listens at and no other test is given until the end. */
export async function reservePort(atEnd: AtEnd): Promise<number> {
	for (let tries = 0; tries < TRIES_MAX; tries++) {
		const port = randomInt(PORT_FIRST, PORT_END);
		const release = await claim(port);
		if (release === null) continue;
		if (await isFree(port)) {
			atEnd(release);
			return port;
		}
		release();
	}
	throw new Error(`no port from ${PORT_FIRST} to ${PORT_END - 1} is free`);
}

/**
 * Takes the UDP port of the same number, which the system lets one process have and takes back
 * from one that dies. Gives what releases it; null where somebody else has it.
 */
async function claim(port: number): Promise<(() => void) | null> {
	const socket = createSocket("udp4");
	try {
		socket.bind({ port, address: HOST, exclusive: true });
		await once(socket, "listening");
	} catch (error) {
		socket.close();
		return takenOr(error, null);
	}
	socket.unref();
	return () => void socket.close();
}

async function isFree(port: number): Promise<boolean> {
	const server = createServer();
	try {
		server.listen(port, HOST);
		await once(server, "listening");
	} catch (error) {
		return takenOr(error, false);
	}
	server.close();
	await once(server, "close");
	return true;
}

/** `result` where the port is in use; throws what else went wrong. */
function takenOr<Result>(error: unknown, result: Result): Result {
	const { code } = error as NodeJS.ErrnoException;
	if (code === "EADDRINUSE" || code === "EACCES") return result;
	throw error;
}
