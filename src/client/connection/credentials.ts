import { MillraceError } from "../../protocol/error.ts";
import type { Credentials } from "../../protocol/frames.ts";

/**
 * Who a client is: a user with a password, whom a token tells of, or who asked for a ticket; or
 * whom the token in a cookie tells of, which the browser sends of itself.
 */
export type Auth =
	| { user: string; password: string }
	| { token: string }
	| { ticket: string }
	| { cookie: true };

/** Where it comes from. */
export type AuthSource = Auth | (() => Auth | Promise<Auth>) | undefined;

/** What is presented to the broker. Rejects with NOT_AUTHENTICATED when the source fails. */
export async function credentialsFrom(source: AuthSource): Promise<Credentials | undefined> {
	if (source === undefined) return undefined;
	try {
		return credentialsOf(typeof source === "function" ? await source() : source);
	} catch (cause) {
		throw noCredentials(cause);
	}
}

/**
 * Whether credentials can be presented again: a token runs out, a ticket is used up, and a cookie
 * comes with a new connection alone.
 */
export function isRenewable(source: AuthSource): boolean {
	return typeof source === "function" || (source !== undefined && "user" in source);
}

function credentialsOf(auth: Auth): Credentials {
	if ("token" in auth) return { scheme: "token", token: auth.token };
	if ("ticket" in auth) return { scheme: "ticket", ticket: auth.ticket };
	if ("cookie" in auth) return { scheme: "cookie" };
	return { scheme: "password", user: auth.user, password: auth.password };
}

function noCredentials(cause: unknown): MillraceError {
	return new MillraceError("NOT_AUTHENTICATED", "no credentials could be had", { cause });
}
