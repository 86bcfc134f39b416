import { MillraceError } from "./protocol/error.ts";

export { codeName, type ErrorDetails, MillraceError } from "./protocol/error.ts";

/**
 * What was thrown, as an error of the table. Anything that is not one already is a bug or a failure
 * of the platform: it becomes UNKNOWN_SERVER_ERROR and keeps the original as its cause for the log.
 */
export function asMillraceError(thrown: unknown): MillraceError {
	if (thrown instanceof MillraceError) return thrown;
	return new MillraceError("UNKNOWN_SERVER_ERROR", "", { cause: thrown });
}
