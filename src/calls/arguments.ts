import { MillraceError } from "../errors.ts";
import type { DecodedMap, DecodedValue } from "../protocol/reader.ts";

const NAME_SHOWN_CHARACTERS = 100;

/**
 * A map that a client sent, read by name: absent and nil are the same, unknown names are ignored,
 * and what is of the wrong type or out of bounds is INVALID_ARGUMENT with its name.
 */
export class Arguments {
	readonly #map: DecodedMap;

	constructor(map: DecodedMap) {
		this.#map = map;
	}

	string(name: string): string {
		return this.optionalString(name) ?? invalid(name, "is missing");
	}

	optionalString(name: string): string | undefined {
		const value = this.#map[name] ?? undefined;
		if (value === undefined || typeof value === "string") return value;
		return invalid(name, "is not a string");
	}

	/** One of `choices`, or the first of them when absent. */
	choice<Choice extends string>(name: string, choices: readonly [Choice, ...Choice[]]): Choice {
		const value = this.optionalString(name) ?? choices[0];
		const choice = choices.find((candidate) => candidate === value);
		return choice ?? invalid(name, `is none of ${choices.join(", ")}`);
	}

	boolean(name: string, absent: boolean): boolean {
		const value = this.#map[name] ?? absent;
		return typeof value === "boolean" ? value : invalid(name, "is not a boolean");
	}

	integer(name: string, least: number, most: number): number {
		return this.optionalInteger(name, least, most) ?? invalid(name, "is missing");
	}

	optionalInteger(name: string, least: number, most: number): number | undefined {
		const value = this.#map[name] ?? undefined;
		return value === undefined ? undefined : boundedInteger(value, name, least, most);
	}

	optionalMap(name: string): DecodedMap | undefined {
		const value = this.#map[name] ?? undefined;
		if (value === undefined || isMap(value)) return value;
		return invalid(name, "is not a map");
	}

	/** The value as it came; undefined when absent. */
	value(name: string): Exclude<DecodedValue, null> | undefined {
		return this.#map[name] ?? undefined;
	}
}

/** `value` if it is a whole number from `least` to `most`, else INVALID_ARGUMENT. */
export function boundedInteger(
	value: DecodedValue,
	name: string,
	least: number,
	most: number,
): number {
	if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
		return value;
	}
	return invalid(name, `is not an integer from ${least} to ${most}`);
}

/** Whether `value` is a map, and neither nil, an array nor a binary. */
export function isMap(value: DecodedValue): value is DecodedMap {
	return (
		typeof value === "object" &&
		value !== null &&
		!Array.isArray(value) &&
		!(value instanceof Uint8Array)
	);
}

/** Throws INVALID_ARGUMENT. A name that the client chose may be as long as its frame. */
export function invalid(name: string, problem: string): never {
	throw new MillraceError("INVALID_ARGUMENT", `${name.slice(0, NAME_SHOWN_CHARACTERS)} ${problem}`);
}
