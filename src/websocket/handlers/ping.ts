/** 9 ping: `[9, id]` -> `[128, id, {time_ms}]`. */

import type { AnswerMap } from "../../calls/caller.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

export function ping(session: Session, fields: Fields): AnswerMap {
	fields.end();
	return { time_ms: session.host.clock.wallMs() };
}
