/** `millrace quota ...`, and the calls behind it. */
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { type Client, connect, type Throttle } from "../../src/client/index.ts";
import { atEndOfSuite, BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";

const atEnd = atEndOfSuite();
let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
	broker = await BrokerProcess.start({
		dataDir: temporaryDirectory(atEnd),
		flags: ["--quota-window-num", "2"],
		atEnd,
	});
	client = await connect(broker.url);
	atEnd(() => client.close());
});

/** Runs `millrace quota` and resolves to what it says. */
async function quota(...args: string[]) {
	const ending = await runCommand(["quota", ...args, "--url", broker.url]);
	return { ...ending, text: ending.stdout.toString() };
}

test("quotas are set, listed and removed by whom they are for", async () => {
	const alice = ["--for-user", "alice", "--for-any-client-id"];
	const rates = ["producer_byte_rate=1048576", "request_rate=0.5"];
	expect((await quota("set", ...alice, ...rates)).text).toBe("set\n");
	await quota("set", "--for-client-id", "app", "consumer_byte_rate=10");
	const { text } = await quota("list");
	expect(text).toMatch(/^alice +\(default\) +producer_byte_rate +1048576$/m);
	expect(text).toMatch(/^ +app +consumer_byte_rate +10$/m);
	const { quotas } = JSON.parse((await quota("list", "--for-user", "alice", "--json")).text);
	const entry = {
		user: "alice",
		client_id: "",
		rates: { producer_byte_rate: 1_048_576, request_rate: 0.5 },
	};
	expect(quotas).toEqual([entry]);
	expect(await client.quotas.list({ client_id: "" })).toEqual([entry]);
	expect((await quota("remove", ...alice, "request_rate")).text).toBe("removed 1\n");
	expect(await client.quotas.list({ user: "alice" })).toMatchObject([
		{ rates: { producer_byte_rate: 1_048_576 } },
	]);
	expect((await quota("remove", ...alice)).text).toBe("removed 1\n");
	await client.quotas.set({ client_id: "app" }, { consumer_byte_rate: null });
	expect(await client.quotas.list()).toEqual([]);
});

test("what makes no sense is refused", async () => {
	for (const args of [
		["set", "request_rate=1"],
		["set", "--for-user", "alice"],
		["set", "--for-user", "alice", "request_rate"],
		["set", "--for-user", "alice", "--for-any-user", "request_rate=1"],
		["remove"],
	]) {
		expect(await quota(...args)).toMatchObject({ code: 2 });
	}
	const refused = await quota("set", "--for-user", "alice", "request_percentage=50");
	expect(refused).toMatchObject({ code: 1 });
	expect(refused.stderr.toString()).toContain("limit requests with request_rate");
});

test("more quotas than one answer has are listed page by page", async () => {
	const names = Array.from({ length: 1_001 }, (_, index) => `client-${10_000 + index}`);
	const set = (rate: number | null) =>
		Promise.all(
			names.map((client_id) => client.quotas.set({ client_id }, { consumer_byte_rate: rate })),
		);
	await set(1_000);
	const listed = await client.quotas.list();
	expect(listed.map(({ client_id }) => client_id)).toEqual(names);
	await set(null);
});

/** A client of this name that notes what it is told. */
async function limitedClient(clientName: string, quotas: Record<string, number>) {
	const throttles: Throttle[] = [];
	await client.quotas.set({ client_id: clientName }, quotas);
	const onThrottled = (throttle: Throttle) => throttles.push(throttle);
	const limited = await connect(broker.url, { clientName, onThrottled });
	onTestFinished(() => limited.close());
	return { limited, throttles };
}

test("a client that is over its quota is told, and listed while it waits", async () => {
	const { limited, throttles } = await limitedClient("listed", { producer_byte_rate: 1_000 });
	await limited.producer().send({ topic: "limited", value: "x".repeat(200_000) });
	expect(throttles).toMatchObject([{ quota: "producer_byte_rate" }]);
	expect(limited.throttledMs).toBeGreaterThan(0);
	expect(await client.quotas.throttled()).toMatchObject([
		{ protocol: "websocket", client_id: "listed", quota: "producer_byte_rate", rate: 1_000 },
	]);
	expect((await quota("throttled")).text).toMatch(/listed .*websocket +producer_byte_rate +\d/);
});

test("who is over a quota over HTTP is listed, too", async () => {
	const records = `${broker.http}/v1/topics/limited/records?encoding=text`;
	// Who has no client id is one client of those for whom there is no quota by name.
	await client.quotas.set({ client_id: "" }, { producer_byte_rate: 1_000 });
	onTestFinished(() => client.quotas.set({ client_id: "" }, { producer_byte_rate: null }));
	const store = (value: string) =>
		fetch(records, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify({ records: [{ value }] }),
		});
	expect((await store("x".repeat(200_000))).status).toBe(200);
	const refused = await store("y");
	expect(refused.status).toBe(429);
	expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(100);
	expect((await quota("throttled")).text).toMatch(/ANONYMOUS .*http +producer_byte_rate +\d/);
});

test("a client that is over its quota waits by itself", async () => {
	const { limited } = await limitedClient("waiting", { producer_byte_rate: 100_000 });
	const producer = limited.producer();
	await producer.send({ topic: "limited", value: "x".repeat(200_000) });
	const [startedMs, waitMs] = [performance.now(), limited.throttledMs];
	await producer.send({ topic: "limited", value: "y" });
	expect(performance.now() - startedMs).toBeGreaterThan(waitMs * 0.9);
});

test("a client that asks for too much asks again when it may", async () => {
	const { limited, throttles } = await limitedClient("asking", { request_rate: 5 });
	const calls = Array.from({ length: 12 }, () => limited.topics.list());
	expect(await Promise.all(calls)).toHaveLength(12);
	expect(throttles.at(-1)).toMatchObject({ quota: "request_rate" });
});
