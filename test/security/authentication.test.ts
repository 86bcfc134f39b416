import { setMaxListeners } from "node:events";

import { describe, expect, test } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { MillraceError } from "../../src/errors.ts";
import { LIMITS } from "../../src/limits.ts";
import { Authentication } from "../../src/security/authentication.ts";
import { FailedAttempts } from "../../src/security/failed-attempts.ts";
import { ANONYMOUS, userPrincipal } from "../../src/security/principal.ts";
import { Tickets } from "../../src/security/tickets.ts";
import { FakeClock } from "../groups/fake-clock.ts";

const NOW_MS = 1_000_000;

/** Passwords are names backwards, tokens are `NAME EXPIRES_MS`. */
function authentication(reauthMsMax = 0, takesTokens = true) {
	const delays: number[] = [];
	const clock = {
		...systemClock,
		wallMs: () => NOW_MS,
		after: (delayMs: number, work: () => void) => {
			delays.push(delayMs);
			return systemClock.after(0, work);
		},
	};
	const refused = new MillraceError("NOT_AUTHENTICATED", "name or password");
	const checked = new Authentication({
		users: {
			async checkPassword(name, password) {
				if ([...name].reverse().join("") !== password) throw refused;
				return userPrincipal(name);
			},
		},
		verifyToken: takesTokens
			? async (token) => {
					const [name = "", expires] = token.split(" ");
					if (expires === undefined) throw refused;
					return { principal: userPrincipal(name), expiresMs: Number(expires) };
				}
			: null,
		tickets: new Tickets(clock),
		failures: new FailedAttempts(clock),
		clock,
		reauthMsMax,
	});
	return { checked, delays };
}

const alice = { scheme: "password", user: "alice", password: "ecila" } as const;

test("a user is believed for ever, or as long as everybody", async () => {
	expect(await authentication().checked.identify(alice, "host")).toEqual({
		principal: "User:alice",
	});
	expect(await authentication(5_000).checked.identify(alice, "host")).toEqual({
		principal: "User:alice",
		expiresMs: NOW_MS + 5_000,
	});
});

test("a token holds until it runs out, or no longer than everybody is believed", async () => {
	const token = { scheme: "token", token: `bob ${NOW_MS + 9_000}` } as const;
	expect(await authentication().checked.identify(token, "host")).toEqual({
		principal: "User:bob",
		expiresMs: NOW_MS + 9_000,
	});
	expect(await authentication(5_000).checked.identify(token, "host")).toMatchObject({
		expiresMs: NOW_MS + 5_000,
	});
});

test.each([
	["a wrong password", { ...alice, password: "alice" }],
	["a token that does not hold", { scheme: "token", token: "bob" } as const],
])("%s is refused later each time", async (_, credentials) => {
	const { checked, delays } = authentication();
	for (let attempt = 0; attempt < 3; attempt++) {
		await expect(checked.identify(credentials, "host")).rejects.toMatchObject({
			code: "NOT_AUTHENTICATED",
		});
	}
	expect(delays).toEqual([100, 200, 400]);
	await checked.identify(alice, "host");
	expect(delays.length).toBe(3);
});

test("a token is refused where none is taken", async () => {
	const { checked } = authentication(0, false);
	const token = { scheme: "token", token: `bob ${NOW_MS}` } as const;
	await expect(checked.identify(token, "host")).rejects.toMatchObject({
		code: "NOT_AUTHENTICATED",
	});
});

test("who was somebody else before is refused as if the password were wrong", async () => {
	const { checked, delays } = authentication();
	expect(await checked.identify(alice, "host", { stays: userPrincipal("alice") })).toMatchObject({
		principal: "User:alice",
	});
	for (const stays of [userPrincipal("bob"), ANONYMOUS]) {
		await expect(checked.identify(alice, "host", { stays })).rejects.toMatchObject({
			code: "NOT_AUTHENTICATED",
		});
	}
	expect(delays).toEqual([100, 200]);
});

