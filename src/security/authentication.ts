/**
 * Finds out who a client is by what it presents, over WebSocket and HTTP. Whoever guesses waits:
 * each failure of an address is answered later than the one before, holds up its further logins,
 * and does not say what was wrong.
 */
import type { Clock } from "../clock.ts";
import { asMillraceError } from "../errors.ts";
import type { FailedAttempts } from "./failed-attempts.ts";
import type { Principal } from "./principal.ts";
import { Refusal } from "./refusal.ts";
import type { SaslIdentity } from "./sasl/mechanism.ts";
import type { Tickets } from "./tickets.ts";
import type { Wait } from "./turns.ts";
import type { Users } from "./users.ts";

/** What clients may present. */
export type Credentials =
	| { readonly scheme: "password"; readonly user: string; readonly password: string }
	| { readonly scheme: "token"; readonly token: string }
	| { readonly scheme: "ticket"; readonly ticket: string }
	/** A token that came of itself; undefined: none did, or none that counts. */
	| { readonly scheme: "cookie"; readonly token: string | undefined };

/** Rejects with NOT_AUTHENTICATED for a token that does not hold. */
export type VerifyToken = (token: string) => Promise<SaslIdentity>;

/** What is known of a client beside what it presents. */
export interface ClientContext {
	/** Who it has to be, where it was somebody before. */
	readonly stays?: Principal | undefined;
	/** Aborted when it has left. */
	readonly left?: AbortSignal | undefined;
}

export interface AuthenticationOptions {
	readonly users: Pick<Users, "checkPassword">;
	/** Null: tokens are not taken. */
	readonly verifyToken: VerifyToken | null;
	readonly tickets: Pick<Tickets, "redeem">;
	readonly failures: FailedAttempts;
	readonly clock: Clock;
	/** How long a client is believed at most, in milliseconds; 0: for ever. */
	readonly reauthMsMax: number;
}

export class Authentication {
	readonly #options: AuthenticationOptions;

	constructor(options: AuthenticationOptions) {
		this.#options = options;
	}

	/**
	 * Who a client at an address is. Rejects with NOT_AUTHENTICATED, after a while; also where it is
	 * not `stays`, who it was before. Rejects as `FailedAttempts.inTurn` where it is not looked at.
	 */
	identify(
		credentials: Credentials,
		host: string,
		{ stays, left }: ClientContext = {},
	): Promise<SaslIdentity> {
		const look = (wait: Wait) => this.#look(credentials, host, stays, wait);
		return this.#options.failures.inTurn(host, credentials.scheme, look, left);
	}

	async #look(
		credentials: Credentials,
		host: string,
		stays: Principal | undefined,
		wait: Wait,
	): Promise<SaslIdentity> {
		const { failures, clock, reauthMsMax } = this.#options;
		try {
			const { principal, expiresMs = Infinity } = await this.#check(credentials, wait);
			if (stays !== undefined && principal !== stays) {
				throw new Refusal("identity", "a client stays who it is");
			}
			const believedMs = reauthMsMax === 0 ? Infinity : clock.wallMs() + reauthMsMax;
			const endsMs = Math.min(expiresMs, believedMs);
			return endsMs === Infinity ? { principal } : { principal, expiresMs: endsMs };
		} catch (thrown) {
			const error = asMillraceError(thrown);
			if (error.code === "NOT_AUTHENTICATED") {
				await failures.refused(host, credentials.scheme, error);
			}
			throw error;
		}
	}

	async #check(credentials: Credentials, wait: Wait): Promise<SaslIdentity> {
		const { users, verifyToken, tickets } = this.#options;
		switch (credentials.scheme) {
			case "password": {
				const { user, password } = credentials;
				return { principal: await users.checkPassword(user, password, wait) };
			}
			case "ticket":
				return tickets.redeem(credentials.ticket);
			case "cookie":
			case "token":
				if (verifyToken === null) throw new Refusal("mechanism", "tokens are not taken here");
				if (credentials.token !== undefined) return verifyToken(credentials.token);
				throw new Refusal("credentials", "no cookie with a token, or not from a listed origin");
		}
	}
}
