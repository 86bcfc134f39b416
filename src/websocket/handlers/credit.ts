/**
 * 5 credit: `[5, sub, records, bytes]`, without an answer. Credit for a subscription that is not
 * there is ignored: it may have ended while the frame was on its way.
 */
import { LIMITS } from "../../limits.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

export function credit(session: Session, fields: Fields): void {
	const sub = fields.uint32();
	const records = fields.integerWithin(0, LIMITS.creditRecordsMax);
	const bytes = fields.integerWithin(0, LIMITS.creditBytesMax);
	fields.end();
	session.subscriptions.get(sub)?.addCredit(records, bytes);
}
