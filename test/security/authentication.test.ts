import { expect, test } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { MillraceError } from "../../src/errors.ts";
import { Authentication } from "../../src/security/authentication.ts";
import { FailedAttempts } from "../../src/security/failed-attempts.ts";
import { ANONYMOUS, userPrincipal } from "../../src/security/principal.ts";
import { Tickets } from "../../src/security/tickets.ts";

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
	expect(await checked.identify(alice, "host", userPrincipal("alice"))).toMatchObject({
		principal: "User:alice",
	});
	for (const before of [userPrincipal("bob"), ANONYMOUS]) {
		await expect(checked.identify(alice, "host", before)).rejects.toMatchObject({
			code: "NOT_AUTHENTICATED",
		});
	}
	expect(delays).toEqual([100, 200]);
});
