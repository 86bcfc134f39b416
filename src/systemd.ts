import { execFile } from "node:child_process";

import type { Logger } from "./log.ts";

/**
 * Tells systemd about the state of the service, when it was started by one that waits for that
 * (`Type=notify`). Node cannot send to a Unix datagram socket, so systemd's own program does; the
 * unit needs `NotifyAccess=all`, because the message comes from a child of the broker.
 */
export function notifySystemd(state: "READY=1" | "STOPPING=1", logger: Logger): void {
	if (process.env.NOTIFY_SOCKET === undefined) return;
	execFile("systemd-notify", [state], { timeout: 5_000 }, (error) => {
		if (error !== null) logger.warn({ err: error, state }, "systemd could not be told");
	});
}
