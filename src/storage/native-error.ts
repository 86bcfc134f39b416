/** Errors of the addon, as the project's own. */

import { MillraceError } from "../errors.ts";
import { CODES, type CodeName } from "../protocol/codes.ts";

/**
 * What the addon threw. Its errors carry `CODE_NAME\ndetail` as their message; anything else is a
 * mistake in how it was called and becomes UNKNOWN_SERVER_ERROR with the original as its cause.
 */
export function fromNative(thrown: unknown): MillraceError {
	if (thrown instanceof Error) {
		const newline = thrown.message.indexOf("\n");
		const name = thrown.message.slice(0, Math.max(newline, 0));
		if (Object.hasOwn(CODES, name)) {
			return new MillraceError(name as CodeName, thrown.message.slice(newline + 1));
		}
	}
	return new MillraceError("UNKNOWN_SERVER_ERROR", "", { cause: thrown });
}

/** Calls the addon. Throws MillraceError. */
export function call<T>(work: () => T): T {
	try {
		return work();
	} catch (thrown) {
		throw fromNative(thrown);
	}
}

/** Calls the addon and waits for its promise. Rejects with MillraceError. */
export async function callAsync<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (thrown) {
		throw fromNative(thrown);
	}
}
