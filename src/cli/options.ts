/** Options that several commands share, and their values. */
import { InvalidArgumentError, Option } from "commander";

/** The broker that client commands talk to unless told otherwise. */
const URL_DEFAULT = "ws://127.0.0.1:4600";

const URL_TEXT = "the broker";

/** For commands that can do without a broker: they ask one when the command line names it. */
export const optionalUrlOption = (instead: string) =>
	new Option("--url <url>", URL_TEXT).default(undefined, instead).argParser(parseBrokerUrl);

/** For commands of a client. */
export const urlOption = () =>
	new Option("--url <url>", URL_TEXT)
		.env("MILLRACE_URL")
		.default(URL_DEFAULT)
		.argParser(parseBrokerUrl);

export const jsonOption = () => new Option("--json", "answer for machines: JSON on stdout");

/** For a repeatable `--config K=V`. */
export const configOption = () =>
	new Option("--config <name=value>", "a topic configuration; repeat for more").argParser(
		collectSetting,
	);

function parseBrokerUrl(text: string): string {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url === undefined || !/^wss?:$/.test(url.protocol)) {
		throw new InvalidArgumentError("Expected ws://HOST:PORT or wss://HOST:PORT.");
	}
	return text;
}

/** Puts one `name=value` to those before it. */
function collectSetting(
	text: string,
	before: ReadonlyMap<string, string> | undefined,
): Map<string, string> {
	const equals = text.indexOf("=");
	if (equals <= 0) throw new InvalidArgumentError("Expected name=value.");
	return new Map(before).set(text.slice(0, equals).trim(), text.slice(equals + 1));
}

/** A parser of whole numbers within bounds, both inclusive. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
	return (text) => {
		const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
		if (!(number >= minimum && number <= maximum)) {
			throw new InvalidArgumentError(`Expected a whole number from ${minimum} to ${maximum}.`);
		}
		return number;
	};
}

/** A whole number, negative or not. */
export function signedNumber(text: string): number {
	const number = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
	if (!Number.isSafeInteger(number)) {
		throw new InvalidArgumentError("Expected a whole number, such as 100 or -100.");
	}
	return number;
}

/** A point in time: milliseconds since the epoch, or ISO 8601 (without a zone: local time). */
export function parseTime(text: string): number {
	const timestampMs = /^\d{1,16}$/.test(text) ? Number(text) : isoTime(text);
	if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) {
		throw new InvalidArgumentError(
			"Expected milliseconds since the epoch, or a time such as 2026-01-31T12:00:00Z.",
		);
	}
	return timestampMs;
}

function isoTime(text: string): number {
	return /^\d{4}-\d{2}-\d{2}([T ].+)?$/.test(text) ? Date.parse(text) : Number.NaN;
}
