import { SUBPROTOCOL } from "../../protocol/operations.ts";
import type { OpenSocket } from "./socket.ts";

/** WebSockets of the platform: browsers, workers, Deno, Bun. */
export const openBrowserSocket: OpenSocket = (url, _options, events) => {
	const socket = new WebSocket(url, SUBPROTOCOL);
	socket.binaryType = "arraybuffer";
	socket.addEventListener("open", () => events.opened());
	socket.addEventListener("message", ({ data }) => {
		if (data instanceof ArrayBuffer) events.message(new Uint8Array(data));
		else socket.close(1003, "frames are binary");
	});
	socket.addEventListener("close", ({ code, reason }) => events.closed(code, reason, undefined));
	return {
		send: (message) => socket.send(message as Uint8Array<ArrayBuffer>),
		// Pages may close with 1000 and 3000 to 4999 only.
		close: (_code, reason) => socket.close(1000, reason),
		terminate: () => socket.close(),
	};
};
