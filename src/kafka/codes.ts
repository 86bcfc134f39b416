/** Error codes as Kafka's clients know them. */
import { asMillraceError, MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { CODES, type CodeName } from "../protocol/codes.ts";
import type { Exchange } from "./exchange.ts";

/** From here on codes are Millrace's own, which no Kafka client knows. */
const OWN_CODES_FROM = 1_000;

/** What Kafka's clients are told instead of a code of Millrace's own. */
const STAND_INS: ReadonlyMap<number, number> = new Map([
	// A full disk takes a log directory offline in Kafka; clients try again on this code.
	[CODES.DISK_FULL.code, CODES.KAFKA_STORAGE_ERROR.code],
	[CODES.DAMAGED_RANGE.code, CODES.CORRUPT_MESSAGE.code],
	[CODES.DATA_DAMAGED.code, CODES.KAFKA_STORAGE_ERROR.code],
	[CODES.SHUTTING_DOWN.code, CODES.NOT_LEADER_OR_FOLLOWER.code],
	[CODES.TOPIC_DELETED.code, CODES.UNKNOWN_TOPIC_OR_PARTITION.code],
	[CODES.LIMIT_EXCEEDED.code, CODES.POLICY_VIOLATION.code],
	[CODES.INVALID_ARGUMENT.code, CODES.INVALID_REQUEST.code],
	[CODES.MALFORMED_FRAME.code, CODES.INVALID_REQUEST.code],
]);

/** The code to put into a response. */
export function kafkaCode(code: number): number {
	if (code < OWN_CODES_FROM) return code;
	return STAND_INS.get(code) ?? CODES.UNKNOWN_SERVER_ERROR.code;
}

/** What a response says of something that failed. */
export interface Failure {
	readonly errorCode: number;
	readonly errorMessage: string | null;
}

/** The time was up before its turn came. Kafka has no message for it either. */
export const TIMED_OUT: Failure = {
	errorCode: CODES.REQUEST_TIMED_OUT.code,
	errorMessage: null,
};

/** The failure of a code, with what is particular about it. */
export function failed(code: CodeName, particular?: string): Failure {
	return kafkaFailure(new MillraceError(code, particular));
}

/** The code and the message to put into a response for what was thrown. */
export function kafkaFailure(thrown: unknown): Failure & { errorMessage: string } {
	const error = asMillraceError(thrown);
	return { errorCode: kafkaCode(error.number), errorMessage: cut(error.message) };
}

/** As much of a message as an answer may hold: what it quotes may be long. */
export function cut(message: string): string {
	if (message.length <= LIMITS.kafkaMessageCharactersMax) return message;
	return `${message.slice(0, LIMITS.kafkaMessageCharactersMax - 1)}…`;
}

/** The same, for what may be a bug: that is logged, since the client learns nothing of it. */
export function reportedFailure(
	thrown: unknown,
	{ apiKey, host }: Pick<Exchange, "apiKey" | "host">,
): Failure & { errorMessage: string } {
	const failure = kafkaFailure(thrown);
	if (failure.errorCode === CODES.UNKNOWN_SERVER_ERROR.code) {
		host.log.error({ err: thrown, apiKey }, "a Kafka request failed");
	}
	return failure;
}
