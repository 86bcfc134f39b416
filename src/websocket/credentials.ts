/**
 * Credentials as hello and auth carry them: a map with a `scheme`, and what that takes.
 *
 *     {scheme: "password", user: str, password: str}
 *     {scheme: "token", token: str}
 *     {scheme: "ticket", ticket: str}
 *     {scheme: "cookie"}
 */

import { Arguments, invalid } from "../calls/arguments.ts";
import { asMillraceError, MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { CLOSE_CODES, type CloseEntry } from "../protocol/close-codes.ts";
import type { DecodedMap } from "../protocol/reader.ts";
import type { Authentication, Credentials } from "../security/authentication.ts";
import type { Authenticate } from "./session-host.ts";

/** A broker that asks who one is. */
export function authenticateWith(authentication: Authentication): Authenticate {
	return (credentials, peer, { cookieToken, stays, left } = {}) =>
		authentication.identify(credentialsOf(credentials, cookieToken), peer.host, {
			stays,
			left: left?.(),
		});
}

/** How a connection ends whose client was not let in: one that was not looked at may come again. */
export function closeOfRefused(thrown: unknown, otherwise: CloseEntry): CloseEntry {
	switch (asMillraceError(thrown).code) {
		case "NOT_AUTHENTICATED":
			return CLOSE_CODES.NOT_AUTHENTICATED;
		case "THROTTLING_QUOTA_EXCEEDED":
			return CLOSE_CODES.QUOTA;
		case "SHUTTING_DOWN":
			return CLOSE_CODES.GOING_AWAY;
		default:
			return otherwise;
	}
}

/** Throws NOT_AUTHENTICATED where there are none, INVALID_ARGUMENT for what are none. */
function credentialsOf(map: DecodedMap | undefined, cookieToken: string | undefined): Credentials {
	if (map === undefined) throw new MillraceError("NOT_AUTHENTICATED", "no credentials came");
	const fields = new Arguments(map);
	const text = (name: string): string => {
		const value = fields.string(name);
		// Hashing longer ones would be work that anybody could ask for.
		if (Buffer.byteLength(value) > LIMITS.credentialBytesMax) invalid(name, "is too long");
		return value;
	};
	const scheme = fields.string("scheme");
	switch (scheme) {
		case "password":
			return { scheme, user: text("user"), password: text("password") };
		case "token":
			return { scheme, token: text("token") };
		case "ticket":
			return { scheme, ticket: text("ticket") };
		case "cookie":
			return { scheme, token: cookieToken };
		default:
			return invalid("scheme", "is none of password, token, ticket, cookie");
	}
}
