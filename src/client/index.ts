/** The SDK on Node: `import { connect } from "millrace/client"`. */
import { type Client, type ConnectOptions, connectWith } from "./client.ts";
import { openNodeSocket } from "./connection/node-socket.ts";

export * from "./public.ts";

/**
 * Connects to a broker, such as `ws://127.0.0.1:4600`. Makes one attempt and rejects with why it
 * failed (CONNECTION_LOST, NOT_AUTHENTICATED); once it has succeeded, the client reconnects by
 * itself.
 */
export function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
	return connectWith(openNodeSocket, url, options);
}
