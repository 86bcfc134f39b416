/**
 * 8 auth: `[8, id, {scheme, ...}]` -> `[128, id, {auth_expires_ms?}]`. The client stays who it is.
 * Wrong credentials end the connection.
 */

import { isMap } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { asMillraceError } from "../../errors.ts";
import { CLOSE_CODES } from "../../protocol/close-codes.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import { closeOfRefused } from "../credentials.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

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
	} catch (error) {
		const reason = closeOfRefused(error, CLOSE_CODES.NOT_AUTHENTICATED);
		setImmediate(() => session.close(reason));
		throw asMillraceError(error);
	} finally {
		session.endRenewal();
	}
}
