import { expect, test } from "vitest";

import { MillraceError } from "../../../src/errors.ts";
import { ProblemError, problemOf } from "../../../src/http/api/problem.ts";

const limit = (particular: string) => new MillraceError("LIMIT_EXCEEDED", particular);
const throttled = new MillraceError("THROTTLING_QUOTA_EXCEEDED", "", { retryAfterMs: 1_001 });

test.each([
	["too many checks or tickets", limit("64 checks wait already"), 429, "1"],
	["too many requests", new ProblemError(limit("requests under way"), 503), 503, "1"],
	["a quota", throttled, 429, "2"],
	["what is being loaded", new MillraceError("COORDINATOR_LOAD_IN_PROGRESS"), 503, "1"],
])("%s: to be asked again, and when", (_, error, status, retryAfter) => {
	const answer = problemOf(error);
	expect(answer).toMatchObject({ status, headers: { "retry-after": retryAfter } });
	expect(JSON.parse(answer.body as string)).toMatchObject({ status, retriable: true });
});

test.each([
	["an argument", new MillraceError("INVALID_ARGUMENT"), 400],
	["a name", new MillraceError("TOPIC_ALREADY_EXISTS"), 409],
])("%s that will not do: never the same again", (_, error, status) => {
	const answer = problemOf(error);
	expect(answer.headers).not.toHaveProperty("retry-after");
	expect(JSON.parse(answer.body as string)).toMatchObject({ status, retriable: false });
});
