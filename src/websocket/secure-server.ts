/**
 * HTTP over TLS for the transport over `ws`. Who has not shaken hands within some seconds is
 * closed, and so is who shows a certificate that is no good one, also where none is required.
 */
import type { RequestListener, ServerOptions } from "node:http";
import { createServer, type Server } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

import { LIMITS } from "../limits.ts";
import { certifiedPrincipal } from "../security/certified-principal.ts";
import { ANONYMOUS, type Principal } from "../security/principal.ts";
import type { TlsFiles } from "../security/tls.ts";

export class SecureServer {
	readonly server: Server;
	/** Those that are open, shaking hands or beyond. */
	readonly #open = new Set<Socket>();
	/** Whom certificates name, for as long as their connections are there. */
	readonly #principals = new WeakMap<Socket, Principal>();

	constructor(files: TlsFiles, serve: RequestListener, timeouts: ServerOptions = {}) {
		const handshakeTimeout = LIMITS.tlsHandshakeMsMax;
		this.server = createServer({ ...files.context, ...timeouts, handshakeTimeout }, serve);
		this.server.on("connection", (socket: Socket) => {
			this.#open.add(socket);
			socket.on("close", () => this.#open.delete(socket));
		});
		// Before the listener that node:https has for it, which begins to read requests.
		this.server.prependListener("secureConnection", (socket: TLSSocket) => {
			try {
				this.#principals.set(socket, certifiedPrincipal(socket));
			} catch {
				// Behind the handshake nothing else can be told.
				socket.destroy();
			}
		});
		files.follow(this.server);
	}

	/** Whom a connection's certificate names. */
	principalOf(socket: Socket): Principal {
		return this.#principals.get(socket) ?? ANONYMOUS;
	}

	/** Ends what is open, shaking hands or beyond. */
	close(): void {
		for (const socket of this.#open) socket.destroy();
	}
}
