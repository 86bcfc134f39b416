/**
 * The one thing in which Node and browsers differ: the WebSocket. `node-socket.ts` and
 * `browser-socket.ts` implement this; everything else in this folder runs in both.
 */
export interface Socket {
	/** Hands a whole message to the socket. Its bytes must stay as they are until it is answered. */
	send(message: Uint8Array): void;
	/** Starts the closing handshake. */
	close(code: number, reason: string): void;
	/** Ends the connection at once where that is possible, else closes it. */
	terminate(): void;
}

export interface SocketEvents {
	opened(): void;
	message(bytes: Uint8Array): void;
	/**
	 * The connection is over, or never came to be. Called once; `cause` is what the platform tells.
	 */
	closed(code: number, reason: string, cause: unknown): void;
}

/** PEM texts for `wss:` on Node. */
export interface TlsOptions {
	/** Certificate authorities that the broker's certificate may come from, instead of Node's own. */
	ca?: string;
	/** Our certificate, for a broker that asks for one, and its key. */
	cert?: string;
	key?: string;
	/** What the key is encrypted with. */
	passphrase?: string;
	/** The name that the broker's certificate is to have, instead of the address's. */
	servername?: string;
}

export interface SocketOptions {
	/**
	 * Node only (browsers mask by themselves): "zero" sends a masking key of zeroes, which costs
	 * nothing, "random" a random one, which protects intermediaries that look into plain traffic;
	 * "auto" is zero over loopback and TLS, where there are none.
	 */
	mask: "auto" | "zero" | "random";
	/** Node only: browsers have certificates of their own. */
	tls?: TlsOptions | undefined;
}

export type OpenSocket = (url: string, options: SocketOptions, events: SocketEvents) => Socket;

/**
 * The largest message taken from the broker, in bytes: a delivery of one largest batch, with room.
 */
export const MESSAGE_BYTES_MAX = 16_777_216;
