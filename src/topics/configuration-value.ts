/** How values of configurations are written, checked and brought into one form. */

/**
 * How a value is written. LONG values are 64-bit exact and therefore bigint wherever they are
 * numbers.
 */
export type ValueType =
	| { readonly kind: "boolean" }
	| {
			readonly kind: "integer";
			readonly minimum: bigint;
			readonly maximum: bigint;
			/** A value within the bounds that means nothing. */
			readonly except?: bigint;
	  }
	| { readonly kind: "double"; readonly minimum: number; readonly maximum: number }
	| { readonly kind: "choice"; readonly choices: readonly string[] }
	/** Comma-separated, each at most once; may be empty. */
	| { readonly kind: "choices"; readonly choices: readonly string[] };

/** A value that its type does not take. The message says why, and does not name the setting. */
export class InvalidValueError extends Error {
	override readonly name = "InvalidValueError";
}

/**
 * A value without surrounding blanks in canonical form: integers without sign or leading zeros,
 * booleans in lower case. Throws InvalidValueError.
 */
export function parseValue(type: ValueType, text: string): string {
	switch (type.kind) {
		case "boolean": {
			const lower = text.toLowerCase();
			if (lower !== "true" && lower !== "false") {
				throw new InvalidValueError(`${text} is neither true nor false`);
			}
			return lower;
		}
		case "integer": {
			if (!/^[+-]?\d{1,19}$/.test(text)) {
				throw new InvalidValueError(`${text} is not a whole number`);
			}
			const number = BigInt(text.startsWith("+") ? text.slice(1) : text);
			if (number < type.minimum || number > type.maximum) {
				throw new InvalidValueError(`${text} is not between ${type.minimum} and ${type.maximum}`);
			}
			if (number === type.except) throw new InvalidValueError(`it cannot be ${text}`);
			return number.toString();
		}
		case "double": {
			const number = text === "" ? Number.NaN : Number(text);
			if (!(number >= type.minimum && number <= type.maximum)) {
				throw new InvalidValueError(`${text} is not between ${type.minimum} and ${type.maximum}`);
			}
			return number.toString();
		}
		case "choice":
			return checkChoice(text, type.choices);
		case "choices": {
			const list = text.replace(/^\[(.*)\]$/, "$1").trim();
			if (list === "") return "";
			const parts = list.split(",").map((part) => checkChoice(part.trim(), type.choices));
			return [...new Set(parts)].join(",");
		}
	}
}

function checkChoice(text: string, choices: readonly string[]): string {
	if (choices.includes(text)) return text;
	throw new InvalidValueError(`${text} is not one of ${choices.join(", ")}`);
}
