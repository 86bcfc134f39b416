/**
 * 8 auth: `[8, id, {scheme, ...}]` -> `[128, id, {auth_expires_ms?}]`. The client stays who it is.
 * Wrong credentials end the connection; with those that too many others kept from being looked at
 * the client may come again, and stays until those run out that it has.
 */

import { isMap } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { asMillraceError, MillraceError } from "../../errors.ts";
import { CLOSE_CODES } from "../../protocol/close-codes.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import { closeOfRefused } from "../credentials.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

/** After how long it is tried again, about, in milliseconds. */
const AGAIN_MS = 1_000;

export function auth(session: Session, fields: Fields): Promise<AnswerMap> {
	const credentials = fields.map();
	fields.end();
	return renew(session, isMap(credentials) ? credentials : undefined);
}

async function renew(session: Session, credentials: DecodedMap | undefined): Promise<AnswerMap> {
	// Side by side they would be guesses that wait no longer than one.
	session.beginRenewal();
	try {
		const authenticated = await session.authenticate(credentials, {
			stays: session.peer.principal,
		});
		session.renew(authenticated);
		return { auth_expires_ms: authenticated.expiresMs };
	} catch (thrown) {
		const error = asMillraceError(thrown);
		if (error.code === "THROTTLING_QUOTA_EXCEEDED") throw later(error);
		const reason = closeOfRefused(error, CLOSE_CODES.NOT_AUTHENTICATED);
		setImmediate(() => session.close(reason));
		throw error;
	} finally {
		session.endRenewal();
	}
}

/** Not all at the same time: those that a busy moment refused would make the next one. */
function later(cause: MillraceError): MillraceError {
	const retryAfterMs = Math.ceil(AGAIN_MS * (0.5 + Math.random()));
	return new MillraceError("THROTTLING_QUOTA_EXCEEDED", "too many logins wait", {
		retryAfterMs,
		cause,
	});
}
