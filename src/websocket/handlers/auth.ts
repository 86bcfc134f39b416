/**
 * 8 auth: `[8, id, {scheme, ...}]` -> `[128, id, {auth_expires_ms?}]`. Wrong credentials end the
 * connection.
 */
import { asMillraceError } from "../../errors.ts";
import { CLOSE_CODES } from "../../protocol/close-codes.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import { isMap } from "../arguments.ts";
import type { Fields } from "../fields.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";

export function auth(session: Session, fields: Fields): Promise<AnswerMap> {
	const credentials = fields.map();
	fields.end();
	return renew(session, isMap(credentials) ? credentials : undefined);
}

async function renew(session: Session, credentials: DecodedMap | undefined): Promise<AnswerMap> {
	try {
		const authenticated = await session.host.authenticate(credentials);
		session.renew(authenticated);
		return { auth_expires_ms: authenticated.expiresMs };
	} catch (error) {
		setImmediate(() => session.close(CLOSE_CODES.NOT_AUTHENTICATED));
		throw asMillraceError(error);
	}
}
