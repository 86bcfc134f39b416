/** Arguments in the path and the query of a request: text, read as what each is declared to be. */
import { invalid } from "../../calls/arguments.ts";
import type { RoutedRequest } from "../router.ts";

/** One argument outside the body. */
export interface Parameter {
	readonly type: "string" | "integer" | "boolean";
	readonly description: string;
	readonly choices?: readonly string[];
	/** Bounds of an integer. */
	readonly least?: number;
	readonly most?: number;
	readonly isRequired?: boolean;
}

export type Parameters = Readonly<Record<string, Parameter>>;

export type ParameterValue = string | number | boolean;

/**
 * The values of what is given. Throws INVALID_ARGUMENT for what is not declared, is given twice or
 * is no such value.
 */
export function readParameters(
	request: RoutedRequest,
	path: Parameters,
	query: Parameters,
): Record<string, ParameterValue> {
	const values: Record<string, ParameterValue> = {};
	for (const [name, parameter] of Object.entries(path)) {
		values[name] = parsed(name, parameter, request.parameters.get(name) ?? "");
	}
	for (const [name, text] of new URLSearchParams(request.query)) {
		const parameter = Object.hasOwn(query, name) ? query[name] : undefined;
		if (parameter === undefined) {
			const known = Object.keys(query).join(", ");
			return invalid(name, `is no parameter here; there is ${known === "" ? "none" : known}`);
		}
		if (Object.hasOwn(values, name)) return invalid(name, "is given twice");
		values[name] = parsed(name, parameter, text);
	}
	for (const [name, { isRequired = false }] of Object.entries(query)) {
		if (isRequired && !Object.hasOwn(values, name)) return invalid(name, "is missing");
	}
	return values;
}

function parsed(name: string, parameter: Parameter, text: string): ParameterValue {
	const {
		type,
		choices,
		least = Number.MIN_SAFE_INTEGER,
		most = Number.MAX_SAFE_INTEGER,
	} = parameter;
	if (choices !== undefined && !choices.includes(text)) {
		return invalid(name, `is none of ${choices.join(", ")}`);
	}
	if (type === "string") return text;
	if (type === "boolean") {
		if (text === "true" || text === "false") return text === "true";
		return invalid(name, "is neither true nor false");
	}
	const number = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
	if (number >= least && number <= most) return number;
	return invalid(name, `is not an integer from ${least} to ${most}`);
}
