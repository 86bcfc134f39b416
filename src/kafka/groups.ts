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

/** How long others of the group may take once the client says nothing more, in milliseconds. */
const GRACE_MS = 1_000;

/**
 * What a group answers, which may take as long as its other members do. A client that says nothing
 * more is told REBALANCE_IN_PROGRESS after a moment, and is a member all the same: a client that is
 * gone looks the same, and is to hold its connection for no longer.
 */
export function inTime<Answer>(exchange: Exchange, answer: Promise<Answer>): Promise<Answer> {
	return new Promise((resolve, reject) => {
		let cancel: () => void = () => undefined;
		const refuse = () => reject(new MillraceError("REBALANCE_IN_PROGRESS"));
		const hurry = () => {
			cancel = exchange.host.clock.after(GRACE_MS, refuse);
		};
		if (exchange.isHurried) hurry();
		else exchange.onAbandoned(hurry);
		answer.then(resolve, reject).finally(() => {
			cancel();
			exchange.onAbandoned(null);
		});
	});
}

/** The member id that a refused join answers. */
export function memberIdOf(error: unknown, asked: string): string {
	return error instanceof JoinRefused ? error.memberId : asked;
}
