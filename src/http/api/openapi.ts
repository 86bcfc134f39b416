/** The OpenAPI description (3.1) of the HTTP API, made of the tables that serve it. */
import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import type { SharedCallName } from "../../calls/table.ts";
import { VERSION } from "../../version.ts";
import { CALL_ROUTES, type Described, PATH_PARAMETERS } from "./call-routes.ts";
import { MEDIA_TYPE } from "./media.ts";
import type { Parameter } from "./parameters.ts";
import { PRODUCE_ROUTE, READ_ROUTE } from "./record-routes.ts";
import { PROBLEM } from "./schemas.ts";

/** Everything described, by the name of its operation. */
export const DESCRIBED: Readonly<Record<string, Described>> = {
	...CALL_ROUTES,
	"records.read": READ_ROUTE,
	"records.produce": PRODUCE_ROUTE,
};

export type CallOrRecords = SharedCallName | "records.read" | "records.produce";

/** The document as it is served. */
export function openApiText(): string {
	return `${JSON.stringify(openApi(), null, "\t")}\n`;
}

let bytes: Uint8Array | undefined;

/** The same in UTF-8, once, however many ask for it. */
export function openApiBytes(): Uint8Array {
	bytes ??= Buffer.from(openApiText());
	return bytes;
}

function openApi() {
	const paths: Record<string, Record<string, object>> = {};
	for (const [name, described] of Object.entries(DESCRIBED)) {
		const path = paths[described.path] ?? {};
		paths[described.path] = path;
		path[described.method.toLowerCase()] = operation(name, described);
	}
	return {
		openapi: "3.1.0",
		info: {
			title: "Millrace HTTP API",
			version: VERSION,
			summary: "Administration, and records by their offsets",
			license: { name: "Apache-2.0", identifier: "Apache-2.0" },
		},
		servers: [{ url: "/" }],
		// Who does not say who they are is served where the broker allows it.
		security: [{}, { basic: [] }, { bearer: [] }],
		paths,
		components: {
			schemas: { Problem: jsonSchema(PROBLEM) },
			responses: {
				Problem: {
					description:
						"What is the matter, with the code of the broker's table of errors, but for what is " +
						"refused before the route looks at it.",
					content: PROBLEM_CONTENT,
				},
				TooManyRequests: {
					description:
						"Who asks is over a quota: THROTTLING_QUOTA_EXCEEDED, and nothing was done; or over " +
						"a bound of the broker: LIMIT_EXCEEDED. Ask again in `Retry-After` seconds.",
					headers: {
						"Retry-After": {
							description: "Seconds to wait.",
							required: true,
							schema: { type: "integer", minimum: 1 },
						},
					},
					content: PROBLEM_CONTENT,
				},
			},
			securitySchemes: {
				basic: { type: "http", scheme: "basic" },
				bearer: { type: "http", scheme: "bearer" },
			},
		},
	};
}

function operation(name: string, described: Described): object {
	const { tag, summary, description, body, answer, status = 200 } = described;
	return {
		operationId: name,
		tags: [tag],
		summary,
		...(description === undefined ? {} : { description }),
		parameters: parametersOf(described),
		...(body === undefined ? {} : { requestBody: { required: true, content: content(body) } }),
		responses: {
			[status]: { description: "Done.", content: content(answer) },
			429: reference("responses", "TooManyRequests"),
			default: reference("responses", "Problem"),
		},
	};
}

function parametersOf({ path, query = {} }: Described): object[] {
	const inPath = [...path.matchAll(/\{([a-z_]+)\}/g)].map(([, name = ""]) => {
		const parameter = PATH_PARAMETERS[name];
		if (parameter === undefined) throw new Error(`nothing is told of ${name} in ${path}`);
		return { name, in: "path", required: true, ...told(parameter) };
	});
	const inQuery = Object.entries(query).map(([name, parameter]) => ({
		name,
		in: "query",
		required: parameter.isRequired ?? false,
		...told(parameter),
	}));
	return [...inPath, ...inQuery];
}

function told({ type, description, choices, least, most }: Parameter): object {
	const schema = { type, enum: choices, minimum: least, maximum: most };
	return { description, schema };
}

/** The same in JSON and MessagePack; what is bytes is told where it is described. */
function content(schema: v.GenericSchema): object {
	const described = jsonSchema(schema);
	return {
		[MEDIA_TYPE.json]: { schema: described },
		[MEDIA_TYPE.msgpack]: { schema: described },
	};
}

function jsonSchema(schema: v.GenericSchema): object {
	const { $schema: _, ...described } = toJsonSchema(schema as never, {
		target: "draft-2020-12",
		errorMode: "throw",
	});
	return described;
}

const reference = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` });

const PROBLEM_CONTENT = { "application/problem+json": { schema: reference("schemas", "Problem") } };
