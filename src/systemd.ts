/**
 * What systemd is told of a service of `Type=notify` or `notify-reload`: when it serves, when it
 * reads its configuration again, when it stops, how far a long start has come and that it needs
 * more time for it; and with `WatchdogSec` that its event loop turns. The broker sends it itself:
 * the unit needs no `NotifyAccess` beyond the default of such units.
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

/** What `WatchdogSec` of the unit asks of this process, in microseconds; undefined: nothing. */
export function watchdogUs(environment: NodeJS.ProcessEnv, pid: number): number | undefined {
	const { WATCHDOG_USEC: timeout, WATCHDOG_PID: meant = `${pid}` } = environment;
	const isAsked = timeout !== undefined && /^[1-9]\d{0,15}$/.test(timeout) && meant === `${pid}`;
	return isAsked ? Number(timeout) : undefined;
}

/**
 * Tells the service manager of the broker's states, in their order; does nothing without one. Once
 * it was told of the stop, nothing of what comes before one is told any more: a start that goes on
 * would be given time that the stop does not have.
 */
export class ServiceNotifier {
	readonly #send: Send | undefined;
	readonly #clock: Clock;
	readonly #logger: Logger;
	/** Settles when what was said last is sent; never rejects. */
	#sent: Promise<void> = Promise.resolve();
	#isStopping = false;
	#opened = -1;
	#extendedMs = Number.NEGATIVE_INFINITY;

	constructor(send: Send | undefined, clock: Clock, logger: Logger) {
		this.#send = send;
		this.#clock = clock;
		this.#logger = logger;
	}

	/**
	 * The start goes on: `opened` of `asked` partitions are recovered; `asked` is 0 as long as it is
	 * not known which there are. As long as that grows the start may take as long as it takes; one
	 * that hangs is given no more time.
	 */
	recovering(opened: number, asked: number): void {
		const nowMs = this.#clock.monotonicMs();
		if (this.#isStopping || opened === this.#opened || nowMs - this.#extendedMs < EXTENDED_EVERY_MS)
			return;
		this.#opened = opened;
		this.#extendedMs = nowMs;
		this.#notify(
			`EXTEND_TIMEOUT_USEC=${STEP_US_MAX}`,
			asked === 0
				? "STATUS=opening the data directory"
				: `STATUS=recovering: ${opened} of ${asked} partitions`,
		);
	}

	/**
	 * Has the service manager end a broker whose event loop stands still: it is told that the loop
	 * turns, twice in the time after which it would.
	 */
	watch(timeoutUs: number): void {
		const everyMs = Math.max(1, Math.floor(timeoutUs / 2_000));
		setInterval(() => this.#notify("WATCHDOG=1"), everyMs).unref();
	}

	ready(status: string): void {
		if (!this.#isStopping) this.#notify("READY=1", `STATUS=${status}`);
	}

	/** The configuration is being read again; `ready` follows. `monotonicUs`: the system's clock. */
	reloading(monotonicUs: bigint): void {
		if (this.#isStopping) return;
		this.#notify("RELOADING=1", `MONOTONIC_USEC=${monotonicUs}`);
	}

	stopping(): void {
		this.#isStopping = true;
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
