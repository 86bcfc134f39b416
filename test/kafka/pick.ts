import type { Fields, Value } from "./client-codec.ts";

/** What lies at a path in a response: `pick(answer, "responses", 0, "partitions", 0)`. */
export function pick(fields: Fields, ...path: (string | number)[]): Fields {
	let found: unknown = fields;
	for (const step of path) found = (found as Record<string | number, Value> | undefined)?.[step];
	return found as Fields;
}
