/**
 * Slows down who guesses passwords: each failure of an address is told later than the one before,
 * up to some seconds, and is forgotten after a while without one. Until it is told it takes one of
 * the few places that an address has for its logins, so that a guesser gains nothing by many
 * connections, and by leaving before the answer. An address of IPv6 is counted by its network of
 * 64 bits, all of which a single machine may have. Every login that is refused comes by here,
 * whatever the protocol, and is counted.
 */
import { isIPv6 } from "node:net";

import type { Clock } from "../clock.ts";
import { asMillraceError, MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { Refusal, type RefusalReason } from "./refusal.ts";
import { Turns, type Wait } from "./turns.ts";

/** Kafka's connection.failed.authentication.delay.ms. */
const DELAY_MS_FIRST = 100;
const FORGOTTEN_AFTER_MS = 60_000;

/** A login that was refused. Who it claimed to be is no part of it: people type passwords there. */
export interface RefusedLogin {
	readonly host: string;
	/** A SASL mechanism that there is, or a scheme of WebSocket and HTTP. */
	readonly mechanism: string;
	readonly reason: RefusalReason;
}

interface Attempts {
	count: number;
	lastMs: number;
}

export class FailedAttempts {
	readonly #clock: Clock;
	/** By address, the one whose last failure is longest ago first. */
	readonly #attempts = new Map<string, Attempts>();
	/** Of addresses with logins that are looked at: no more than there are connections. */
	readonly #turns = new Map<string, Turns>();
	/** How often which mechanism was refused for which reason. */
	readonly #counts = new Map<string, Map<RefusalReason, number>>();
	/** Each has a failure told that waits. */
	readonly #untold = new Set<() => void>();
	#isClosed = false;
	readonly #listeners: ((login: RefusedLogin) => void)[] = [];

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Has `listener` told of every login that is refused, beside those before it. */
	onRefused(listener: (login: RefusedLogin) => void): void {
		this.#listeners.push(listener);
	}

	/** Addresses that are remembered. */
	get size(): number {
		return this.#attempts.size;
	}

	/** An attempt failed: how long its answer is to wait, in milliseconds. */
	delayMs(host: string): number {
		const address = countedAs(host);
		const nowMs = this.#clock.monotonicMs();
		const before = this.#attempts.get(address);
		const isRecent = before !== undefined && nowMs - before.lastMs < FORGOTTEN_AFTER_MS;
		const count = isRecent ? before.count + 1 : 1;
		this.#attempts.delete(address);
		this.#attempts.set(address, { count, lastMs: nowMs });
		if (this.#attempts.size > LIMITS.failedAddressesMax) {
			const [oldest] = this.#attempts.keys();
			if (oldest !== undefined) this.#attempts.delete(oldest);
		}
		return Math.min(DELAY_MS_FIRST * 2 ** Math.min(count - 1, 30), LIMITS.failedDelayMsMax);
	}

	/** How often which mechanism was refused for which reason. */
	get counts(): ReadonlyMap<string, ReadonlyMap<RefusalReason, number>> {
		return this.#counts;
	}

	/**
	 * Looks at what somebody at an address shows when it is the address's turn: until `look` settles,
	 * which waits for `refused`, it has one place less for others. Settles as `look` does; rejects as
	 * `Turns.run` where it is not looked at, which tells nothing of what was shown. `left` is aborted
	 * when they are gone: their place among those who wait is free then. What `look` waits for itself
	 * is not to take longer than what it is called with: a login waits once.
	 */
	async inTurn<Result>(
		host: string,
		mechanism: string,
		look: (wait: Wait) => Promise<Result>,
		left?: AbortSignal,
	): Promise<Result> {
		const wait = { untilMs: this.#clock.monotonicMs() + LIMITS.loginWaitMsMax, left };
		if (this.#isClosed) throw new MillraceError("SHUTTING_DOWN");
		const address = countedAs(host);
		const turns = this.#turns.get(address) ?? new Turns(LIMITS.loginsOfAddressMax, this.#clock);
		this.#turns.set(address, turns);
		try {
			return await turns.run(() => look(wait), wait);
		} catch (thrown) {
			// Also of those that wait for a password to be hashed.
			const isTooMuch = asMillraceError(thrown).code === "THROTTLING_QUOTA_EXCEEDED";
			if (isTooMuch) this.note({ host, mechanism, reason: "busy" });
			throw thrown;
		} finally {
			// Others may have been made while this one ended.
			const isLast = turns.isIdle && this.#turns.get(address) === turns;
			if (isLast) this.#turns.delete(address);
		}
	}

	/** Drops the logins that wait for their turn, tells of failures at once, and looks at no more. */
	close(): void {
		this.#isClosed = true;
		for (const turns of this.#turns.values()) turns.close();
		for (const tell of this.#untold) tell();
	}

	/** Notes a login that was refused; resolves when its answer may go out. */
	async refused(host: string, mechanism: string, error: MillraceError): Promise<void> {
		const reason = error instanceof Refusal ? error.reason : "credentials";
		this.note({ host, mechanism, reason });
		const delayMs = this.delayMs(host);
		if (this.#isClosed) return;
		await new Promise<void>((resolve) => {
			const tell = () => {
				cancel();
				this.#untold.delete(tell);
				resolve();
			};
			const cancel = this.#clock.after(delayMs, tell);
			this.#untold.add(tell);
		});
	}

	/** Notes a login that was refused and tells nothing to who guesses. */
	note(login: RefusedLogin): void {
		const { mechanism, reason } = login;
		const counts = this.#counts.get(mechanism) ?? new Map<RefusalReason, number>();
		this.#counts.set(mechanism, counts.set(reason, (counts.get(reason) ?? 0) + 1));
		for (const listener of this.#listeners) listener(login);
	}
}

const GROUPS = 8;

/** What an address is counted as: with all others that whoever has it may take. */
function countedAs(host: string): string {
	if (!isIPv6(host)) return host;
	const [left = [], right = []] = host
		.split("::")
		.map((side) => (side === "" ? [] : side.split(":")));
	const between = Array.from({ length: GROUPS - left.length - right.length }, () => "0");
	return [...left, ...between, ...right].slice(0, GROUPS / 2).join(":");
}
