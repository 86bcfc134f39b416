/** Credentials that run out, and that a client may have others for: at once, or a little later. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { connectWith } from "../../src/client/client.ts";
import type { ConnectOptions } from "../../src/client/index.ts";
import { ScriptedBroker } from "./scripted-broker.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { running, simulateTime, wait } from "./simulated-time.ts";

const NOT_AUTHENTICATED = 1003;
const THROTTLING_QUOTA_EXCEEDED = 89;

let broker: ScriptedBroker;

beforeEach(() => {
	simulateTime();
	broker = new ScriptedBroker();
	broker.create("a", 1);
});

afterEach(() => vi.useRealTimers());

function connected(auth: NonNullable<ConnectOptions["auth"]>) {
	const network = new SimulatedNetwork(broker, () => 0.5, 0);
	return connectWith(network.open, "ws://simulated", { auth, reconnectMsMax: 1_000 });
}

test("a cookie that is refused is tried again, until the site has renewed it", () =>
	running(async () => {
		const client = await connected({ cookie: true });
		expect(broker.hellos[0]?.auth).toEqual({ scheme: "cookie" });
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "before" });
		broker.helloCode = NOT_AUTHENTICATED;
		broker.cut();
		const sent = producer.send({ topic: "a", value: "after" });
		await wait(30_000);
		broker.helloCode = 0;
		expect(await sent).toMatchObject({ offset: 1 });
		expect(client.state).toBe("ready");
		await client.close();
	}));

test.each([
	[{ cookie: true as const }, 60_000],
	[{ token: "t" }, 0],
])("with %j a refusal is the end after %i ms", (auth, tried) =>
	running(async () => {
		const client = await connected(auth);
		// However long ago it was let in.
		await wait(3_600_000);
		broker.helloCode = NOT_AUTHENTICATED;
		const cutMs = performance.now();
		broker.cut();
		while (client.state !== "closed") await wait(100);
		const tookMs = performance.now() - cutMs;
		expect(tookMs).toBeGreaterThanOrEqual(tried);
		expect(tookMs).toBeLessThan(tried + 10_000);
		await expect(client.topics.list()).rejects.toMatchObject({ code: "NOT_AUTHENTICATED" });
	}),
);

test("whose credentials ran out while it stood still comes back with those of now", () =>
	running(async () => {
		let asked = 0;
		const client = await connected(() => ({ token: `token-${++asked}` }));
		const producer = client.producer<string>({ codec: "string" });
		broker.expire();
		expect(await producer.send({ topic: "a", value: "one" })).toMatchObject({ offset: 0 });
		expect(broker.hellos.map(({ auth }) => auth)).toEqual([
			{ scheme: "token", token: "token-1" },
			{ scheme: "token", token: "token-2" },
		]);
		broker.helloCode = NOT_AUTHENTICATED;
		broker.expire();
		while (client.state !== "closed") await wait(100);
		expect(broker.hellos, "once more, and no more").toHaveLength(3);
	}));

test("a token that cannot be had anew is the end when it runs out", () =>
	running(async () => {
		const client = await connected({ token: "t" });
		broker.expire();
		while (client.state !== "closed") await wait(100);
		expect(broker.hellos).toHaveLength(1);
	}));

test("a function that fails is asked again, but for the first connection", () =>
	running(async () => {
		let failures = 0;
		let asked = 0;
		const auth = () => {
			asked++;
			if (failures-- > 0) throw new Error("no network");
			return { token: "t" };
		};
		const client = await connected(auth);
		const producer = client.producer<string>({ codec: "string" });
		for (const [index, end] of [() => broker.cut(), () => broker.expire()].entries()) {
			failures = 3;
			asked = 0;
			end();
			const sent = producer.send({ topic: "a", value: "x" });
			expect(await sent).toMatchObject({ offset: index });
			expect(asked).toBe(4);
		}
		await client.close();
		failures = 1;
		await expect(connected(auth)).rejects.toMatchObject({
			code: "NOT_AUTHENTICATED",
			cause: { message: "no network" },
		});
	}));

test("a renewal that a broker is too busy for is tried again, and nothing waits for it", () =>
	running(async () => {
		let asked = 0;
		const client = await connected(() => ({ token: `token-${++asked}` }));
		const renewals = () => broker.requests.filter(([operation]) => operation === 8);
		broker.authCode = THROTTLING_QUOTA_EXCEEDED;
		broker.tell(136, "auth_expiring", { auth_expires_ms: Date.now() + 60_000 });
		await wait(500);
		expect(renewals()).toHaveLength(1);
		const startMs = performance.now();
		await client.topics.list();
		expect(performance.now() - startMs).toBeLessThan(400);
		await wait(1_000);
		expect(renewals()).toHaveLength(2);
		broker.authCode = 0;
		await wait(60_000);
		expect(renewals().map(([, , auth]) => auth)).toEqual(
			[2, 3, 4].map((each) => ({ scheme: "token", token: `token-${each}` })),
		);
		expect(broker.hellos).toHaveLength(1);
		await client.close();
	}));

test("a broker that is too busy for a hello is tried again, but at first", () =>
	running(async () => {
		broker.helloCode = THROTTLING_QUOTA_EXCEEDED;
		await expect(connected({ token: "t" })).rejects.toMatchObject({
			code: "THROTTLING_QUOTA_EXCEEDED",
			retriable: true,
		});
		expect(broker.hellos).toHaveLength(1);
		broker.helloCode = 0;
		const client = await connected({ token: "t" });
		broker.helloCode = THROTTLING_QUOTA_EXCEEDED;
		broker.cut();
		await wait(10_000);
		expect(client.state).toBe("connecting");
		broker.helloCode = 0;
		await wait(10_000);
		expect(client.state).toBe("ready");
		await client.close();
	}));
