/**
 * The OpenAPI description: that it is one, that it is committed as it is served, and that every
 * route answers as it says.
 */
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";

import { DESCRIBED, openApiText } from "../../../src/http/api/openapi.ts";
import { AclAuthorizer } from "../../../src/security/authorizer.ts";
import { ANONYMOUS } from "../../../src/security/principal.ts";
import { serveApi } from "./harness.ts";

const document = JSON.parse(openApiText());
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(document, "openapi");

test("is valid OpenAPI 3.1", async () => {
	const validator = new Validator();
	expect(await validator.validate(document)).toEqual({ valid: true });
	expect(validator.version).toBe("3.1");
});

test("is committed as it is served", () => {
	const committed = new URL("../../../docs/openapi.json", import.meta.url);
	expect(readFileSync(committed, "utf8")).toBe(openApiText());
});

/** Whether a value is what the document says of an answer. */
function checkAnswer(method: string, path: string, status: number, value: unknown): void {
	const escaped = path.replaceAll("~", "~0").replaceAll("/", "~1");
	const operation = `openapi#/paths/${escaped}/${method.toLowerCase()}`;
	const at = encodeURI(`${operation}/responses/${status}/content/application~1json/schema`);
	const validate = ajv.getSchema(at);
	if (validate === undefined) throw new Error(`nothing is said of ${at}`);
	expect(validate(value), JSON.stringify([value, validate.errors])).toBe(true);
	// Nothing is answered that is not described.
	const schema = validate.schema as { properties: object };
	expect(Object.keys(schema.properties)).toEqual(
		expect.arrayContaining(Object.keys(value as object)),
	);
}

/** A request for each operation, in an order in which they work. */
const REQUESTS: Readonly<Record<string, readonly [path: string, body?: unknown]>> = {
	"topics.create": [
		"/topics",
		{ name: "made", partitions: 2, configs: { "retention.ms": "1000" } },
	],
	"records.produce": [
		"/topics/made/records?encoding=text",
		{ records: [{ key: "k", value: "v", headers: [["h", null]], partition: 0 }] },
	],
	"records.read": ["/topics/made/partitions/0/records?offset=0&encoding=text"],
	"topics.list": ["/topics?limit=10"],
	"topics.describe": ["/topics/made"],
	"topics.alter": ["/topics/made", { configs: { "retention.ms": null } }],
	"topics.add_partitions": ["/topics/made/partitions", { partitions: 3 }],
	"offsets.describe": ["/topics/made/offsets"],
	"offsets.list": ["/topics/made/partitions/0/offset?at=latest"],
	"groups.list": ["/groups"],
	"groups.reset_offsets": ["/groups/g/offsets", { topic: "made", to: { offset: 0 } }],
	"groups.describe": ["/groups/g"],
	"groups.delete": ["/groups/g"],
	"acls.create": [
		"/acls",
		{ acls: [{ resource: "topic", name: "t", principal: "User:a", operation: "read" }] },
	],
	"acls.list": ["/acls?principal=User:a"],
	"acls.delete": ["/acls?principal=User:a"],
	"quotas.set": ["/quotas", { user: "alice", rates: { producer_byte_rate: 1_000 } }],
	"quotas.list": ["/quotas?user=alice"],
	"quotas.throttled": ["/quotas/throttled"],
	"users.set": ["/users/alice", { password: "correct horse" }],
	"users.list": ["/users?limit=10"],
	"users.delete": ["/users/alice"],
	"configs.describe": ["/configs"],
	"configs.alter": ["/configs", { configs: { "max.connections": "100" }, level: "cluster" }],
	"clients.list": ["/clients"],
	"tickets.create": ["/tickets"],
	"cluster.describe": ["/cluster"],
	"verify.status": ["/verify"],
	"verify.partition": ["/topics/made/partitions/0/verify", {}],
	"topics.delete": ["/topics/made"],
};

describe.each(["uws", "ws"] as const)("over %s", (transport) => {
	const at = serveApi(transport, {
		acls: (opened) =>
			AclAuthorizer.open(opened, { superUsers: ANONYMOUS, allowEveryoneIfNoAclFound: true }),
	});

	test("every operation is asked for", () => {
		expect(Object.keys(REQUESTS).sort()).toEqual(Object.keys(DESCRIBED).sort());
	});

	test.each(Object.entries(REQUESTS))("%s answers as described", async (name, [path, body]) => {
		const described = DESCRIBED[name];
		if (described === undefined) throw new Error(`${name} is not described`);
		const { method, path: template, status = 200 } = described;
		const answer = await at.ask(method, path, body);
		expect(answer, JSON.stringify(answer.body)).toMatchObject({ status });
		checkAnswer(method, template, status, answer.body);
		expect(at.failures).toEqual([]);
	});

	test("problems are as described", async () => {
		const validate = ajv.getSchema("openapi#/components/schemas/Problem");
		for (const path of ["/topics/none", "/topics?limit=0", "/groups/none"]) {
			const { status, headers, body } = await at.ask("GET", path);
			expect(status).toBeGreaterThanOrEqual(400);
			expect(headers.get("content-type")).toBe("application/problem+json");
			expect(validate?.(body), JSON.stringify(body)).toBe(true);
		}
	});

	test("the document is served", async () => {
		const { status, body } = await at.ask("GET", "/openapi.json");
		expect(status).toBe(200);
		expect(body).toEqual(document);
	});
});
