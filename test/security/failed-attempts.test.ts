import { describe, expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import { LIMITS } from "../../src/limits.ts";
import { FailedAttempts } from "../../src/security/failed-attempts.ts";
import { Turns } from "../../src/security/turns.ts";
import { FakeClock } from "../groups/fake-clock.ts";

const nextTurn = () => new Promise(setImmediate);
const never = () => new Promise<void>(() => undefined);

test("who goes on guessing waits longer and longer, and is forgotten in time", () => {
	const clock = new FakeClock();
	const failures = new FailedAttempts(clock);
	const delays = Array.from({ length: 8 }, () => failures.delayMs("192.0.2.1"));
	expect(delays).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
	expect(failures.delayMs("192.0.2.2")).toBe(100);
	clock.advance(60_000);
	expect(failures.delayMs("192.0.2.1")).toBe(100);
	for (let count = 0; count < 20_000; count++) failures.delayMs(`address ${count}`);
	expect(failures.size).toBe(10_000);
});

test("a login waits once, however many turns it takes", async () => {
	const clock = new FakeClock();
	const failures = new FailedAttempts(clock);
	const hashing = new Turns(1, clock);
	void hashing.run(never);
	let done = (): void => undefined;
	for (let place = 0; place < LIMITS.loginsOfAddressMax; place++) {
		const look = () =>
			new Promise<void>((resolve) => {
				done = resolve;
			});
		void failures.inTurn("192.0.2.1", "PLAIN", look);
	}
	let isRefused = false;
	const last = failures
		.inTurn("192.0.2.1", "PLAIN", (wait) => hashing.run(never, wait))
		.catch(() => {
			isRefused = true;
		});
	await nextTurn();
	clock.advance(LIMITS.loginWaitMsMax - 1);
	done();
	await nextTurn();
	expect(isRefused).toBe(false);
	clock.advance(1);
	await last;
	expect(isRefused).toBe(true);
	expect(failures.counts.get("PLAIN")?.get("busy")).toBe(1);
});

test("an address has no more places where logins come just as others end", async () => {
	const { loginsOfAddressMax: places } = LIMITS;
	const moments = async (count: number) => {
		for (let moment = 0; moment < count; moment++) await undefined;
	};
	for (let gaps = 0; gaps < 6 ** 3; gaps++) {
		const [one, another, gap] = [gaps % 6, Math.floor(gaps / 6) % 6, 3 + Math.floor(gaps / 36)];
		const failures = new FailedAttempts(new FakeClock());
		const logIn = (look: () => Promise<void>) => failures.inTurn("192.0.2.1", "PLAIN", look);
		const ended = [logIn(() => moments(one)), logIn(() => moments(another))];
		await moments(gap);
		let atWork = 0;
		const look = () => {
			atWork++;
			return never();
		};
		void logIn(look);
		await Promise.all(ended);
		for (let login = 0; login < places; login++) void logIn(look);
		await nextTurn();
		expect(atWork).toBe(places);
	}
});

test("a stop tells failures at once, and has nothing looked at any more", async () => {
	const clock = new FakeClock();
	const failures = new FailedAttempts(clock);
	const refusal = new MillraceError("NOT_AUTHENTICATED");
	const told = failures.inTurn("192.0.2.1", "PLAIN", () =>
		failures.refused("192.0.2.1", "PLAIN", refusal),
	);
	let begin = (): void => undefined;
	const begun = new Promise<void>((resolve) => {
		begin = resolve;
	});
	const late = failures.inTurn("192.0.2.2", "PLAIN", async () => {
		await begun;
		await failures.refused("192.0.2.2", "PLAIN", refusal);
	});
	await nextTurn();
	failures.close();
	await told;
	begin();
	await late;
	expect(clock.timerCount).toBe(0);
	await expect(failures.inTurn("192.0.2.3", "PLAIN", never)).rejects.toMatchObject({
		code: "SHUTTING_DOWN",
	});
});

describe("addresses of one network of IPv6", () => {
	test.each([
		["2001:db8:1:2::1", "2001:db8:1:2:ffff::", true],
		["2001:db8::1", "2001:db8:0:0:1:2:3:4", true],
		["::1", "::ffff:1:2", true],
		["fe80::1", "fe80::2%eth0", true],
		["2001:db8:1:2::1", "2001:db8:1:3::1", false],
		["2001:db8::1", "2001:db8:0:1::1", false],
		["2001:db8:1:2:3:4:5:6", "2001:db8:1::", false],
		["192.0.2.1", "192.0.2.2", false],
		["::1", "0.0.0.1", false],
	])("%s and %s: %s", (one, another, isSame) => {
		const failures = new FailedAttempts(new FakeClock());
		expect(failures.delayMs(one)).toBe(100);
		expect(failures.delayMs(another)).toBe(isSame ? 200 : 100);
	});

	test("have the places of one address together", async () => {
		const failures = new FailedAttempts(new FakeClock());
		let lookedAt = 0;
		const look = () => {
			lookedAt++;
			return never();
		};
		for (let client = 1; client <= 100; client++) {
			void failures.inTurn(`2001:db8::${client}`, "PLAIN", look);
		}
		await nextTurn();
		expect(lookedAt).toBe(LIMITS.loginsOfAddressMax);
	});
});
