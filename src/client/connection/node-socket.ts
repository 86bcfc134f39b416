import WebSocket from "ws";
import { SUBPROTOCOL } from "../../protocol/operations.ts";
import { MESSAGE_BYTES_MAX, type OpenSocket, type SocketOptions } from "./socket.ts";

/** WebSockets of Node, by the package `ws`: binary messages, no compression. */
export const openNodeSocket: OpenSocket = (url, options, events) => {
	const socket = new WebSocket(url, SUBPROTOCOL, {
		perMessageDeflate: false,
		maxPayload: MESSAGE_BYTES_MAX,
		followRedirects: false,
		...options.tls,
		...(masksWithZero(url, options) ? { generateMask: zeroMask } : {}),
	});
	let cause: unknown;
	socket.on("open", () => events.opened());
	socket.on("message", (data) => events.message(plainBytes(data as Buffer)));
	socket.on("error", (error) => {
		cause = error;
	});
	socket.on("close", (code, reason) => events.closed(code, reason.toString(), cause));
	return {
		send: (message) => socket.send(message),
		close: (code, reason) => socket.close(code, reason),
		terminate: () => socket.terminate(),
	};
};

/**
 * The same memory without Buffer's methods: every value of a delivery is a view of it, and Buffer's
 * own `subarray` takes a third longer to make one.
 */
function plainBytes({ buffer, byteOffset, length }: Buffer): Uint8Array {
	return new Uint8Array(buffer, byteOffset, length);
}

/** `ws` reads a key of zeroes as "nothing to mask" and sends the message without a copy. */
function zeroMask(key: Uint8Array): void {
	key.fill(0);
}

/** Whether no intermediary can take our bytes for its own protocol. */
export function masksWithZero(url: string, { mask }: SocketOptions): boolean {
	if (mask !== "auto") return mask === "zero";
	const { protocol, hostname } = new URL(url);
	if (protocol === "wss:" || protocol === "https:") return true;
	return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
