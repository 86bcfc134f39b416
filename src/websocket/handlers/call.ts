/**
 * 7 call: `[7, id, name, arguments]` -> `[128, id, map]`. The calls themselves are in ../calls/.
 */
import { MillraceError } from "../../errors.ts";
import { Arguments } from "../arguments.ts";
import { CALLS } from "../calls/table.ts";
import type { Fields } from "../fields.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";

const NAME_SHOWN_CHARACTERS = 100;

export function call(session: Session, fields: Fields): AnswerMap | Promise<AnswerMap> {
	const name = fields.string();
	const parameters = new Arguments(fields.map());
	fields.end();
	const answer = CALLS.get(name);
	if (answer === undefined) {
		throw new MillraceError("UNSUPPORTED_OPERATION", name.slice(0, NAME_SHOWN_CHARACTERS));
	}
	return answer(session, parameters);
}
