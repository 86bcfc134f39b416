/** tickets.create */
import { MillraceError } from "../errors.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import type { AnswerMap, Caller } from "./caller.ts";

/** Who comes by the ticket is the caller, for no longer than the caller itself. */
export function createTicket({ host, peer }: Caller): AnswerMap {
	if (host.tickets === null) {
		throw new MillraceError("INVALID_REQUEST", "clients are not asked who they are here");
	}
	const { principal, expiresMs } = peer;
	const identity = expiresMs === undefined ? { principal } : { principal, expiresMs };
	const issued = host.tickets.issue(identity);
	return {
		ticket: issued.ticket,
		expires_ms: issued.expiresMs,
	} satisfies CallAnswer<"tickets.create">;
}
