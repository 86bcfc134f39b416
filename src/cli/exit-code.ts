/** How a command ended, for scripts. */
import { CommanderError } from "commander";

import { ConfigError } from "../config/errors.ts";
import { MillraceError } from "../errors.ts";
import { OptionFileError } from "../security/options.ts";

export const EXIT = {
	done: 0,
	failed: 1,
	/** The command line or the configuration makes no sense. */
	usage: 2,
	/** The broker cannot be reached, or does not let us. */
	unreachable: 3,
	/** Stored data is damaged. */
	damaged: 4,
	/** The data directory is in use or was written by a newer version. */
	occupied: 5,
	/** A benchmark was slower than its baseline. */
	regression: 10,
	/** A benchmark could not tell whether it was. */
	inconclusive: 11,
} as const;

/** What was asked for makes no sense: exit code 2. */
export class UsageError extends Error {
	override readonly name = "UsageError";
}

/** A check has found damage: exit code 4. */
export class DamageFoundError extends Error {
	override readonly name = "DamageFoundError";
}

/** What a comparison of benchmarks found, where it is not that all is well. */
export class BenchVerdictError extends Error {
	override readonly name = "BenchVerdictError";
	readonly verdict: "regression" | "inconclusive";

	constructor(verdict: "regression" | "inconclusive", message: string) {
		super(message);
		this.verdict = verdict;
	}
}

/** Records that a command was to store and that were not; the cause is the first one's failure. */
export class RecordsFailedError extends Error {
	override readonly name = "RecordsFailedError";

	constructor(count: number, cause: Error) {
		const what =
			count === 1 ? "1 record was not stored" : `${count} records were not stored, the first`;
		super(`${what} because ${describeFailure(cause)}`, { cause });
	}
}

/** No broker answers where one was to be; the cause says why. */
export class UnreachableError extends Error {
	override readonly name = "UnreachableError";

	constructor(url: string, cause: MillraceError) {
		const why = cause.cause instanceof Error ? cause.cause.message : cause.message;
		super(`no broker can be reached at ${url}: ${why} [${cause.code}]`, { cause });
	}
}

/**
 * A failure that the log has told of already: nothing more is said, the cause decides the exit
 * code.
 */
export class LoggedError extends Error {
	override readonly name = "LoggedError";
}

/** The exit code for what a command threw. */
export function exitCodeOf(thrown: unknown): number {
	if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
	if (thrown instanceof UsageError || thrown instanceof ConfigError) return EXIT.usage;
	if (thrown instanceof OptionFileError) return EXIT.usage;
	if (thrown instanceof RecordsFailedError || thrown instanceof LoggedError) {
		return exitCodeOf(thrown.cause);
	}
	if (thrown instanceof BenchVerdictError) return EXIT[thrown.verdict];
	if (thrown instanceof DamageFoundError) return EXIT.damaged;
	if (thrown instanceof UnreachableError) return EXIT.unreachable;
	if (!(thrown instanceof MillraceError)) return EXIT.failed;
	switch (thrown.code) {
		case "CONNECTION_LOST":
		case "NOT_AUTHENTICATED":
		case "TOPIC_AUTHORIZATION_FAILED":
		case "GROUP_AUTHORIZATION_FAILED":
		case "CLUSTER_AUTHORIZATION_FAILED":
		case "TRANSACTIONAL_ID_AUTHORIZATION_FAILED":
			return EXIT.unreachable;
		case "DATA_DAMAGED":
			return EXIT.damaged;
		case "DATA_DIRECTORY_IN_USE":
		case "DATA_DIRECTORY_NEWER":
			return EXIT.occupied;
		default:
			return EXIT.failed;
	}
}

/** What a person is told about what a command threw. */
export function describeFailure(thrown: unknown): string {
	if (thrown instanceof MillraceError) {
		const why = thrown.cause instanceof Error ? thrown.cause.message : "";
		// What a client's error is caused by often says the same.
		const cause = thrown.message.includes(why) ? "" : ` (${why})`;
		return `${thrown.message}${cause} [${thrown.code}]`;
	}
	return thrown instanceof Error ? thrown.message : String(thrown);
}
