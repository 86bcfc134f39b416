/**
 * Tokens that say who somebody is: JSON Web Tokens (RFC 7519) that an identity provider has signed,
 * checked as Kafka's BrokerJwtValidator does. They are never kept and never logged.
 */
import { errors, type JWTPayload, jwtVerify } from "jose";

import type { Clock } from "../clock.ts";
import { LIMITS } from "../limits.ts";
import type { TokenOptions } from "./options.ts";
import { userPrincipal } from "./principal.ts";
import { Refusal, type RefusalReason } from "./refusal.ts";
import type { SaslIdentity } from "./sasl/mechanism.ts";
import { KeysUnavailableError, TokenKeys, type TokenKeysLog } from "./token-keys.ts";

/**
 * Signatures by public keys alone: a key set is no secret, so what it holds must not serve for
 * HMAC, and `none` is no signature.
 */
const ALGORITHMS = [
	...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
	...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];

/** The last moment that a Date can tell of. */
const LAST_MS = 8_640_000_000_000_000;

/** The reasons behind what `jose` throws; for anything else there: `signature`. */
const REASONS: Readonly<Record<string, RefusalReason>> = {
	[errors.JWTExpired.code]: "expired",
	[errors.JWTClaimValidationFailed.code]: "claims",
	[errors.JWSInvalid.code]: "malformed",
	[errors.JWTInvalid.code]: "malformed",
};

/** Who a token says somebody is, and until when that holds. */
export type TokenIdentity = Required<SaslIdentity>;

export class TokenVerifier {
	readonly #options: TokenOptions;
	readonly #keys: TokenKeys;
	readonly #clock: Clock;

	private constructor(options: TokenOptions, keys: TokenKeys, clock: Clock) {
		this.#options = options;
		this.#keys = keys;
		this.#clock = clock;
	}

	/** Resolves when it was tried to read the keys: a broker starts without, too. */
	static async open(
		options: TokenOptions,
		clock: Clock,
		log: TokenKeysLog,
	): Promise<TokenVerifier> {
		const keys = new TokenKeys({
			url: new URL(options.saslOauthbearerJwksEndpointUrl),
			refreshMs: options.saslOauthbearerJwksEndpointRefreshMs,
			clock,
			log,
		});
		await keys.refresh();
		return new TokenVerifier(options, keys, clock);
	}

	/** Whom a token names. Rejects with Refusal. */
	async verify(token: string): Promise<TokenIdentity> {
		if (token.length > LIMITS.credentialBytesMax)
			throw new Refusal("malformed", "the token is too long");
		const claims = await this.#signed(token);
		this.#checkScope(claims);
		const { saslOauthbearerClockSkewSeconds: skewSeconds } = this.#options;
		// Believed for as long as it would be taken again.
		const expiresMs = ((claims.exp as number) + skewSeconds) * 1_000;
		return {
			principal: userPrincipal(this.#subject(claims)),
			expiresMs: Math.min(Math.floor(expiresMs), LAST_MS),
		};
	}

	/** Reads keys no more. */
	close(): void {
		this.#keys.close();
	}

	/** The claims of a token that is signed, in force, and for us. */
	async #signed(token: string): Promise<JWTPayload> {
		const options = this.#options;
		const { saslOauthbearerExpectedIssuer: issuer } = options;
		const audience = [...options.saslOauthbearerExpectedAudience];
		try {
			const { payload } = await jwtVerify(token, this.#keys.find, {
				algorithms: ALGORITHMS,
				requiredClaims: ["exp", "iat"],
				clockTolerance: options.saslOauthbearerClockSkewSeconds,
				currentDate: new Date(this.#clock.wallMs()),
				...(issuer === "" ? {} : { issuer }),
				...(audience.length === 0 ? {} : { audience }),
			});
			// As RFC 7519 has it: who is not among those that a token is for refuses it.
			if (audience.length > 0 || payload.aud === undefined) return payload;
		} catch (error) {
			throw refusalFor(error);
		}
		throw new Refusal("claims", "the token is for an audience, and none is expected here");
	}

	#subject(claims: JWTPayload): string {
		const { saslOauthbearerSubClaimName: name } = this.#options;
		const value = claims[name];
		const subject = typeof value === "string" ? value.trim() : "";
		const bytes = Buffer.byteLength(subject);
		if (bytes > 0 && bytes <= LIMITS.userNameBytesMax) return subject;
		throw new Refusal("claims", `the token's claim "${name}" is no name`);
	}

	#checkScope(claims: JWTPayload): void {
		const { saslOauthbearerExpectedScope: expected } = this.#options;
		if (expected.length === 0) return;
		const { saslOauthbearerScopeClaimName: name } = this.#options;
		const value = claims[name];
		const scopes = typeof value === "string" ? value.split(" ") : value;
		const has = (scope: string) => Array.isArray(scopes) && scopes.includes(scope);
		if (expected.every(has)) return;
		throw new Refusal("claims", `the token's claim "${name}" lacks a scope that is expected`);
	}
}

function refusalFor(error: unknown): Refusal {
	if (error instanceof KeysUnavailableError) {
		return new Refusal("keys", "the keys of tokens cannot be had now", { cause: error });
	}
	const reason = error instanceof errors.JOSEError ? REASONS[error.code] : undefined;
	if (reason === "expired") return new Refusal(reason, "the token has expired", { cause: error });
	if (reason === "claims") {
		const { claim } = error as errors.JWTClaimValidationFailed;
		return new Refusal(reason, `the token's claim "${claim}" is not as expected`, { cause: error });
	}
	if (reason === "malformed") return new Refusal(reason, "it is no token", { cause: error });
	return new Refusal("signature", "no known key has signed the token", { cause: error });
}
