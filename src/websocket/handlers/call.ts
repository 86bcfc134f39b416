/**
 * 7 call: `[7, id, name, arguments]` -> `[128, id, map]`. The calls themselves are in ../calls/.
 */

import { checkCall } from "../../calls/access.ts";
import { Arguments } from "../../calls/arguments.ts";
import { auditCall } from "../../calls/audited.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { callOf } from "../calls/table.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

const NAME_SHOWN_CHARACTERS = 100;

export function call(session: Session, fields: Fields): AnswerMap | Promise<AnswerMap> {
	const name = fields.string();
	const parameters = new Arguments(fields.map());
	fields.end();
	const found = callOf(name);
	if (found === undefined) {
		throw new MillraceError("UNSUPPORTED_OPERATION", name.slice(0, NAME_SHOWN_CHARACTERS));
	}
	const answer = () => {
		checkCall(session, found.name, parameters);
		return found.answer(session, parameters);
	};
	return session.host.audit === null
		? answer()
		: auditCall(session, found.name, parameters, answer);
}
