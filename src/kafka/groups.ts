/** What the handlers of group APIs share. */
import { MillraceError } from "../errors.ts";
import { JoinRefused } from "../groups/member.ts";
import { CODES } from "../protocol/codes.ts";
import { kafkaCode } from "./codes.ts";
import type { Exchange } from "./exchange.ts";

/** Kafka shows hosts of members with a slash in front: a host name would stand before it. */
export const clientHost = ({ origin }: Exchange) => `/${origin.remoteAddress}`;

/** Runs `work` and answers the code to put into a response: 0, or that of what it threw. */
export function codeOf(work: () => void): number {
	try {
		work();
		return CODES.NONE.code;
	} catch (error) {
		return groupCode(error);
	}
}

/** The code of what the coordinator threw; a bug is thrown on. */
export function groupCode(error: unknown): number {
	if (!(error instanceof MillraceError)) throw error;
	return kafkaCode(error.number);
}

/** The member id that a refused join answers. */
export function memberIdOf(error: unknown, asked: string): string {
	return error instanceof JoinRefused ? error.memberId : asked;
}
