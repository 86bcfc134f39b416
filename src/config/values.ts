/**
 * Schemas of the values that options take, as they are written: a text, from a flag, an environment
 * variable or a file, or a list of texts from a file. Each says in its description what is allowed,
 * and in its messages what is wrong, without the option's name.
 */
import * as v from "valibot";

import { InvalidValueError } from "../topics/configuration-value.ts";
import { type DefaultOption, parseDefault } from "../topics/topic-defaults.ts";
import { type Address, formatAddress } from "./address.ts";
import { ConfigError } from "./errors.ts";

/** A value as it stands in its source. */
export type Written = string | readonly string[];

/** What a value has to look like, and what becomes of it. */
export type Schema<Value> = v.GenericSchema<unknown, Value>;

const PORT_MAX = 65_535;

/** One text, without the blanks around it. */
const single = v.pipe(v.string("expected one value, a list was given"), v.trim());

/** Texts: a list, or one text with commas. */
const several = v.union([
	v.pipe(
		v.string(),
		v.transform((text) => text.split(",")),
	),
	v.array(v.string()),
]);

/** The value of an option. Throws ConfigError, whose message does not name the option. */
export function parseWritten<Value>(schema: Schema<Value>, written: Written): Value {
	const result = v.safeParse(schema, written, { abortEarly: true });
	if (!result.success) throw new ConfigError(result.issues[0].message);
	return result.output;
}

/** What is allowed, in words. */
export function allowedBy(schema: Schema<unknown>): string {
	return v.getDescription(schema) ?? "";
}

/** A whole number within bounds, both inclusive. */
export function integer(minimum: number, maximum: number): Schema<number> {
	const message = ({ input }: { input: unknown }) =>
		`${shown(input)} is not a whole number from ${minimum} to ${maximum}`;
	return v.pipe(
		single,
		v.regex(/^[+-]?\d{1,16}$/, message),
		v.transform(Number),
		v.minValue(minimum, message),
		v.maxValue(maximum, message),
		v.description(`${minimum} to ${maximum}`),
	);
}

/** `true` or `false`. */
export const boolean: Schema<boolean> = v.pipe(
	single,
	v.toLowerCase(),
	v.picklist(["true", "false"], ({ input }) => `${shown(input)} is neither true nor false`),
	v.transform((text) => text === "true"),
	v.description("true, false"),
);

/** One of a few words, in any case where `anyCase` says so. */
export function choice<const Choice extends string>(
	of: readonly Choice[],
	{ anyCase = false } = {},
): Schema<Choice> {
	return v.pipe(
		single,
		v.transform((text) => {
			if (!anyCase) return text;
			const lower = text.toLowerCase();
			return of.find((word) => word.toLowerCase() === lower) ?? text;
		}),
		v.picklist(of, ({ input }) => `${shown(input)} is not one of ${of.join(", ")}`),
		v.description(of.join(", ")),
	);
}

/** Words of a few, at least one of them. */
export function choices<const Choice extends string>(
	of: readonly Choice[],
): Schema<readonly Choice[]> {
	return v.pipe(
		several,
		v.minLength(1, "the list is empty"),
		v.array(
			v.pipe(
				v.string(),
				v.trim(),
				v.picklist(of, ({ input }) => `${shown(input)} is not one of ${of.join(", ")}`),
			),
		),
		v.description(`a list of ${of.join(", ")}`),
	);
}

/** `NAME=VALUE` for some of a few names, each of which has one of a few values; or none. */
export function assignments<const Name extends string, const Value extends string>(
	names: readonly Name[],
	values: readonly Value[],
): Schema<ReadonlyMap<Name, Value>> {
	return v.pipe(
		several,
		v.transform((texts) => texts.map((text) => text.trim()).filter((text) => text !== "")),
		v.array(
			v.pipe(
				v.string(),
				v.regex(/^[^=]*=[^=]*$/, ({ input }) => `${shown(input)} is not NAME=VALUE`),
				v.transform((text) => text.split("=").map((part) => part.trim())),
				v.tuple([
					v.picklist(names, ({ input }) => `${shown(input)} is not one of ${names.join(", ")}`),
					v.picklist(values, ({ input }) => `${shown(input)} is not one of ${values.join(", ")}`),
				]),
			),
		),
		v.transform((pairs) => new Map(pairs)),
		v.description(`a list of NAME=VALUE, names ${names.join(", ")}, values ${values.join(", ")}`),
	);
}

/** A text that is not empty. */
export const nonEmpty: Schema<string> = v.pipe(
	single,
	v.minLength(1, "it must not be empty"),
	v.description("any text"),
);

/** A text that may be empty: nothing. */
export const optionalText: Schema<string> = v.pipe(single, v.description("any text, or empty"));

/** Texts; there may be none. */
export const optionalTexts: Schema<readonly string[]> = v.pipe(
	several,
	v.transform((texts) => texts.map((text) => text.trim()).filter((text) => text !== "")),
	v.description("a list of texts, or empty"),
);

