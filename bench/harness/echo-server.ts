/**
 * Sends every message back: what a round trip costs over this transport when nothing is done with
 * it. A program, started by server-process.ts; its ready line is the broker's.
 */
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

function ready(transport: string, port: number): void {
	const line = { msg: "ready", websocket: `ws://127.0.0.1:${port}`, transport };
	process.stderr.write(`${JSON.stringify(line)}\n`);
}

type Uws = typeof import("uWebSockets.js");

async function loadUws(): Promise<Uws | null> {
	try {
		return await import("uWebSockets.js");
	} catch {
		// No binary for this Node, libc or architecture: the broker falls back to ws as well.
		return null;
	}
}

const uws = await loadUws();
if (uws === null) {
	const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
	server.on("connection", (socket) => {
		socket.on("message", (message) => socket.send(message));
	});
	server.on("listening", () => ready("ws", (server.address() as AddressInfo).port));
} else {
	const app = uws.App().ws("/", {
		compression: 0,
		message: (socket, message) => {
			socket.send(message, true, false);
		},
	});
	app.listen("127.0.0.1", 0, (token) => {
		if (!token) throw new Error("cannot listen on loopback");
		ready("uws", uws.us_socket_local_port(token));
	});
}
