/**
 * What systemd is told of a service of `Type=notify`: when it serves, when it stops, how far a long
 * start has come and that it needs more time for it. The broker sends it itself, so that the unit
 * needs no `NotifyAccess` beyond the default of such units.
 */
import type { Clock } from "./clock.ts";
import type { Logger } from "./log.ts";
import { loadNative } from "./native.ts";

/** Sends lines such as `READY=1` to the service manager, one message. */
export type Send = (message: string) => Promise<void>;

/** How often a start that goes on is given more time, in milliseconds. */
const EXTENDED_EVERY_MS = 5_000;

/** So long may one step of a start take, in microseconds: far more than one partition needs. */
const STEP_US_MAX = 120_000_000;

/** What sends to the socket that `NOTIFY_SOCKET` names; undefined when nobody waits for that. */
export function notifySocket(address: string | undefined): Send | undefined {
	if (address === undefined || address === "") return undefined;
	return (message) => loadNative().sendUnixDatagram(address, message);
}

/** Tells the service manager of the broker's states, in their order; does nothing without one. */
export class ServiceNotifier {
	readonly #send: Send | undefined;
	readonly #clock: Clock;
	readonly #logger: Logger;
	/** Settles when what was said last is sent; never rejects. */
	#sent: Promise<void> = Promise.resolve();
	#opened = -1;
	#extendedMs = Number.NEGATIVE_INFINITY;

	constructor(send: Send | undefined, clock: Clock, logger: Logger) {
		this.#send = send;
		this.#clock = clock;
		this.#logger = logger;
	}

	/**
	 * The start goes on: `opened` of `asked` partitions are recovered. As long as that grows the
	 * start may take as long as it takes; one that hangs is given no more time.
	 */
	recovering(opened: number, asked: number): void {
		const nowMs = this.#clock.monotonicMs();
		if (opened === this.#opened || nowMs - this.#extendedMs < EXTENDED_EVERY_MS) return;
		this.#opened = opened;
		this.#extendedMs = nowMs;
		this.#notify(
			`EXTEND_TIMEOUT_USEC=${STEP_US_MAX}`,
			`STATUS=recovering: ${opened} of ${asked} partitions`,
		);
	}

	ready(status: string): void {
		this.#notify("READY=1", `STATUS=${status}`);
	}

	stopping(): void {
		this.#notify("STOPPING=1", "STATUS=answering what is outstanding, and flushing");
	}

	/** A failure costs nothing but the message: it is logged. */
	#notify(...lines: string[]): void {
		const send = this.#send;
		if (send === undefined) return;
		this.#sent = this.#sent
			.then(() => send(lines.join("\n")))
			.catch((error: unknown) => {
				this.#logger.warn({ err: error, lines }, "systemd could not be told");
			});
	}
}