/** The name of a cookie (RFC 6265, 4.1.1), or empty. */
export const cookieName: Schema<string> = v.pipe(
	single,
	v.regex(/^[!#$%&'*+\-.^_`|~\w]*$/, ({ input }) => `${shown(input)} is no name of a cookie`),
	v.description("the name of a cookie, or empty"),
);

/** Where a key set is. What comes over the network unprotected could be anybody's. */
export const keySetUrl: Schema<string> = v.pipe(
	single,
	v.check(
		(text) => text === "" || isKeySetUrl(text),
		({ input }) => `${input} is neither https: nor file: nor http: of this machine`,
	),
	v.description("https:, file:, http: of a loopback address, or empty"),
);

/** `HOST:PORT`, IPv6 hosts in brackets. */
export const address: Schema<Address> = v.pipe(
	single,
	v.regex(
		/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):\d{1,5}$/,
		({ input }) => `${shown(input)} is not HOST:PORT, such as 127.0.0.1:4600 or [::1]:4600`,
	),
	v.transform((text) => {
		const colon = text.lastIndexOf(":");
		const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
		return { host, port: Number(text.slice(colon + 1)) };
	}),
	v.check(
		({ port }) => port <= PORT_MAX,
		({ input: { port } }) => `${port} is not a port from 0 to ${PORT_MAX}`,
	),
	v.description("HOST:PORT"),
);

const nothing = v.pipe(
	single,
	v.transform(() => null),
);

/** The same, or nothing. */
export const optionalAddress: Schema<Address | null> = v.pipe(
	v.lazy((written) => (String(written).trim() === "" ? nothing : address)),
	v.description("HOST:PORT, or empty"),
);

/** Web origins, or `*`. */
export const origins: Schema<readonly string[]> = v.pipe(
	several,
	v.transform((texts) => texts.map((text) => text.trim()).filter((text) => text !== "")),
	v.array(
		v.pipe(
			v.string(),
			v.check(
				(text) => text === "*" || originOf(text) !== undefined,
				({ input }) => `${input} is not an origin such as https://example.com`,
			),
			v.transform((text) => originOf(text) ?? text),
		),
	),
	v.description("a list of origins such as https://example.com, or *"),
);

/** Principals, separated by semicolons as in Kafka: names may have commas. */
export const principals: Schema<string> = v.pipe(
	v.union([v.string(), v.array(v.string())]),
	v.transform((written) => (typeof written === "string" ? written.split(";") : written)),
	v.transform((texts) => texts.map((text) => text.trim()).filter((text) => text !== "")),
	v.array(
		v.pipe(
			v.string(),
			v.check(
				(text) => /^User:[^;]+$/.test(text),
				({ input }) => `${input} is no principal such as User:alice`,
			),
		),
	),
	v.transform((texts) => texts.join(";")),
	v.description("principals such as User:alice, separated by ;"),
);

/** A default of topics, in canonical form. */
export function topicDefault(option: DefaultOption): Schema<string> {
	const isList = option.value.kind === "choices";
	return v.pipe(
		isList
			? v.pipe(
					several,
					v.transform((texts) => texts.join(",")),
				)
			: single,
		v.rawTransform(({ dataset, addIssue, NEVER }) => {
			try {
				return parseDefault(option, dataset.value);
			} catch (error) {
				if (!(error instanceof InvalidValueError)) throw error;
				addIssue({ message: error.message });
				return NEVER;
			}
		}),
		v.description(allowedDefault(option)),
	);
}

function allowedDefault({ value }: DefaultOption): string {
	switch (value.kind) {
		case "boolean":
			return "true, false";
		case "choice":
			return value.choices.join(", ");
		case "choices":
			return `a list of ${value.choices.join(", ")}, or empty`;
		case "double":
			return `${value.minimum} to ${value.maximum}`;
		case "integer": {
			const except = value.except === undefined ? "" : `, not ${value.except}`;
			return `${value.minimum} to ${value.maximum}${except}`;
		}
	}
}

/** A value in the form in which it could be written. */
export function formatWritten(value: unknown): string {
	if (value === null) return "";
	if (Array.isArray(value)) return value.join(",");
	if (value instanceof Map) return [...value].map(([name, of]) => `${name}=${of}`).join(",");
	if (typeof value === "object" && "host" in value && "port" in value) {
		return formatAddress(value as Address);
	}
	return String(value);
}

function isKeySetUrl(text: string): boolean {
	if (!URL.canParse(text)) return false;
	const { protocol, hostname, host } = new URL(text);
	if (protocol === "file:") return host === "";
	const isLoopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
	return protocol === "https:" || (protocol === "http:" && isLoopback);
}

function originOf(text: string): string | undefined {
	const parsed = URL.canParse(text) ? new URL(text) : undefined;
	if (parsed === undefined || parsed.origin === "null" || parsed.pathname !== "/") return undefined;
	return parsed.origin;
}

function shown(input: unknown): string {
	return input === "" ? "nothing" : String(input);
}
