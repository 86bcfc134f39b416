/** Every call of operation 7, by name. */
import type { Arguments } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { type MemberCallName, SHARED_CALLS } from "../../calls/table.ts";
import type { CallName } from "../../protocol/calls.ts";
import type { Session } from "../session.ts";
import {
	acknowledgeRevocation,
	commitOffsets,
	committedOffsets,
	joinGroup,
	leaveGroup,
	tellProgress,
} from "./group-members.ts";

export type SessionCall = (
	session: Session,
	parameters: Arguments,
) => AnswerMap | Promise<AnswerMap>;

const MEMBER_CALLS: Readonly<Record<MemberCallName, SessionCall>> = {
	"groups.join": joinGroup,
	"groups.acknowledge": acknowledgeRevocation,
	"groups.progress": tellProgress,
	"groups.commit": commitOffsets,
	"groups.committed": committedOffsets,
	"groups.leave": leaveGroup,
};

const BY_NAME: Readonly<Record<CallName, SessionCall>> = { ...SHARED_CALLS, ...MEMBER_CALLS };

/** The call of this name; undefined: there is none. */
export function callOf(
	name: string,
): { readonly name: CallName; readonly answer: SessionCall } | undefined {
	if (!Object.hasOwn(BY_NAME, name)) return undefined;
	return { name: name as CallName, answer: BY_NAME[name as CallName] };
}
