/** A broker that asks WebSocket clients who they are: the SDK, the command, and its log. */
import { join } from "node:path";
import { beforeAll, describe, expect, type TestContext, test } from "vitest";

import { type ConnectOptions, connect } from "../../src/client/index.ts";
import { atEndOfSuite, BrokerProcess, runCommand } from "../broker-process.ts";
import { directoryOfUsers } from "../users.ts";
import { RawClient } from "../websocket/raw-client.ts";

const PASSWORD = "correct horse";
const WRONG = "battery staple";
/** The SDK is told with a third of it left: a busy machine may take seconds of that. */
const REAUTH_MS = 15_000;

describe("a broker that asks WebSocket clients", () => {
	const atEnd = atEndOfSuite();
	let broker: BrokerProcess;
	let passwordFile: string;

	beforeAll(async () => {
		const users = await directoryOfUsers({ alice: PASSWORD, bob: PASSWORD }, atEnd);
		const { dataDir } = users;
		passwordFile = users.passwordFiles[0] as string;
		broker = await BrokerProcess.start({
			dataDir,
			atEnd,
			flags: [
				...["--websocket-security-protocol", "SASL_PLAINTEXT", "--log-level", "trace"],
				...["--connections-max-reauth-ms", `${REAUTH_MS}`],
				...["--authorization-enable", "true", "--super-users", "User:alice"],
			],
		});
	});

	/** A client that is closed at the end of the test. */
	async function connected({ onTestFinished }: TestContext, options: ConnectOptions) {
		const client = await connect(broker.url, options);
		onTestFinished(() => client.close());
		return client;
	}

	const refused = { code: "NOT_AUTHENTICATED", retriable: false };

	test("lets in who says rightly who they are, to do what rules say", async (context) => {
		const alice = await connected(context, { auth: { user: "alice", password: PASSWORD } });
		await alice.topics.create("orders");
		const bob = await connected(context, {
			auth: async () => ({ user: "bob", password: PASSWORD }),
		});
		await expect(bob.topics.describe("orders")).rejects.toMatchObject({
			code: "TOPIC_AUTHORIZATION_FAILED",
		});
	});

	test("refuses everybody else alike", async () => {
		const told = new Set<string>();
		for (const auth of [
			{ user: "alice", password: WRONG },
			{ user: "nobody", password: WRONG },
		]) {
			const error = await connect(broker.url, { auth }).catch((thrown: unknown) => thrown);
			expect(error).toMatchObject(refused);
			told.add((error as Error).message);
		}
		expect(told.size).toBe(1);
		await expect(connect(broker.url)).rejects.toMatchObject(refused);
		await expect(connect(broker.url, { token: WRONG })).rejects.toMatchObject(refused);
		const raw = await RawClient.open(broker.url);
		const auth = { scheme: "password", user: "alice", password: WRONG };
		expect(await raw.error(1, 1, { client: "test", auth })).toBe(1003);
		expect(await raw.closed()).toBe(4401);
	});

	test.each([
		["of an unknown scheme", { scheme: "magic" }],
		["without a password", { scheme: "password", user: "alice" }],
		["too long to be any", { scheme: "password", user: "alice", password: "x".repeat(65_537) }],
	])("credentials %s are an error and a close", async (_, auth) => {
		const raw = await RawClient.open(broker.url);
		expect(await raw.error(1, 1, { client: "test", auth })).toBe(1015);
		expect(await raw.closed()).toBe(4400);
	});

	const basic = (user: string, password: string) => ({
		authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
	});

	test.concurrent("believes nobody longer than it says; the SDK repeats it", async (context) => {
		let asked = 0;
		const auth = () => {
			asked++;
			return { user: "alice", password: PASSWORD };
		};
		const byFunction = await connected(context, { auth });
		const byText = await connected(context, { auth: { user: "alice", password: PASSWORD } });
		const raw = await RawClient.open(broker.url);
		const own = { scheme: "password", user: "alice", password: PASSWORD };
		await raw.answer(1, 1, { client: "test", auth: own });
		expect(await raw.closed()).toBe(4401);
		await context.expect.poll(() => asked).toBeGreaterThanOrEqual(3);
		for (const client of [byFunction, byText]) {
			expect(client.state).toBe("ready");
			await client.topics.describe("orders");
		}
	});

	test.concurrent("ends who cannot say it again, and takes it later", async (context) => {
		let isSealed = false;
		let refused = 0;
		const client = await connected(context, {
			auth() {
				if (isSealed) {
					refused++;
					throw new Error("the vault is sealed");
				}
				return { user: "alice", password: PASSWORD };
			},
		});
		isSealed = true;
		await context.expect.poll(() => client.state).toBe("connecting");
		await context.expect.poll(() => refused).toBeGreaterThan(2);
		isSealed = false;
		await client.topics.describe("orders");
	});

	test.concurrent("ends who says it wrongly, or is somebody else by now", async (context) => {
		const ends = async (next: { user: string; password: string }) => {
			let auth = { user: "alice", password: PASSWORD };
			const client = await connect(broker.url, { auth: () => auth });
			auth = next;
			await context.expect.poll(() => client.state).toBe("closed");
			await expect(client.topics.list()).rejects.toMatchObject(refused);
		};
		await Promise.all([
			ends({ user: "alice", password: WRONG }),
			ends({ user: "bob", password: PASSWORD }),
		]);
	});

	test.concurrent("a page that gets tickets over HTTP stays", async (context) => {
		let asked = 0;
		const page = await connected(context, {
			async auth() {
				asked++;
				const headers = basic("alice", PASSWORD);
				const response = await fetch(`${broker.http}/v1/tickets`, { method: "POST", headers });
				expect(response.status).toBe(201);
				return { ticket: ((await response.json()) as { ticket: string }).ticket };
			},
		});
		await context.expect.poll(() => asked).toBeGreaterThanOrEqual(3);
		expect(page.state).toBe("ready");
		await page.topics.describe("orders");
		const anonymous = await fetch(`${broker.http}/v1/tickets`, { method: "POST" });
		expect(anonymous.status).toBe(401);
	});

	test("a ticket lets one client in as who asked for it, and once", async (context) => {
		const alice = await connected(context, { auth: { user: "alice", password: PASSWORD } });
		const { ticket, expiresMs } = await alice.createTicket();
		expect(expiresMs).toBeGreaterThan(Date.now());
		const raw = await RawClient.open(broker.url);
		const auth = { scheme: "ticket", ticket };
		const { auth_expires_ms } = await raw.answer(1, 1, { client: "page", auth });
		expect(auth_expires_ms).toBeLessThanOrEqual(Date.now() + REAUTH_MS);
		await raw.call("topics.describe", { name: "orders" });
		raw.close();
		await expect(connect(broker.url, { auth: { ticket } })).rejects.toMatchObject(refused);
	});

	test("the command says who one is by a file or the environment", async () => {
		const list = ["topic", "list", "--url", broker.url];
		const byFile = [...list, "--user", "alice", "--password-file", passwordFile];
		expect((await runCommand(byFile)).stdout.toString()).toContain("orders");
		const environment = { MILLRACE_USER: "alice", MILLRACE_PASSWORD: PASSWORD };
		expect((await runCommand(list, { environment })).stdout.toString()).toContain("orders");
		const wrong = { ...environment, MILLRACE_PASSWORD: WRONG };
		expect(await runCommand(list, { environment: wrong })).toMatchObject({ code: 3 });
		expect(await runCommand(list)).toMatchObject({ code: 3 });
		expect(await runCommand([...list, "--user", "alice"])).toMatchObject({ code: 2 });
		const noFile = [...list, "--token-file", join(passwordFile, "none")];
		expect(await runCommand(noFile)).toMatchObject({ code: 2 });
		const token = [...list, "--token-file", passwordFile];
		expect(await runCommand(token)).toMatchObject({ code: 3 });
		// It is presented, and refused.
		const piped = await runCommand([...list, "--token-file", "-"], { input: Buffer.from("t\n") });
		expect(piped.code).toBe(3);
		expect(piped.stderr).not.toContain("nothing in it");
	});

	test("keeps secrets out of its log", async () => {
		const { stderr } = await broker.stop();
		expect(stderr).toContain("ready");
		for (const secret of [PASSWORD, WRONG]) expect(stderr).not.toContain(secret);
	});
});
