/** What becomes of records at the end of their `deliveryTimeoutMs`, on the clock of the test. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { connectWith } from "../../src/client/client.ts";
import type { Client } from "../../src/client/index.ts";
import { ScriptedBroker } from "./scripted-broker.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { running, simulateTime, wait } from "./simulated-time.ts";

let broker: ScriptedBroker;

let stalledMs: number;

/** Lets the clock run on while nothing else does, as for a program that stands still. */
function stall(ms: number): void {
	stalledMs += ms;
}

beforeEach(() => {
	simulateTime();
	stalledMs = 0;
	const now = performance.now.bind(performance);
	vi.spyOn(performance, "now").mockImplementation(() => now() + stalledMs);
	broker = new ScriptedBroker();
	broker.create("a", 1);
});

afterEach(() => {
	vi.restoreAllMocks();
	vi.useRealTimers();
});

/** Runs `work` with a client, and closes that. */
function withClient(work: (client: Client) => Promise<void>): Promise<void> {
	return running(async () => {
		const network = new SimulatedNetwork(broker, () => 0.5, 0);
		const waits = { reconnectMsFirst: 5, reconnectMsMax: 20 };
		const client = await connectWith(network.open, "ws://simulated", waits);
		await work(client);
		await client.close();
	});
}

test("a record that timed out unanswered leaves later ones whole: another identity", () =>
	withClient(async (client) => {
		broker.onProduce = (_, frame) => (frame === 1 ? "ignore" : "answer");
		const producer = client.producer<string>({ codec: "string", deliveryTimeoutMs: 150 });
		await producer.send({ topic: "a", value: "one" });
		const lost = producer.send({ topic: "a", value: "lost" });
		await expect(lost).rejects.toMatchObject({ code: "DELIVERY_TIMEOUT", retriable: true });
		await producer.send({ topic: "a", value: "two" });
		await producer.send({ topic: "a", value: "three" });
		expect(broker.texts("a")).toEqual(["one", "two", "three"]);
		expect(new Set(broker.frames.map(({ producerId }) => producerId)).size).toBe(2);
	}));

test.each([
	["refused", 1007, "DELIVERY_TIMEOUT: DISK_FULL"],
	["stored", "answer", 0],
] as const)(
	"a record that is on its way again at its deadline is %s as the answer says",
	(_, last, outcome) =>
		withClient(async (client) => {
			broker.onProduce = async (_entries, frame) => {
				await wait(frame === 0 ? 500 : 350);
				return frame === 0 ? 1007 : last;
			};
			const producer = client.producer<string>({ codec: "string", deliveryTimeoutMs: 800 });
			const sent = producer.send({ topic: "a", value: "late" }).then(
				({ offset }) => offset,
				({ code, cause }) => `${code}: ${cause.code}`,
			);
			expect(await sent).toBe(outcome);
			expect(broker.hellos.length, "on the same connection").toBe(1);
		}),
);

test.each([
	["refused", 1007, "DELIVERY_TIMEOUT: DISK_FULL"],
	["stored", "answer", 0],
] as const)(
	"a record whose answer comes while the program stands still is %s as that says",
	(_, answer, outcome) =>
		withClient(async (client) => {
			await client.producer<string>({ codec: "string" }).send({ topic: "a", value: "first" });
			// From here on it is the record's own deadline by which the client looks.
			await wait(2_000);
			broker.onProduce = async () => {
				await wait(150);
				return answer;
			};
			const producer = client.producer<string>({ codec: "string", deliveryTimeoutMs: 1_000 });
			const sent = producer.send({ topic: "a", value: "late" }).then(
				({ offset }) => offset - 1,
				({ code, cause }) => `${code}: ${cause.code}`,
			);
			await wait(50);
			stall(2_000);
			expect(await sent).toBe(outcome);
			expect(broker.hellos.length, "on the same connection").toBe(1);
		}),
);

test("a record that nobody answers is given up all the same, however late the timers are", () =>
	withClient(async (client) => {
		broker.onProduce = () => "ignore";
		const producer = client.producer<string>({ codec: "string", deliveryTimeoutMs: 1_000 });
		const sent = producer.send({ topic: "a", value: "lost" });
		for (let second = 1; second <= 3; second++) setTimeout(() => stall(1_000), second * 100 - 50);
		await expect(sent).rejects.toMatchObject({ code: "DELIVERY_TIMEOUT" });
		expect(performance.now()).toBeLessThan(4_000);
	}));
