/** First and last, both included. */
export type Versions = readonly [number, number];

export interface Field {
	readonly name: string;
	readonly array: boolean;
	/** A primitive or the name of a struct. */
	readonly type: string;
	readonly versions: Versions;
	/** The versions in which null is allowed; null for none. */
	readonly nullable: Versions | null;
	/** Its number when it is a tagged field. */
	readonly tag: number | null;
	readonly ignorable: boolean;
	/** undefined where the definition gives none. */
	readonly default: string | number | boolean | null | undefined;
}

export interface Message {
	readonly name: string;
	readonly oldest: number;
	readonly latest: number;
	/** The first version in the compact form with tagged fields; null when there is none. */
	readonly flexibleFrom: number | null;
	readonly fields: readonly Field[];
	readonly structs: ReadonlyMap<string, readonly Field[]>;
}

export interface Definition {
	readonly kind: "api" | "record" | "data";
	readonly name: string;
	readonly file: string;
	/** An API's key, a record's type; data has none. */
	readonly number?: number;
	/** The oldest version that ApiVersions names. */
	readonly advertisedFrom?: number;
	/** Request and response, key and value, or the data itself. */
	readonly messages: readonly Message[];
}

export const VERSION_MAX: number;
export const PRIMITIVES: ReadonlySet<string>;
export function parseDefinition(file: string, text: string): Definition;
export function readDefinitions(): Definition[];
