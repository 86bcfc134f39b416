import { expect, test } from "vitest";

import { systemClock } from "../../src/clock.ts";
import { LIMITS } from "../../src/limits.ts";
import { userPrincipal } from "../../src/security/principal.ts";
import { Tickets } from "../../src/security/tickets.ts";

const alice = { principal: userPrincipal("alice"), expiresMs: 5_000_000 };

function tickets() {
	const time = { ms: 1_000 };
	const clock = { ...systemClock, monotonicMs: () => time.ms, wallMs: () => time.ms + 1_000_000 };
	return { time, issuer: new Tickets(clock) };
}

test("a ticket is whose it was asked for, once", () => {
	const { issuer } = tickets();
	const { ticket, expiresMs } = issuer.issue(alice);
	expect(expiresMs).toBe(1_001_000 + LIMITS.ticketMsMax);
	expect(issuer.redeem(ticket)).toEqual(alice);
	expect(() => issuer.redeem(ticket)).toThrow("no such ticket");
	expect(() => issuer.redeem("")).toThrow("no such ticket");
});

test("a ticket that nobody uses is forgotten", () => {
	const { time, issuer } = tickets();
	const first = issuer.issue(alice).ticket;
	time.ms += LIMITS.ticketMsMax - 1;
	const second = issuer.issue(alice).ticket;
	expect(issuer.size).toBe(2);
	time.ms += 1;
	expect(() => issuer.redeem(first)).toThrow("no such ticket");
	expect(issuer.redeem(second)).toEqual(alice);
	expect(issuer.size).toBe(0);
});

test("nobody takes all the places, and they are bounded", () => {
	const { time, issuer } = tickets();
	const fill = (name: string) => {
		for (let count = 0; count < LIMITS.ticketsOfUserMax; count++) {
			issuer.issue({ principal: userPrincipal(name) });
		}
	};
	fill("greedy");
	expect(() => issuer.issue({ principal: userPrincipal("greedy") })).toThrow("wait to be used");
	issuer.redeem(issuer.issue(alice).ticket);
	const users = LIMITS.ticketsMax / LIMITS.ticketsOfUserMax;
	for (let user = 1; user < users; user++) fill(`user-${user}`);
	expect(() => issuer.issue(alice)).toThrow("wait to be used");
	time.ms += LIMITS.ticketMsMax;
	issuer.issue(alice);
	expect(issuer.size).toBe(1);
});
