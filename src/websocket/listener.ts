import type { Listener, ListenerOptions } from "./transport.ts";
import { listenWithUwebsockets } from "./uwebsockets.ts";

/** Of one request, all together, in bytes: what node:http takes. */
const HEADER_BYTES_MAX = 16_384;

/**
 * Listens with the transport asked for. "auto" takes uWebSockets.js where its binary loads and
 * nothing is encrypted, else `ws`; "uws" rejects where it does not load.
 */
export async function listen(
	transport: "auto" | "uws" | "ws",
	options: ListenerOptions,
): Promise<Listener> {
	// Loaded only where it serves: with what it needs of Node it is a sixth of a start.
	const withWs = async () => (await import("./ws.ts")).listenWithWs(options);
	if (transport === "ws" || options.tls !== null) return withWs();
	// Read while it loads. The library's own 4 KiB have no room for a token and some cookies.
	process.env.UWS_HTTP_MAX_HEADERS_SIZE ??= `${HEADER_BYTES_MAX}`;
	// The package throws while it loads where it has no binary for this Node, libc or architecture.
	const uws = await import("uWebSockets.js").catch((error: unknown) => {
		if (transport === "uws") throw error;
		return undefined;
	});
	return uws === undefined ? withWs() : listenWithUwebsockets(uws, options);
}
