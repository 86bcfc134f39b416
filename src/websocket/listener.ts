import type { Listener, ListenerOptions } from "./transport.ts";
import { listenWithUwebsockets } from "./uwebsockets.ts";

/**
 * Listens with the transport asked for. "auto" takes uWebSockets.js where its binary loads, else
 * `ws`; "uws" rejects where it does not load.
 */
export async function listen(
	transport: "auto" | "uws" | "ws",
	options: ListenerOptions,
): Promise<Listener> {
	// Loaded only where it serves: with what it needs of Node it is a sixth of a start.
	const withWs = async () => (await import("./ws.ts")).listenWithWs(options);
	if (transport === "ws") return withWs();
	// The package throws while it loads where it has no binary for this Node, libc or architecture.
	const uws = await import("uWebSockets.js").catch((error: unknown) => {
		if (transport === "uws") throw error;
		return undefined;
	});
	return uws === undefined ? withWs() : listenWithUwebsockets(uws, options);
}
