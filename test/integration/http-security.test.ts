/** A broker that asks WebSocket clients who they are asks over HTTP, too. */
import { beforeAll, describe, expect, test } from "vitest";

import { atEndOfSuite, BrokerProcess } from "../broker-process.ts";
import { directoryOfUsers } from "../users.ts";

const PASSWORD = "correct horse";

describe("a broker that asks", () => {
	const atEnd = atEndOfSuite();
	let http: string;
	let broker: BrokerProcess;

	beforeAll(async () => {
		const { dataDir } = await directoryOfUsers({ alice: PASSWORD, bob: PASSWORD }, atEnd);
		broker = await BrokerProcess.start({
			dataDir,
			atEnd,
			flags: [
				...["--websocket-security-protocol", "SASL_PLAINTEXT"],
				...["--metrics-authentication-enable", "true"],
				...["--authorization-enable", "true", "--super-users", "User:alice"],
				...["--log-level", "trace"],
			],
		});
		http = broker.url.replace(/^ws/, "http");
	});

	function ask(path: string, user?: string, password = PASSWORD, init: RequestInit = {}) {
		const basic = Buffer.from(`${user}:${password}`).toString("base64");
		const headers: Record<string, string> = { "content-type": "application/json" };
		if (user !== undefined) headers.authorization = `Basic ${basic}`;
		return fetch(`${http}${path}`, { ...init, headers });
	}

	test.each(["/v1/topics", "/metrics"])("%s serves who says rightly who they are", async (path) => {
		const refused = await ask(path);
		expect(refused.status).toBe(401);
		expect(refused.headers.get("www-authenticate")).toMatch(/^Basic realm=/);
		expect((await ask(path, "alice")).status).toBe(200);
		expect((await ask(path, "nobody")).status).toBe(401);
	});

	test("/live and /ready serve everybody", async () => {
		expect([(await ask("/live")).status, (await ask("/ready")).status]).toEqual([200, 200]);
	});

	test("what users may do is what the access rules say", async () => {
		const init = { method: "POST", body: JSON.stringify({ name: "orders" }) };
		expect((await ask("/v1/topics", "bob", PASSWORD, init)).status).toBe(403);
		expect((await ask("/v1/topics", "alice", PASSWORD, init)).status).toBe(200);
		expect((await ask("/v1/topics/orders", "bob")).status).toBe(403);
		expect(await (await ask("/v1/topics", "bob")).json()).toEqual({ topics: [], more: false });
		expect((await ask("/metrics", "bob")).status).toBe(403);
		const rule = { resource: "topic", name: "orders", principal: "User:bob", operation: "read" };
		const rules = { method: "POST", body: JSON.stringify({ acls: [rule] }) };
		expect((await ask("/v1/acls", "bob", PASSWORD, rules)).status).toBe(403);
		expect((await ask("/v1/acls", "alice", PASSWORD, rules)).status).toBe(200);
		const records = "/v1/topics/orders/partitions/0/records?offset=earliest&encoding=text";
		expect((await ask(records, "bob")).status).toBe(200);
	});

	test("users are made and deleted by who may, and log in with what they were given", async () => {
		const give = (password: string) => ({ method: "PUT", body: JSON.stringify({ password }) });
		const [first, second] = ["battery staple", "tr0ub4dor&3"];
		expect((await ask("/v1/users/carol", "bob", PASSWORD, give(first))).status).toBe(403);
		expect((await ask("/v1/users/carol", "alice", PASSWORD, give(first))).status).toBe(200);
		expect((await ask("/v1/topics", "carol", first)).status).toBe(200);
		expect((await ask("/v1/users", "carol", first)).status).toBe(403);
		expect((await ask("/v1/users/carol", "alice", PASSWORD, give(second))).status).toBe(200);
		expect((await ask("/v1/topics", "carol", first)).status).toBe(401);
		expect((await ask("/v1/topics", "carol", second)).status).toBe(200);
		const removal = { method: "DELETE" };
		expect((await ask("/v1/users/carol", "carol", second, removal)).status).toBe(403);
		expect((await ask("/v1/users/carol", "alice", PASSWORD, removal)).status).toBe(200);
		expect((await ask("/v1/topics", "carol", second)).status).toBe(401);
	});

	test("the broker's settings are shown to and changed by who may", async () => {
		const change = {
			method: "PATCH",
			body: JSON.stringify({ configs: { "log.retention.ms": "5" } }),
		};
		expect((await ask("/v1/configs", "bob")).status).toBe(403);
		expect((await ask("/v1/configs", "bob", PASSWORD, change)).status).toBe(403);
		const allowed = { resource: "cluster", name: "kafka-cluster", principal: "User:bob" };
		const rule = { ...allowed, operation: "describe_configs" };
		const rules = { method: "POST", body: JSON.stringify({ acls: [rule] }) };
		expect((await ask("/v1/acls", "alice", PASSWORD, rules)).status).toBe(200);
		expect((await ask("/v1/configs", "bob")).status).toBe(200);
		expect((await ask("/v1/configs", "bob", PASSWORD, change)).status).toBe(403);
		expect((await ask("/v1/configs", "alice", PASSWORD, change)).status).toBe(200);
	});

	test("users are held to their quotas, each by their own", async () => {
		const target = { user: "bob", rates: { request_rate: 0.01 } };
		const quota = { method: "PUT", body: JSON.stringify(target) };
		expect((await ask("/v1/quotas", "alice", PASSWORD, quota)).status).toBe(200);
		const statuses: number[] = [];
		for (let each = 0; each < 3; each++) statuses.push((await ask("/v1/topics", "bob")).status);
		expect(statuses).toEqual([200, 429, 429]);
		expect((await ask("/v1/topics", "alice")).status).toBe(200);
	});

	test("whoever guesses waits longer each time", async () => {
		const beganMs = performance.now();
		for (let attempt = 0; attempt < 4; attempt++) {
			expect((await ask("/v1/topics", "alice", "wrong")).status).toBe(401);
		}
		expect(performance.now() - beganMs).toBeGreaterThan(100 + 200 + 400);
	});

	test("no password is in the log, however much is logged", async () => {
		const { stderr } = await broker.stop();
		expect(stderr).toContain("ready");
		for (const secret of [PASSWORD, "battery", "tr0ub4dor"]) {
			expect(stderr).not.toContain(secret);
		}
	});
});
