/** Who is served over HTTP: by what they say of themselves, and by the access rules. */
import { afterEach, describe, expect, test } from "vitest";

import { DESCRIBED } from "../../../src/http/api/openapi.ts";
import { Policy } from "../../security/policy.ts";
import { GUESSED, PASSWORD, serveApi } from "./harness.ts";

const basic = (user: string, password: string) => ({
	authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});

const MUST_SAY = { servesAnonymous: false };

describe.each(["uws", "ws"] as const)("who does not say who they are, over %s", (transport) => {
	const at = serveApi(transport, MUST_SAY);

	test("is told how to", async () => {
		const { status, headers, body } = await at.ask("GET", "/topics");
		expect(status).toBe(401);
		expect(headers.get("www-authenticate")).toMatch(
			/^Basic realm="millrace", charset="UTF-8", Bearer/,
		);
		expect(body).toMatchObject({ name: "NOT_AUTHENTICATED" });
	});

	test.each(Object.entries(DESCRIBED))(
		"is refused %s, with a body or without",
		async (_, route) => {
			const path = route.path
				.replace("/v1", "")
				.replace(/\{partition\}/, "0")
				.replace(/\{\w+\}/g, "x");
			const body = route.body === undefined ? undefined : { large: "x".repeat(200_000) };
			expect((await at.ask(route.method, path, body)).status).toBe(401);
		},
	);

	test("is served once they do, rightly", async () => {
		expect((await at.ask("GET", "/topics", undefined, basic("alice", PASSWORD))).status).toBe(200);
		const authorization = "Bearer token-of-alice";
		expect((await at.ask("GET", "/topics", undefined, { authorization })).status).toBe(200);
		for (const wrong of [
			basic("alice", "wrong").authorization,
			"Basic",
			"Basic !!!",
			`Digest ${"x".repeat(100)}`,
			"Bearer token",
		]) {
			const refused = await at.ask("GET", "/topics", undefined, { authorization: wrong });
			expect(refused).toMatchObject({ status: 401, body: { name: "NOT_AUTHENTICATED" } });
		}
	});
});

describe.each(["uws", "ws"] as const)("who guesses passwords, over %s", (transport) => {
	const at = serveApi(transport, { ...MUST_SAY, requestsMax: 2 });

	test("keeps nobody from being served while the answer waits", async () => {
		const leaving = new AbortController();
		const guesses = Array.from({ length: 10 }, () =>
			fetch(`${at.http}/v1/topics`, {
				method: "POST",
				headers: basic("mallory", GUESSED),
				body: "{}",
				signal: leaving.signal,
			}).catch(() => "gone"),
		);
		await expect.poll(() => at.refusedCount).toBe(10);
		expect((await at.ask("GET", "/topics", undefined, basic("alice", PASSWORD))).status).toBe(200);
		leaving.abort();
		expect(new Set(await Promise.all(guesses))).toEqual(new Set(["gone"]));
		await expect.poll(() => at.refusedCount).toBe(0);
	});
});

describe("who may do nothing", () => {
	const policy = new Policy();
	const at = serveApi("ws", { authorizer: policy });

	afterEach(() => {
		policy.allows = () => true;
	});

	/** What is refused to nobody: lists leave out what may not be described. */
	const OPEN = new Set(["topics.list", "groups.list", "tickets.create", "cluster.describe"]);

	test.each(Object.entries(DESCRIBED))("is refused %s by the access rules", async (name, route) => {
		policy.allows = () => false;
		const path = route.path
			.replace("/v1", "")
			.replace(/\{partition\}/, "0")
			.replace(/\{\w+\}/g, "x");
		const query: Record<string, string> = {
			"records.read": "?offset=0&encoding=text",
			"records.produce": "?encoding=text",
			"offsets.list": "?at=latest",
			"acls.delete": "?name=x",
		};
		const bodies: Record<string, object> = {
			"topics.create": { name: "x" },
			"topics.alter": { configs: {} },
			"topics.add_partitions": { partitions: 2 },
			"groups.reset_offsets": { to: "latest", topic: "x" },
			"acls.create": { acls: [] },
			"quotas.set": { user: "x", rates: {} },
			"users.set": { password: "x" },
			"configs.alter": { configs: {} },
			"records.produce": { records: [{}] },
			"verify.partition": {},
		};
		const { status, body } = await at.ask(
			route.method,
			`${path}${query[name] ?? ""}`,
			bodies[name],
		);
		if (OPEN.has(name)) expect(status).toBe(route.status ?? 200);
		else
			expect({ status, body }).toMatchObject({
				status: 403,
				body: { name: expect.stringMatching(/_AUTHORIZATION_FAILED$/) },
			});
	});
});