describe("many connections", () => {
	const nextTurn = () => new Promise(setImmediate);

	/** As above, with a clock that stands still. */
	function guessed() {
		const clock = new FakeClock();
		const failures = new FailedAttempts(clock);
		const checked: string[] = [];
		const authentication = new Authentication({
			users: {
				async checkPassword(name, password) {
					checked.push(password);
					if (password === "right") return userPrincipal(name);
					throw new MillraceError("NOT_AUTHENTICATED", "name or password");
				},
			},
			verifyToken: null,
			tickets: new Tickets(clock),
			failures,
			clock,
			reauthMsMax: 0,
		});
		const logIn = (password: string, host = "192.0.2.1", left?: AbortSignal) =>
			authentication.identify({ scheme: "password", user: "alice", password }, host, { left });
		return { clock, failures, checked, logIn };
	}

	test("give who guesses few guesses, also when none waits for its answer", async () => {
		const { clock, failures, checked, logIn } = guessed();
		const codes: string[] = [];
		const guess = () => logIn("wrong").catch(({ code }) => void codes.push(code));
		for (let passedMs = 0; passedMs < 60_000; passedMs += 50) {
			for (let connection = 0; connection < 10; connection++) void guess();
			await nextTurn();
			clock.advance(50);
		}
		const { loginsOfAddressMax: places, failedDelayMsMax } = LIMITS;
		// The first ones are told sooner.
		const most = (places * 60_000) / failedDelayMsMax + 4 * places;
		expect(checked.length).toBeGreaterThan(places);
		expect(checked.length).toBeLessThan(most);
		expect(failures.counts.get("password")?.get("busy")).toBeGreaterThan(10_000);
		expect(new Set(codes)).toEqual(new Set(["NOT_AUTHENTICATED", "THROTTLING_QUOTA_EXCEEDED"]));
	});

	test("do not have a right password told before wrong ones", async () => {
		const { clock, checked, logIn } = guessed();
		const wrong = Array.from({ length: LIMITS.loginsOfAddressMax }, () =>
			expect(logIn("wrong")).rejects.toMatchObject({ code: "NOT_AUTHENTICATED" }),
		);
		const right = logIn("right");
		await nextTurn();
		expect(checked).not.toContain("right");
		clock.advance(100);
		expect(await right).toEqual({ principal: "User:alice" });
		clock.advance(LIMITS.failedDelayMsMax);
		await Promise.all(wrong);
	});

	test("of who has left are waited for no more, and were no guesses", async () => {
		const { clock, failures, checked, logIn } = guessed();
		const leaving = new AbortController();
		setMaxListeners(0, leaving.signal);
		const codes: string[] = [];
		const { loginsOfAddressMax: places, loginsWaitingMax } = LIMITS;
		const guesses = Array.from({ length: places + loginsWaitingMax }, () =>
			logIn("wrong", "192.0.2.1", leaving.signal).catch(({ code }) => void codes.push(code)),
		);
		await nextTurn();
		leaving.abort();
		await nextTurn();
		expect(codes).toEqual(Array.from({ length: loginsWaitingMax }, () => "CONNECTION_LOST"));
		const right = logIn("right");
		// Those that were looked at keep their places, whoever has left.
		await nextTurn();
		expect(checked).toEqual(Array.from({ length: places }, () => "wrong"));
		clock.advance(100);
		expect(await right).toEqual({ principal: "User:alice" });
		clock.advance(LIMITS.failedDelayMsMax);
		await Promise.all(guesses);
		expect(failures.counts.get("password")?.get("busy")).toBeUndefined();
		expect(clock.timerCount).toBe(0);
	});

	test("of other addresses, and beside one old password, wait for nothing", async () => {
		const { clock, logIn } = guessed();
		const later = expect(logIn("wrong")).rejects.toMatchObject({ code: "NOT_AUTHENTICATED" });
		await Promise.all(Array.from({ length: 100 }, () => logIn("right")));
		for (let place = 0; place < LIMITS.loginsOfAddressMax; place++) {
			logIn("wrong").catch(() => undefined);
		}
		await logIn("right", "192.0.2.2");
		clock.advance(100);
		await later;
	});
});
