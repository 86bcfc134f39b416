import { CODES, type CodeName } from "./codes.ts";

/** What an error is about, beyond its code; only what is known is present. */
export interface ErrorDetails {
	readonly topic?: string;
	readonly partition?: number;
	/** When trying again makes sense, in milliseconds from now. */
	readonly retryAfterMs?: number;
	readonly cause?: unknown;
}

const namesByNumber = new Map<number, CodeName>(
	(Object.keys(CODES) as CodeName[]).map((name) => [CODES[name].code, name]),
);

/** The name of a code; numbers that this version does not know are UNKNOWN_SERVER_ERROR. */
export function codeName(number: number): CodeName {
	return namesByNumber.get(number) ?? "UNKNOWN_SERVER_ERROR";
}

/**
 * Every error of Millrace, in the broker and in the SDK alike. Decide by `code` or `retriable`,
 * never by the message, which is for people: the code's own text, then what is particular behind a
 * colon.
 */
export class MillraceError extends Error {
	override readonly name = "MillraceError";
	readonly code: CodeName;
	/** The code's number on the wire. */
	readonly number: number;
	/** Whether the same request may succeed later, unchanged. */
	readonly retriable: boolean;
	readonly topic: string | undefined;
	readonly partition: number | undefined;
	readonly retryAfterMs: number | undefined;

	constructor(code: CodeName, particular = "", details: ErrorDetails = {}) {
		const row = CODES[code];
		const message = particular === "" ? row.message : `${row.message}: ${particular}`;
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.code = code;
		this.number = row.code;
		this.retriable = row.retriable;
		this.topic = details.topic;
		this.partition = details.partition;
		this.retryAfterMs = details.retryAfterMs;
	}

	/** The error behind a number that came in a frame. */
	static fromNumber(number: number, particular = "", details: ErrorDetails = {}): MillraceError {
		return new MillraceError(codeName(number), particular, details);
	}
}
