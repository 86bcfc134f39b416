/**
 * Tickets: what somebody who is known hands to a page, so that the page need hold no password and
 * no token. Each lets one client in as whoever asked for it, once, within half a minute.
 */
import { randomBytes } from "node:crypto";

import type { Clock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { Principal } from "./principal.ts";
import { Refusal } from "./refusal.ts";
import type { SaslIdentity } from "./sasl/mechanism.ts";

/** More than anybody can guess in half a minute. */
const TICKET_BYTES = 24;

interface Issued {
	readonly identity: SaslIdentity;
	/** By the monotonic clock. */
	readonly endsMs: number;
}

export class Tickets {
	readonly #clock: Clock;
	/** By ticket, in the order in which they end. */
	readonly #issued = new Map<string, Issued>();
	/** How many of them each principal has. */
	readonly #counts = new Map<Principal, number>();

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Tickets that were issued and neither redeemed nor forgotten. */
	get size(): number {
		return this.#issued.size;
	}

	/** A ticket for somebody who is known. Throws LIMIT_EXCEEDED while too many are out. */
	issue(identity: SaslIdentity): { readonly ticket: string; readonly expiresMs: number } {
		this.#forgetEnded();
		const { principal } = identity;
		const count = this.#counts.get(principal) ?? 0;
		if (count >= LIMITS.ticketsOfUserMax || this.#issued.size >= LIMITS.ticketsMax) {
			throw new MillraceError("LIMIT_EXCEEDED", "tickets that wait to be used");
		}
		const ticket = randomBytes(TICKET_BYTES).toString("base64url");
		const endsMs = this.#clock.monotonicMs() + LIMITS.ticketMsMax;
		this.#issued.set(ticket, { identity, endsMs });
		this.#counts.set(principal, count + 1);
		return { ticket, expiresMs: this.#clock.wallMs() + LIMITS.ticketMsMax };
	}

	/** Whose ticket it is; it is none afterwards. Throws NOT_AUTHENTICATED. */
	redeem(ticket: string): SaslIdentity {
		this.#forgetEnded();
		const issued = this.#issued.get(ticket);
		if (issued === undefined) throw new Refusal("credentials", "no such ticket");
		this.#remove(ticket, issued);
		return issued.identity;
	}

	#forgetEnded(): void {
		const nowMs = this.#clock.monotonicMs();
		for (const [ticket, issued] of this.#issued) {
			if (issued.endsMs > nowMs) return;
			this.#remove(ticket, issued);
		}
	}

	#remove(ticket: string, { identity: { principal } }: Issued): void {
		this.#issued.delete(ticket);
		const left = (this.#counts.get(principal) ?? 1) - 1;
		if (left === 0) this.#counts.delete(principal);
		else this.#counts.set(principal, left);
	}
}
