import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { connect as connectInBrowser } from "../../src/client/browser.ts";
import { type Client, connect } from "../../src/client/index.ts";
import { ScriptedBroker } from "./scripted-broker.ts";

let broker: ScriptedBroker;
const clients: Client[] = [];

async function connected(options: Parameters<typeof connect>[1] = {}): Promise<Client> {
	const client = await connect(broker.url, { reconnectMsFirst: 5, reconnectMsMax: 20, ...options });
	clients.push(client);
	return client;
}

beforeEach(async () => {
	broker = await ScriptedBroker.start();
});

afterEach(async () => {
	vi.unstubAllGlobals();
	for (const client of clients.splice(0)) await client.close();
	await broker.kill();
});

describe("connecting", () => {
	test("tells who answers", async () => {
		const client = await connected({ clientName: "test/1" });
		expect(client).toMatchObject({ state: "ready", clusterId: "cluster", broker: "millrace/test" });
		expect(broker.hellos[0]?.client).toBe("test/1");
	});

	test("fails with a reason where nobody listens, and for what is no address", async () => {
		await broker.kill();
		await expect(connect(broker.url)).rejects.toMatchObject({
			code: "CONNECTION_LOST",
			retriable: true,
			message: expect.stringContaining("ECONNREFUSED"),
		});
		await expect(connect("http://x")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
		await broker.listen();
	});

	test("gives up when the signal is aborted, or hello is not answered in time", async () => {
		await expect(connect(broker.url, { signal: AbortSignal.abort() })).rejects.toMatchObject({
			name: "AbortError",
		});
		await expect(
			connect(broker.url, {
				connectTimeoutMs: 30,
				token: () => new Promise(() => undefined),
			}),
		).rejects.toMatchObject({ code: "CONNECTION_LOST" });
	});

	test("a token is asked for each time; wrong credentials are not tried again", async () => {
		let calls = 0;
		await connected({ token: () => `token-${++calls}` });
		broker.cut();
		await expect.poll(() => broker.hellos.length).toBe(2);
		expect(broker.hellos.map(({ auth }) => auth)).toEqual([
			{ scheme: "token", token: "token-1" },
			{ scheme: "token", token: "token-2" },
		]);
		broker.helloCode = 1003;
		await expect(connect(broker.url, { token: "wrong" })).rejects.toMatchObject({
			code: "NOT_AUTHENTICATED",
			retriable: false,
		});
		broker.cut();
		await expect.poll(() => clients[0]?.state).toBe("closed");
	});

	test("comes back with the producer identity that it had", async () => {
		await connected();
		broker.cut();
		await expect.poll(() => broker.hellos.length).toBe(2);
		expect(broker.hellos[1]?.producer).toEqual({ id: 100, epoch: 0 });
	});

	test("a broker that breaks the protocol is left, and connected to again", async () => {
		await connected();
		broker.tell("not an operation");
		await expect.poll(() => broker.hellos.length).toBe(2);
		expect(clients[0]?.state).not.toBe("closed");
	});

	test("operations, notices and elements that are not known are ignored", async () => {
		const client = await connected();
		broker.tell(199, { anything: 1 });
		broker.tell(136, "unheard_of", { x: [1] }, "more");
		expect(await client.topics.list()).toEqual([]);
		expect(broker.hellos.length).toBe(1);
	});
});

describe("administration", () => {
	test("creates, lists page by page, describes", async () => {
		const client = await connected();
		for (const name of ["c", "a", "b", "e", "d"]) {
			const { created, topic } = await client.topics.create(name, {
				partitions: 2,
				ifNotExists: true,
				configs: { "retention.ms": 9_223_372_036_854_775_807n, "cleanup.policy": "compact" },
			});
			expect([created, topic?.partitions]).toEqual([true, 2]);
		}
		expect(broker.requests.find(([operation]) => operation === 7)).toEqual([
			7,
			expect.any(Number),
			"topics.create",
			{
				name: "c",
				partitions: 2,
				configs: { "retention.ms": "9223372036854775807", "cleanup.policy": "compact" },
				if_not_exists: true,
			},
		]);
		const names = (await client.topics.list()).map(({ name }) => name);
		expect(names).toEqual(["a", "b", "c", "d", "e"]);
		expect((await client.topics.describe("b")).name).toBe("b");
	});

	test("the broker's errors are typed; a request that was cut off is retriable", async () => {
		const client = await connected();
		await expect(client.topics.describe("absent")).rejects.toMatchObject({
			name: "MillraceError",
			code: "UNKNOWN_TOPIC_OR_PARTITION",
		});
		const cut = client.topics.list();
		broker.cut();
		await expect(cut).rejects.toMatchObject({ code: "CONNECTION_LOST", retriable: true });
		await expect(
			client.topics.list({ signal: AbortSignal.abort(new Error("enough")) }),
		).rejects.toThrow("enough");
	});
});

test("many requests at once stay within what the broker takes, and all are answered", async () => {
	const client = await connected();
	broker.create("a");
	let release = (): void => undefined;
	broker.callsHeld = new Promise((resolve) => {
		release = resolve;
	});
	const asked = Array.from({ length: 1_000 }, () => client.topics.describe("a"));
	const arrived = () => broker.requests.filter(([operation]) => operation === 7).length;
	await expect.poll(arrived).toBe(256);
	await new Promise((resolve) => setTimeout(resolve, 20));
	expect(arrived()).toBe(256);
	release();
	expect((await Promise.all(asked)).length).toBe(1_000);
	const cut = Promise.allSettled(Array.from({ length: 500 }, () => client.topics.describe("a")));
	broker.cut();
	for (const { status } of await cut) expect(["rejected", "fulfilled"]).toContain(status);
});

describe("the browser build", () => {
	test("works with the platform's WebSocket", async () => {
		vi.stubGlobal("WebSocket", WebSocket);
		broker.create("a");
		const client = await connectInBrowser(broker.url);
		clients.push(client);
		await client.producer().send({ topic: "a", value: { from: "browser" } });
		const consumer = client.consumer({ topics: "a", from: "earliest", until: "end" });
		for await (const { value } of consumer) expect(value).toEqual({ from: "browser" });
	});

	test("needs no Node and no package, and evaluates no code", () => {
		const seen = new Map<string, string>();
		const visit = (file: string): void => {
			if (seen.has(file)) return;
			const source = readFileSync(file, "utf8");
			seen.set(file, source);
			for (const [, path] of source.matchAll(/from "([^"]+)"/g)) {
				expect([file, path]).toEqual([file, expect.stringMatching(/^\.\.?\//)]);
				visit(join(dirname(file), path as string));
			}
		};
		visit(join(import.meta.dirname, "../../src/client/browser.ts"));
		expect(seen.size).toBeGreaterThan(20);
		for (const [file, source] of seen) {
			const code = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
			expect([file, /\bBuffer\b|\bprocess\b|\beval\b|new Function/.test(code)]).toEqual([
				file,
				false,
			]);
		}
	});
});
