/** Users, made and deleted by calls; what of their passwords nobody is told. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { LIMITS } from "../../src/limits.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { useBroker } from "../kafka/use-broker.ts";

const PASSWORD = "correct horse battery";
const CREDENTIALS = [
	{ mechanism: "SCRAM-SHA-256", iterations: 4_096 },
	{ mechanism: "SCRAM-SHA-512", iterations: 4_096 },
];

const used = useBroker();
let client: Client;

beforeAll(async () => {
	client = await connect(used.broker.addresses.websocket);
});
afterAll(() => client.close());
afterEach(async () => {
	for (const { user } of await client.users.list()) await client.users.delete(user);
});

async function ask(method: string, path: string, body?: string) {
	const response = await fetch(`${used.broker.addresses.http}/v1/users${path}`, {
		method,
		headers: { "content-type": "application/json" },
		...(body === undefined ? {} : { body }),
	});
	const text = await response.text();
	return { status: response.status, text, body: JSON.parse(text) };
}

/** What Kafka's tools are told. */
async function describeOverKafka(): Promise<unknown> {
	const { results } = await used.ask("DescribeUserScramCredentials", 0, { users: null });
	return (results as Fields[]).map(({ user, credentialInfos }) => ({ user, credentialInfos }));
}

test("users are made, listed, given another password and deleted", async () => {
	await client.users.set("alice", PASSWORD);
	const made = await ask("PUT", "/b%2Fob", JSON.stringify({ password: PASSWORD }));
	expect(made).toMatchObject({ status: 200, body: {} });
	const both = [
		{ user: "alice", credentials: CREDENTIALS },
		{ user: "b/ob", credentials: CREDENTIALS },
	];
	expect(await client.users.list()).toEqual(both);
	const listed = await ask("GET", "");
	expect(listed.body).toEqual({ users: both, more: false });
	expect(made.text + listed.text).not.toContain(PASSWORD);
	expect(await describeOverKafka()).toEqual(
		["alice", "b/ob"].map((user) => ({
			user,
			credentialInfos: [1, 2].map((mechanism) => ({ mechanism, iterations: 4_096 })),
		})),
	);
	await client.users.set("alice", "another");
	await expect(used.broker.users.checkPassword("alice", "another")).resolves.toBe("User:alice");
	await expect(used.broker.users.checkPassword("alice", PASSWORD)).rejects.toMatchObject({
		code: "NOT_AUTHENTICATED",
	});
	expect(await ask("DELETE", "/b%2Fob")).toMatchObject({ status: 200, body: {} });
	expect(await client.users.list()).toEqual([{ user: "alice", credentials: CREDENTIALS }]);
});

test("are listed page by page", async () => {
	for (const name of ["c", "a", "b"]) await client.users.set(name, PASSWORD);
	const first = await ask("GET", "?limit=2");
	expect(first.body).toMatchObject({ users: [{ user: "a" }, { user: "b" }], more: true });
	expect((await ask("GET", "?limit=2&after=b")).body).toMatchObject({
		users: [{ user: "c" }],
		more: false,
	});
	expect((await ask("GET", "?limit=1001")).status).toBe(400);
});

test("who is not there cannot be deleted", async () => {
	await expect(client.users.delete("nobody")).rejects.toMatchObject({ code: "RESOURCE_NOT_FOUND" });
	expect(await ask("DELETE", "/nobody")).toMatchObject({
		status: 404,
		body: { name: "RESOURCE_NOT_FOUND" },
	});
});

test("names and passwords that cannot be are refused, and the passwords not repeated", async () => {
	const long = "s".repeat(LIMITS.credentialBytesMax + 1);
	for (const password of ["", long]) {
		await expect(client.users.set("alice", password)).rejects.toMatchObject({
			code: "UNACCEPTABLE_CREDENTIAL",
			message: expect.not.stringContaining("sss"),
		});
	}
	for (const name of ["", "ü".repeat(LIMITS.userNameBytesMax / 2 + 1)]) {
		await expect(client.users.set(name, PASSWORD)).rejects.toMatchObject({
			code: "INVALID_ARGUMENT",
		});
	}
	const secret = 987_654_321;
	for (const body of [
		`{"password": ${secret}}`,
		`{"password": [${secret}]}`,
		`{"password": "x", "more": ${secret}}`,
		`{"password": "${secret}" "more": 1}`,
		`{"password": "${secret}`,
		`${secret}x`,
		"{}",
	]) {
		const refused = await ask("PUT", "/alice", body);
		expect(refused.status).toBe(400);
		expect(refused.text).not.toContain(`${secret}`);
	}
	expect(await client.users.list()).toEqual([]);
});
