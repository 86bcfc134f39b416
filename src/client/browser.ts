/**
 * The SDK in browsers and other places with a WebSocket of their own: needs no Node, evaluates no
 * code.
 */

import { type Client, type ConnectOptions, connectWith } from "./client.ts";
import { openBrowserSocket } from "./connection/browser-socket.ts";

export * from "./public.ts";

/**
 * Connects to a broker, such as `wss://example.org`. Makes one attempt and rejects with why it
 * failed (CONNECTION_LOST, NOT_AUTHENTICATED); once it has succeeded, the client reconnects by
 * itself.
 */
export function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
	return connectWith(openBrowserSocket, url, options);
}
