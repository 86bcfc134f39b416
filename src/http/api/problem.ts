/** Errors of the closed table as HTTP tells them: a status, and the code in the problem's body. */
import type { AnswerMap } from "../../calls/caller.ts";
import { asMillraceError, type MillraceError } from "../../errors.ts";
import type { CodeName } from "../../protocol/codes.ts";
import { type HttpResponse, problem } from "../http.ts";

/** Statuses of codes that are neither 400 nor, where trying again may help, 503. */
const STATUSES: Readonly<Partial<Record<CodeName, number>>> = {
	NOT_AUTHENTICATED: 401,
	TOPIC_AUTHORIZATION_FAILED: 403,
	GROUP_AUTHORIZATION_FAILED: 403,
	CLUSTER_AUTHORIZATION_FAILED: 403,
	POLICY_VIOLATION: 403,
	UNKNOWN_TOPIC_OR_PARTITION: 404,
	GROUP_ID_NOT_FOUND: 404,
	RESOURCE_NOT_FOUND: 404,
	TOPIC_DELETED: 404,
	REQUEST_TIMED_OUT: 504,
	TOPIC_ALREADY_EXISTS: 409,
	NON_EMPTY_GROUP: 409,
	GROUP_SUBSCRIBED_TO_TOPIC: 409,
	SECURITY_DISABLED: 409,
	MESSAGE_TOO_LARGE: 413,
	RECORD_LIST_TOO_LARGE: 413,
	OFFSET_OUT_OF_RANGE: 416,
	UNREPRESENTABLE_VALUE: 422,
	INVALID_RECORD: 422,
	LIMIT_EXCEEDED: 429,
	THROTTLING_QUOTA_EXCEEDED: 429,
	UNKNOWN_SERVER_ERROR: 500,
	DATA_DAMAGED: 500,
	DAMAGED_RANGE: 500,
	KAFKA_STORAGE_ERROR: 500,
	DISK_FULL: 507,
};

const RETRY_AFTER_SECONDS = 1;

/** An error with more to tell than its code, or another status. */
export class ProblemError extends Error {
	readonly error: MillraceError;
	readonly status: number;
	/** Further members of the body. */
	readonly members: AnswerMap;

	constructor(error: MillraceError, status = statusOf(error), members: AnswerMap = {}) {
		super(error.message, { cause: error });
		this.error = error;
		this.status = status;
		this.members = members;
	}
}

export function statusOf({ code, retriable }: MillraceError): number {
	return STATUSES[code] ?? (retriable ? 503 : 400);
}

/** What was thrown, as a response. */
export function problemOf(thrown: unknown): HttpResponse {
	const told = thrown instanceof ProblemError ? thrown : new ProblemError(asMillraceError(thrown));
	const { error, status, members } = told;
	const { retryAfterMs } = error;
	const isForLater = status === 429 || status === 503;
	// Whole seconds, and never 0: who comes back too early is refused again.
	const seconds = Math.max(Math.ceil((retryAfterMs ?? 0) / 1e3), RETRY_AFTER_SECONDS);
	return problem(status, error.message, isForLater ? { "retry-after": `${seconds}` } : {}, {
		...errorMembers(error),
		// A code such as LIMIT_EXCEEDED does not say it: elsewhere no time makes it better.
		...(isForLater ? { retriable: true } : {}),
		...members,
	});
}

/** What programs decide by. */
export function errorMembers(error: MillraceError) {
	const { number, code, retriable, topic, partition } = error;
	return { code: number, name: code, retriable, topic, partition };
}
