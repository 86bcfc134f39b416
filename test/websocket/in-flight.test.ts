import { describe, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { serve, TRANSPORTS } from "./harness.ts";

/** Storage whose flushes are not reported before the test says so, and with what it says. */
class HeldFlushes {
	readonly #held: (() => void)[] = [];
	isHolding = false;
	/** What the waits that are released end with. */
	code = 0;

	over(storage: Storage): Storage {
		const onToken = (token: number, done: (code: number) => void) => {
			storage.onToken(token, (code) => {
				if (this.isHolding) this.#held.push(() => done(this.code));
				else done(code);
			});
		};
		return new Proxy(storage, {
			get(target, name) {
				if (name === "onToken") return onToken;
				const value = Reflect.get(target, name, target) as unknown;
				return typeof value === "function" ? value.bind(target) : value;
			},
		});
	}

	release(): void {
		this.isHolding = false;
		for (const done of this.#held.splice(0)) done();
	}

	get count(): number {
		return this.#held.length;
	}
}

describe.each(TRANSPORTS)("unanswered requests over %s", (transport) => {
	const flushes = new HeldFlushes();
	const at = serve(transport, (storage) => ({ storage: flushes.over(storage) }));

	test("an id is taken until its answer, and only until then", async () => {
		const client = await at.client();
		const topic = await at.topic();
		flushes.isHolding = true;
		client.send(3, 5, 2, [[topic, 0, -1, 0, [["first"]]]]);
		expect(await client.error(9, 5)).toBe(1004);
		await expect.poll(() => flushes.count).toBe(1);
		flushes.release();
		expect(await client.reply(5)).toMatchObject([129, 5, 2, expect.anything()]);
		await client.answer(9, 5);
	});

	test("a flush that fails fails the frame, with a retriable error", async () => {
		const client = await at.client();
		const topic = await at.topic();
		flushes.isHolding = true;
		flushes.code = 56;
		client.send(3, 5, 2, [[topic, 0, -1, 0, [["value"]]]]);
		await expect.poll(() => flushes.count).toBe(1);
		flushes.release();
		flushes.code = 0;
		const error = await client.reply(5);
		expect(error).toMatchObject([130, 5, 56, expect.any(String), { retriable: true }]);
		await client.ping();
	});

	test("beyond the number of requests each is refused, and the connection goes on", async () => {
		const client = await at.client();
		const topic = await at.topic();
		const most = LIMITS.inFlightRequestsMax;
		flushes.isHolding = true;
		for (let id = 0; id < most; id++) client.send(3, id, 2, [[topic, 0, -1, 0, [["value"]]]]);
		expect(await client.error(9, most)).toBe(1002);
		expect(await client.error(3, most + 1, 2, [[topic, 0, -1, 0, [["value"]]]])).toBe(1002);
		await expect.poll(() => flushes.count).toBe(most);
		flushes.release();
		for (let id = 0; id < most; id++) expect((await client.reply(id))[0]).toBe(129);
		await client.ping();
	});

	test("produce bytes past twice the limit close the connection with 4413", async () => {
		const client = await at.client();
		const neighbour = await at.client();
		const topic = await at.topic();
		await client.call("topics.alter", { name: topic, configs: { "max.message.bytes": "8000000" } });
		flushes.isHolding = true;
		const value = new Uint8Array(4_000_000);
		const fits = Math.floor((2 * LIMITS.inFlightBytesMax) / value.length) + 1;
		for (let id = 0; id < fits; id++) client.send(3, id, 2, [[topic, 0, -1, 0, [[value]]]]);
		await client.ping();
		client.send(3, 50, 2, [[topic, 0, -1, 0, [["one more"]]]]);
		expect(await client.closed()).toBe(4413);
		await neighbour.ping();
		flushes.release();
		await neighbour.ping();
		expect(at.errors).toEqual([]);
	});
});
