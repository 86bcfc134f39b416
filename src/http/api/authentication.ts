/** Who asks over HTTP: what the `Authorization` header says (RFC 9110, RFC 7617, RFC 6750). */
import { asMillraceError, MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import type { Authentication, Credentials } from "../../security/authentication.ts";
import { plainAddress } from "../../security/principal.ts";
import type { SaslIdentity } from "../../security/sasl/mechanism.ts";
import type { HttpHead, HttpResponse } from "../http.ts";
import { ProblemError, problemOf } from "./problem.ts";

const CHALLENGES = 'Basic realm="millrace", charset="UTF-8", Bearer realm="millrace"';

const AUTHORIZATION = /^(basic|bearer) +(\S+) *$/i;

export class HttpAuthentication {
	readonly #authentication: Pick<Authentication, "identify">;
	readonly #servesAnonymous: boolean;
	/** Logins that wait, are looked at, or were refused and wait to be told so. */
	#underWayCount = 0;

	/** `servesAnonymous`: those too who do not say who they are; what is said is always checked. */
	constructor(authentication: Pick<Authentication, "identify">, servesAnonymous: boolean) {
		this.#authentication = authentication;
		this.#servesAnonymous = servesAnonymous;
	}

	/** What is answered at once, before the body is read; undefined: nothing speaks against it. */
	refusal(head: HttpHead): HttpResponse | undefined {
		if (head.header("authorization") === "") {
			if (this.#servesAnonymous) return undefined;
			return this.refused(new MillraceError("NOT_AUTHENTICATED", "no credentials came"));
		}
		return this.#underWayCount < LIMITS.httpLoginsMax ? undefined : TOO_MANY_LOGINS;
	}

	/**
	 * Who asks, or what is answered to who is not believed: later and later for an address that goes
	 * on. See `Identify`.
	 */
	async identify(head: HttpHead, aborted: AbortSignal): Promise<SaslIdentity | HttpResponse> {
		const header = head.header("authorization");
		if (header === "" && this.#servesAnonymous) return { principal: head.principal };
		const host = plainAddress(head.remoteAddress);
		this.#underWayCount++;
		try {
			const credentials = credentialsOf(header);
			return await this.#authentication.identify(credentials, host, { left: aborted });
		} catch (thrown) {
			const error = asMillraceError(thrown);
			if (error.code === "UNKNOWN_SERVER_ERROR") throw thrown;
			return error.code === "NOT_AUTHENTICATED" ? this.refused(error) : problemOf(error);
		} finally {
			this.#underWayCount--;
		}
	}

	/** The answer to NOT_AUTHENTICATED. */
	refused(error: MillraceError): HttpResponse {
		const response = problemOf(error);
		return { ...response, headers: { ...response.headers, "www-authenticate": CHALLENGES } };
	}
}

const TOO_MANY_LOGINS = problemOf(
	new ProblemError(
		new MillraceError("LIMIT_EXCEEDED", "too many logins are under way; try again later"),
		503,
	),
);

/** Throws NOT_AUTHENTICATED for what is none. */
function credentialsOf(header: string): Credentials {
	const [, scheme = "", encoded = ""] = AUTHORIZATION.exec(header) ?? [];
	// Hashing longer ones would be work that anybody could ask for.
	const isShort = encoded.length <= LIMITS.credentialBytesMax;
	if (isShort && scheme.toLowerCase() === "bearer") return { scheme: "token", token: encoded };
	const decoded = isShort ? Buffer.from(encoded, "base64").toString("utf8") : "";
	const colon = decoded.indexOf(":");
	if (scheme.toLowerCase() !== "basic" || colon < 0) {
		throw new MillraceError("NOT_AUTHENTICATED", "the Authorization header is not understood");
	}
	return {
		scheme: "password",
		user: decoded.slice(0, colon),
		password: decoded.slice(colon + 1),
	};
}
