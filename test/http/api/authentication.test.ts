/** How many may be finding out over HTTP who they are, with turns as the broker has them. */
import { setMaxListeners } from "node:events";

import { expect, test } from "vitest";

import { MillraceError } from "../../../src/errors.ts";
import { HttpAuthentication } from "../../../src/http/api/authentication.ts";
import type { HttpHead, HttpResponse } from "../../../src/http/http.ts";
import { LIMITS } from "../../../src/limits.ts";
import { Authentication } from "../../../src/security/authentication.ts";
import { FailedAttempts } from "../../../src/security/failed-attempts.ts";
import { ANONYMOUS, userPrincipal } from "../../../src/security/principal.ts";
import { Tickets } from "../../../src/security/tickets.ts";
import { FakeClock } from "../../groups/fake-clock.ts";

const nextTurn = () => new Promise(setImmediate);

/** A broker whose users all have the password "right". */
function broker() {
	const clock = new FakeClock();
	let checkedCount = 0;
	const authentication = new Authentication({
		users: {
			async checkPassword(name, password) {
				checkedCount++;
				if (password === "right") return userPrincipal(name);
				throw new MillraceError("NOT_AUTHENTICATED", "name or password");
			},
		},
		verifyToken: null,
		tickets: new Tickets(clock),
		failures: new FailedAttempts(clock),
		clock,
		reauthMsMax: 0,
	});
	const http = new HttpAuthentication(authentication, false);
	const headOf = (remoteAddress: string, password: string): HttpHead => {
		const authorization = `Basic ${Buffer.from(`alice:${password}`).toString("base64")}`;
		return {
			...{ method: "GET", path: "/v1/topics", query: "", principal: ANONYMOUS, remoteAddress },
			header: (name) => (name === "authorization" ? authorization : ""),
		};
	};
	/** As a listener asks: whether there is room, then who it is. */
	const logIn = async (host: string, password: string, left = new AbortController().signal) => {
		const head = headOf(host, password);
		return http.refusal(head) ?? (await http.identify(head, left));
	};
	return { clock, logIn, checkedCount: () => checkedCount };
}

/** Logins that one address may have under way. */
const MOST = LIMITS.loginsOfAddressMax + LIMITS.loginsWaitingMax;

test("guesses that wait at some addresses keep nobody out at others", async () => {
	const { logIn } = broker();
	for (let address = 1; address <= 5; address++) {
		for (let guess = 0; guess < MOST; guess++) void logIn(`192.0.2.${address}`, "wrong");
	}
	await nextTurn();
	expect(5 * MOST).toBeGreaterThan(LIMITS.httpRequestsMax);
	expect(await logIn("192.0.2.6", "right")).toEqual({ principal: "User:alice" });
});

test("who has left waits no more, and others take their places", async () => {
	const { clock, logIn, checkedCount } = broker();
	const leaving = new AbortController();
	setMaxListeners(0, leaving.signal);
	for (let guess = 0; guess < MOST; guess++) void logIn("192.0.2.1", "wrong", leaving.signal);
	await nextTurn();
	expect(await logIn("192.0.2.1", "right")).toMatchObject({ status: 429 });
	leaving.abort();
	const right = logIn("192.0.2.1", "right");
	await nextTurn();
	clock.advance(100);
	expect(await right).toEqual({ principal: "User:alice" });
	expect(checkedCount()).toBe(LIMITS.loginsOfAddressMax + 1);
});

test("all logins together are bounded", async () => {
	const { logIn } = broker();
	const leaving = new AbortController();
	setMaxListeners(0, leaving.signal);
	for (let count = 0; count < LIMITS.httpLoginsMax; count++) {
		void logIn(`host ${Math.floor(count / MOST)}`, "wrong", leaving.signal);
	}
	await nextTurn();
	const refused = await logIn("192.0.2.1", "right");
	expect(refused).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
	const { body = "" } = refused as HttpResponse;
	expect(JSON.parse(`${body}`)).toMatchObject({ name: "LIMIT_EXCEEDED", retriable: true });
	leaving.abort();
	await nextTurn();
	expect(await logIn("192.0.2.1", "right")).toEqual({ principal: "User:alice" });
});
