/**
 * TLS on accepted sockets. Who has not shaken hands within some seconds is closed, so that silent
 * clients hold their place among the connections no longer than that.
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";

import { LIMITS } from "../limits.ts";
import { certifiedPrincipal } from "../security/certified-principal.ts";
import type { Principal } from "../security/principal.ts";
import type { TlsFiles } from "../security/tls.ts";

export class TlsSockets {
	/** It listens nowhere: sockets are handed to it. */
	readonly #server: Server;
	/** Those that are open, shaking hands or beyond. */
	readonly #open = new Set<Socket>();

	/**
	 * `secured` is told of each socket whose handshake is done, and of whom its certificate names;
	 * `failed` of those that are closed.
	 */
	constructor(
		files: TlsFiles,
		secured: (socket: TLSSocket, principal: Principal) => void,
		failed: (error: Error, socket: TLSSocket) => void,
	) {
		const handshakeTimeout = LIMITS.tlsHandshakeMsMax;
		this.#server = createServer({ ...files.context, handshakeTimeout }, (socket) => {
			let principal: Principal;
			try {
				principal = certifiedPrincipal(socket);
			} catch (error) {
				failed(error as Error, socket);
				socket.destroy();
				return;
			}
			secured(socket, principal);
		});
		this.#server.on("tlsClientError", (error, socket) => {
			failed(error, socket);
			socket.destroy();
		});
		files.follow(this.#server);
	}

	/** Begins the handshake. */
	accept(socket: Socket): void {
		this.#open.add(socket);
		socket.on("close", () => this.#open.delete(socket));
		this.#server.emit("connection", socket);
	}

	/** Ends what is open, shaking hands or beyond. */
	close(): void {
		for (const socket of this.#open) socket.destroy();
	}
}
