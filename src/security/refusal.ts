/** Why somebody is not believed to be who they say: one word, for figures and for the log. */
import { MillraceError } from "../errors.ts";

/**
 * - `credentials`: a name or a password that is wrong
 * - `malformed`: not in the form of the mechanism
 * - `expired`: a token whose time is over
 * - `claims`: a token for others, of others, or without what it needs
 * - `signature`: a token that no known key has signed, or by an algorithm that is not taken
 * - `keys`: the keys of tokens could not be had
 * - `mechanism`: a mechanism that is not offered
 * - `identity`: somebody else than before on the same connection
 * - `busy`: not looked at, since too many logins wait; a counted reason, which no Refusal has
 */
export const REFUSAL_REASONS = [
	"credentials",
	"malformed",
	"expired",
	"claims",
	"signature",
	"keys",
	"mechanism",
	"identity",
	"busy",
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** NOT_AUTHENTICATED, and why. What is particular never quotes what was shown. */
export class Refusal extends MillraceError {
	readonly reason: RefusalReason;
	/** What Kafka clients are told of it; undefined: what they are told of any. */
	readonly kafkaText: string | undefined;

	constructor(
		reason: RefusalReason,
		particular: string,
		{ cause, kafkaText }: { readonly cause?: unknown; readonly kafkaText?: string } = {},
	) {
		super("NOT_AUTHENTICATED", particular, { cause });
		this.reason = reason;
		this.kafkaText = kafkaText;
	}
}
