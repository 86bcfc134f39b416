/** How Kafka clients of one address take turns in saying who they are. */
import { expect, test } from "vitest";

import { SaslSession } from "../../src/kafka/sasl-session.ts";
import { LIMITS } from "../../src/limits.ts";
import { NO_AUTHORIZATION } from "../../src/security/authorizer.ts";
import { FailedAttempts } from "../../src/security/failed-attempts.ts";
import { Peer, userPrincipal } from "../../src/security/principal.ts";
import { Refusal } from "../../src/security/refusal.ts";
import { FakeClock } from "../groups/fake-clock.ts";

const nextTurn = () => new Promise(setImmediate);

/** Clients of one address; the mechanism takes the password "right". */
function listener() {
	const clock = new FakeClock();
	const failures = new FailedAttempts(clock);
	const step = (bytes: Uint8Array) => {
		if (Buffer.from(bytes).toString() !== "right") {
			throw new Refusal("credentials", "name or password");
		}
		return { reply: new Uint8Array(), identity: { principal: userPrincipal("alice") } };
	};
	const mechanisms = new Map([["PLAIN", { name: "PLAIN", start: () => ({ step }) }]]);
	const logIn = async (password: string) => {
		const peer = new Peer("192.0.2.1", NO_AUTHORIZATION);
		const session = new SaslSession({ mechanisms, reauthMsMax: 0, failures, clock }, peer);
		session.handshake("PLAIN");
		return (await session.authenticate(Buffer.from(password))).errorCode;
	};
	return { clock, failures, logIn };
}

test("a guess is looked at when those before it have been told, whoever has left", async () => {
	const { clock, logIn } = listener();
	const wrong = Array.from({ length: LIMITS.loginsOfAddressMax }, () => logIn("wrong"));
	const told: number[] = [];
	const right = logIn("right").then((code) => told.push(code));
	await nextTurn();
	clock.advance(99);
	await nextTurn();
	expect(told).toEqual([]);
	clock.advance(1);
	await right;
	expect(told).toEqual([0]);
	clock.advance(LIMITS.failedDelayMsMax);
	expect(new Set(await Promise.all(wrong))).toEqual(new Set([58]));
});

test("a client with an old password holds up no others of its address", async () => {
	const { logIn } = listener();
	for (let client = 1; client < LIMITS.loginsOfAddressMax; client++) void logIn("wrong");
	await nextTurn();
	expect(await Promise.all(Array.from({ length: 50 }, () => logIn("right")))).not.toContain(58);
});

test("what is not looked at ends the connection, and is counted", async () => {
	const { logIn, failures } = listener();
	const waiting = LIMITS.loginsOfAddressMax + LIMITS.loginsWaitingMax;
	const all = Array.from({ length: waiting }, () => logIn("wrong").catch(({ code }) => code));
	await expect(logIn("right")).rejects.toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
	expect(failures.counts.get("PLAIN")?.get("busy")).toBe(1);
	await nextTurn();
	failures.close();
	const dropped = (await Promise.all(all.slice(LIMITS.loginsOfAddressMax))) as unknown[];
	expect(new Set(dropped)).toEqual(new Set(["SHUTTING_DOWN"]));
});
