/** 6 unsubscribe: `[6, id, sub]` -> `[128, id, {}]`. Nothing for `sub` follows the answer. */

import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

export function unsubscribe(session: Session, fields: Fields): AnswerMap {
	const sub = fields.uint32();
	fields.end();
	const subscription = session.subscriptions.get(sub);
	if (subscription === undefined) throw new MillraceError("UNKNOWN_SUBSCRIPTION", `${sub}`);
	subscription.stop();
	session.ended(subscription);
	return {};
}
