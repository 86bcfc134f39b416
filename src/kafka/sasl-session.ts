/**
 * How far a connection has come in saying who it is. Until it has, only the APIs that this takes
 * are served, as in Kafka; and again when the time is up for which it was believed (KIP-368).
 */

import type { Clock } from "../clock.ts";
import { LIMITS } from "../limits.ts";
import { CODES } from "../protocol/codes.ts";
import type { FailedAttempts } from "../security/failed-attempts.ts";
import type { Peer } from "../security/principal.ts";
import { Refusal } from "../security/refusal.ts";
import type { SaslExchange, SaslIdentity, SaslMechanism } from "../security/sasl/mechanism.ts";
import type { Wait } from "../security/turns.ts";
import type { SaslAuthenticateResponse } from "./generated/36-sasl-authenticate.ts";
import { API_VERSIONS_KEY } from "./headers.ts";
import { KafkaFrameError } from "./wire/frame-error.ts";

export const SASL_HANDSHAKE_KEY = 17;
export const SASL_AUTHENTICATE_KEY = 36;

const NO_BYTES = new Uint8Array();

/** Also where nobody is asked. */
export const AUTHENTICATED_ALREADY: SaslAuthenticateResponse = {
	errorCode: CODES.ILLEGAL_SASL_STATE.code,
	errorMessage: "SaslAuthenticate request received after successful authentication",
	authBytes: NO_BYTES,
};

/** What the connections of a listener have in common. */
export interface SaslListener {
	/** By name. */
	readonly mechanisms: ReadonlyMap<string, SaslMechanism>;
	/** How long a client is believed at most, in milliseconds; 0: for ever. */
	readonly reauthMsMax: number;
	readonly failures: FailedAttempts;
	readonly clock: Clock;
}

/** What a client may show, in bytes: a name and a password, each as long as they may be. */
const AUTH_BYTES_MAX = 2 * LIMITS.credentialBytesMax;

/** How often a client may say again who it is at most, as in Kafka. */
const AGAIN_MS_MIN = 1_000;

export class SaslSession {
	readonly #listener: SaslListener;
	readonly #peer: Peer;
	/** Chosen, and not done yet. */
	#exchange: SaslExchange | undefined;
	#mechanism = "";
	#isAuthenticated = false;
	#isRefused = false;
	/** The last refusal, which is counted once however often it is told. */
	#lastRefusal: Refusal | undefined;
	/** By the monotonic clock; a session that never runs out has none. */
	#expiresMs: number | undefined;
	/** When the client last began to say again who it is. */
	#againMs = -Infinity;

	constructor(listener: SaslListener, peer: Peer) {
		this.#listener = listener;
		this.#peer = peer;
	}

	/** Whether the client has said who it is. */
	get isAuthenticated(): boolean {
		return this.#isAuthenticated;
	}

	/** Whether the connection ends with the answer that is next. */
	get isRefused(): boolean {
		return this.#isRefused;
	}

