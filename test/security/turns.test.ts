import { expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { Turns } from "../../src/security/turns.ts";
import { FakeClock } from "../groups/fake-clock.ts";

const nextTurn = () => new Promise(setImmediate);

/** Work that goes on until it is told to end, of which two are done at a time. */
function started() {
	const clock = new FakeClock();
	const turns = new Turns(2, clock);
	const begun: number[] = [];
	const ends = new Map<number, () => void>();
	const run = (name: number) =>
		turns.run(() => {
			begun.push(name);
			return new Promise<number>((resolve) => ends.set(name, () => resolve(name)));
		});
	return { clock, turns, begun, ends, run };
}

test("what is too much waits, and is done in its order", async () => {
	const { turns, begun, ends, run, clock } = started();
	const all = Promise.all([1, 2, 3, 4].map(run));
	await nextTurn();
	expect(begun).toEqual([1, 2]);
	ends.get(2)?.();
	await nextTurn();
	expect(begun).toEqual([1, 2, 3]);
	ends.get(3)?.();
	await nextTurn();
	ends.get(1)?.();
	ends.get(4)?.();
	expect(await all).toEqual([1, 2, 3, 4]);
	expect(turns.isIdle).toBe(true);
	expect(clock.timerCount).toBe(0);
});

test("work that fails gives up its turn, too", async () => {
	const { turns, run, begun } = started();
	const fail = () => turns.run(() => Promise.reject(new Error("failed")));
	await expect(Promise.all([fail(), fail()])).rejects.toThrow("failed");
	void run(1);
	await nextTurn();
	expect(begun).toEqual([1]);
});

test("where too much waits the rest is refused, and may come again", async () => {
	const { run } = started();
	for (let name = 0; name < 2 + LIMITS.loginsWaitingMax; name++) void run(name);
	await expect(run(-1)).rejects.toMatchObject({
		code: "THROTTLING_QUOTA_EXCEEDED",
		retriable: true,
	});
});

test("nothing waits for ever", async () => {
	const { run, clock, ends, begun } = started();
	const [, , third] = [run(1), run(2), run(3)];
	await nextTurn();
	clock.advance(LIMITS.loginWaitMsMax);
	await expect(third).rejects.toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
	ends.get(1)?.();
	await nextTurn();
	expect(begun).toEqual([1, 2]);
});

test("what waits is dropped at the end, and nothing more is begun", async () => {
	const { run, turns, begun, ends } = started();
	const [first, , third] = [run(1), run(2), run(3)];
	await nextTurn();
	turns.close();
	await expect(third).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
	await expect(run(4)).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
	ends.get(1)?.();
	expect(await first).toBe(1);
	expect(begun).toEqual([1, 2]);
});

test("nothing waits longer than it is told to", async () => {
	const { clock, turns, run } = started();
	const [first, second] = [run(1), run(2)];
	const untilMs = clock.monotonicMs() + 100;
	const third = expect(turns.run(() => 3, { untilMs })).rejects.toMatchObject({
		code: "THROTTLING_QUOTA_EXCEEDED",
	});
	clock.advance(100);
	await third;
	await expect(Promise.race([first, second, "at work"])).resolves.toBe("at work");
});

test("who leaves waits no more, and those behind move up", async () => {
	const { clock, turns, run, begun, ends } = started();
	void run(1);
	void run(2);
	const leaving = new AbortController();
	const { signal: left } = leaving;
	const third = expect(turns.run(() => 3, { left })).rejects.toMatchObject({
		code: "CONNECTION_LOST",
	});
	void run(4);
	leaving.abort();
	await third;
	await expect(turns.run(() => 5, { left })).rejects.toMatchObject({ code: "CONNECTION_LOST" });
	ends.get(1)?.();
	await nextTurn();
	expect(begun).toEqual([1, 2, 4]);
	expect(clock.timerCount).toBe(0);
});

test("a login that waits is told in time", () => {
	const { loginWaitMsMax, failedDelayMsMax, saslMsMax } = LIMITS;
	expect(loginWaitMsMax + failedDelayMsMax).toBeLessThan(saslMsMax);
});
