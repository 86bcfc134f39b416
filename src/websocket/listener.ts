import type { Listener, ListenerOptions } from "./transport.ts";
import { listenWithUwebsockets } from "./uwebsockets.ts";
import { listenWithWs } from "./ws.ts";

/**
 * Listens with the transport asked for. "auto" takes uWebSockets.js where its binary loads, else
 * `ws`; "uws" rejects where it does not load.
 */
export async function listen(
	transport: "auto" | "uws" | "ws",
	options: ListenerOptions,
): Promise<Listener> {
	if (transport === "ws") return listenWithWs(options);
	// The package throws while it loads where it has no binary for this Node, libc or architecture.
	const uws = await import("uWebSockets.js").catch((error: unknown) => {
		if (transport === "uws") throw error;
		return undefined;
	});
	return uws === undefined ? listenWithWs(options) : listenWithUwebsockets(uws, options);
}