	/** Throws KafkaFrameError, which ends the connection, for what may not be asked now. */
	check(apiKey: number): void {
		const isSasl = apiKey === SASL_HANDSHAKE_KEY || apiKey === SASL_AUTHENTICATE_KEY;
		// In the middle of it nothing else makes sense.
		if (this.#exchange !== undefined) {
			if (isSasl) return;
		} else if (this.#isAuthenticated) {
			const isOver = this.#expiresMs !== undefined && this.#now() >= this.#expiresMs;
			if (!isOver || (apiKey === SASL_HANDSHAKE_KEY && this.#mayBeginAgain())) return;
		} else if (apiKey === API_VERSIONS_KEY || apiKey === SASL_HANDSHAKE_KEY) return;
		const again = this.#isAuthenticated ? " again" : "";
		throw new KafkaFrameError(`API ${apiKey} of a client before it is authenticated${again}`, 0);
	}

	/** Chooses a mechanism. */
	handshake(mechanism: string): { errorCode: number; mechanisms: string[] } {
		const { mechanisms } = this.#listener;
		const illegal = { errorCode: CODES.ILLEGAL_SASL_STATE.code, mechanisms: [] };
		if (this.#exchange !== undefined) {
			this.#isRefused = true;
			return illegal;
		}
		if (this.#isAuthenticated && !this.#mayBeginAgain()) return illegal;
		const names = [...mechanisms.keys()];
		const chosen = mechanisms.get(mechanism);
		if (chosen === undefined) {
			this.#isRefused = true;
			const { host } = this.#peer;
			this.#listener.failures.note({ host, mechanism: "other", reason: "mechanism" });
			return { errorCode: CODES.UNSUPPORTED_SASL_MECHANISM.code, mechanisms: names };
		}
		// Answered as in Kafka, which ends the connection with the next request.
		if (this.#isAuthenticated && mechanism !== this.#mechanism) this.#isRefused = true;
		if (this.#isAuthenticated) this.#againMs = this.#now();
		this.#mechanism = mechanism;
		this.#exchange = chosen.start();
		return { errorCode: CODES.NONE.code, mechanisms: names };
	}

	/**
	 * One round of the mechanism that was chosen. Rejects where it is not looked at: that ends the
	 * connection without an answer, after which clients try again. An answer would be final to them.
	 * `left` is aborted when the client has left.
	 */
	async authenticate(authBytes: Uint8Array, left?: AbortSignal): Promise<SaslAuthenticateResponse> {
		const exchange = this.#exchange;
		if (exchange === undefined) return AUTHENTICATED_ALREADY;
		const { failures } = this.#listener;
		if (authBytes.length > AUTH_BYTES_MAX) {
			const refusal = new Refusal("malformed", `longer than ${AUTH_BYTES_MAX} bytes`);
			return this.#refusal(refusal, false);
		}
		const look = (wait: Wait) => this.#look(exchange, authBytes, wait);
		if (!exchange.mayGuess) return look({ left });
		return failures.inTurn(this.#peer.host, this.#mechanism, look, left);
	}

	async #look(
		exchange: SaslExchange,
		authBytes: Uint8Array,
		wait: Wait,
	): Promise<SaslAuthenticateResponse> {
		const { mayGuess } = exchange;
		try {
			const { reply, identity, refusal } = await exchange.step(authBytes, wait);
			if (refusal !== undefined) await this.#noted(refusal, mayGuess);
			const sessionLifetimeMs = identity === null ? 0 : this.#authenticated(identity);
			return {
				errorCode: CODES.NONE.code,
				errorMessage: "",
				authBytes: reply,
				sessionLifetimeMs,
			};
		} catch (error) {
			if (!(error instanceof Refusal)) throw error;
			return this.#refusal(error, mayGuess);
		}
	}

	/** Ends the connection with what is answered to who is refused, when that may be told. */
	async #refusal(refusal: Refusal, mayBeGuess: boolean): Promise<SaslAuthenticateResponse> {
		this.#isRefused = true;
		await this.#noted(refusal, mayBeGuess);
		return {
			errorCode: CODES.SASL_AUTHENTICATION_FAILED.code,
			errorMessage: refusal.kafkaText ?? this.#failureText(),
			authBytes: NO_BYTES,
		};
	}

	/** Resolves when it may be told: at once where it can tell nothing to who guesses. */
	async #noted(refusal: Refusal, mayBeGuess: boolean): Promise<void> {
		if (refusal === this.#lastRefusal) return;
		this.#lastRefusal = refusal;
		const { failures } = this.#listener;
		const { host } = this.#peer;
		if (mayBeGuess) await failures.refused(host, this.#mechanism, refusal);
		else failures.note({ host, mechanism: this.#mechanism, reason: refusal.reason });
	}

	/** Resolves to how long the client is believed, in milliseconds; 0: for ever. */
	#authenticated({ principal, expiresMs }: SaslIdentity): number {
		if (this.#isAuthenticated && principal !== this.#peer.principal) {
			const names = [this.#peer.principal, principal].map((name) => name.replace(":", "."));
			const changed = `Cannot change principals during re-authentication from ${names.join(": ")}`;
			throw new Refusal("identity", "a client stays who it is", { kafkaText: changed });
		}
		this.#exchange = undefined;
		this.#isAuthenticated = true;
		this.#peer.become(principal);
		const { clock, reauthMsMax } = this.#listener;
		const leftMs = expiresMs === undefined ? Infinity : Math.max(1, expiresMs - clock.wallMs());
		const believedMs = Math.min(leftMs, reauthMsMax === 0 ? Infinity : reauthMsMax);
		this.#expiresMs = believedMs === Infinity ? undefined : this.#now() + believedMs;
		return believedMs === Infinity ? 0 : believedMs;
	}

	/** Only who is believed for a time may say again who it is, and not all the time. */
	#mayBeginAgain(): boolean {
		return this.#expiresMs !== undefined && this.#now() - this.#againMs >= AGAIN_MS_MIN;
	}

	/** In Kafka's words. */
	#failureText(): string {
		const what = this.#isAuthenticated ? "re-authentication" : "authentication";
		const why = "due to invalid credentials with SASL mechanism";
		return `Authentication failed during ${what} ${why} ${this.#mechanism}`;
	}

	#now(): number {
		return this.#listener.clock.monotonicMs();
	}
}
