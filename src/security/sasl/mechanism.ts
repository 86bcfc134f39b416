/** A way to show who one is, in as many rounds as it takes. */
import type { Principal } from "../principal.ts";
import type { Refusal } from "../refusal.ts";
import type { Wait } from "../turns.ts";

/** Who a client turned out to be. */
export interface SaslIdentity {
	readonly principal: Principal;
	/** When what it showed runs out, in milliseconds since 1970; absent: never. */
	readonly expiresMs?: number;
}

/** What a client is sent; with an identity it was the last round. */
export interface SaslStep {
	readonly reply: Uint8Array;
	readonly identity: SaslIdentity | null;
	/** The reply tells the client that it is refused. */
	readonly refusal?: Refusal;
}

/** One client on its way. */
export interface SaslExchange {
	/** Whether what comes next may be a guess: else it takes no turn of the address's. */
	readonly mayGuess: boolean;
	/**
	 * Takes what the client sent. Throws or rejects with Refusal, whose text is for the client: it
	 * never tells whether the name or the password was wrong; rejects as `Turns.run` where it is not
	 * looked at, since too many wait. `wait` bounds for how long it does.
	 */
	step(bytes: Uint8Array, wait: Wait): SaslStep | Promise<SaslStep>;
}

export interface SaslMechanism {
	readonly name: string;
	start(): SaslExchange;
}

/** What Kafka says to who wants to act for somebody else. */
export const OTHER_USER =
	"Authentication failed: Client requested an authorization id that is different from username";
