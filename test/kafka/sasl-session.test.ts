/** How Kafka clients of one address take turns in saying who they are. */
import { expect, test } from "vitest";

import { SaslSession } from "../../src/kafka/sasl-session.ts";
import { LIMITS } from "../../src/limits.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { NO_AUTHORIZATION } from "../../src/security/authorizer.ts";
import { FailedAttempts } from "../../src/security/failed-attempts.ts";
import { Peer, userPrincipal } from "../../src/security/principal.ts";
import { Refusal } from "../../src/security/refusal.ts";
import type { SaslMechanism } from "../../src/security/sasl/mechanism.ts";
import { scramMechanism } from "../../src/security/sasl/scram.ts";
import { Users } from "../../src/security/users.ts";
import { FakeClock } from "../groups/fake-clock.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";

const nextTurn = () => new Promise(setImmediate);

const openUsers = async () =>
	Users.open(await MetadataWriter.open(new EmbeddedMetadataStore(new MemoryMetadataFile())));

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
	const plain = { name: "PLAIN", start: () => ({ mayGuess: true, step }) };
	const begin = (mechanism: SaslMechanism = plain) => {
		const peer = new Peer("192.0.2.1", NO_AUTHORIZATION);
		const mechanisms = new Map([[mechanism.name, mechanism]]);
		const session = new SaslSession({ mechanisms, reauthMsMax: 0, failures, clock }, peer);
		session.handshake(mechanism.name);
		return session;
	};
	const logIn = async (password: string, left?: AbortSignal) =>
		(await begin().authenticate(Buffer.from(password), left)).errorCode;
	return { clock, failures, begin, logIn };
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

test("who only names a user waits for nothing, and then proves it in turn", async () => {
	const { clock, begin, logIn } = listener();
	for (let client = 0; client < LIMITS.loginsOfAddressMax; client++) void logIn("wrong");
	await nextTurn();
	const session = begin(scramMechanism("SCRAM-SHA-256", await openUsers()));
	const { authBytes, errorCode } = await session.authenticate(Buffer.from("n,,n=alice,r=abc"));
	expect([errorCode, Buffer.from(authBytes).toString()]).toEqual([
		0,
		expect.stringMatching(/^r=abc\S+,s=\S+,i=4096$/),
	]);
	let isTold = false;
	const last = session.authenticate(Buffer.from("c=biws,r=abc,p=abcd")).then((answer) => {
		isTold = true;
		return answer;
	});
	await nextTurn();
	expect(isTold).toBe(false);
	clock.advance(100);
	await nextTurn();
	clock.advance(LIMITS.failedDelayMsMax);
	expect(await last).toMatchObject({ errorCode: 58 });
});

test("who has left waits no more", async () => {
	const { clock, logIn } = listener();
	const leaving = new AbortController();
	for (let client = 0; client < LIMITS.loginsOfAddressMax; client++) void logIn("wrong");
	const gone = expect(logIn("wrong", leaving.signal)).rejects.toMatchObject({
		code: "CONNECTION_LOST",
	});
	const right = logIn("right");
	await nextTurn();
	leaving.abort();
	await gone;
	clock.advance(100);
	expect(await right).toBe(0);
});

test("a client with an old password holds up no others of its address", async () => {
	const { logIn } = listener();
	for (let client = 1; client < LIMITS.loginsOfAddressMax; client++) void logIn("wrong");
	await nextTurn();
	expect(await Promise.all(Array.from({ length: 50 }, () => logIn("right")))).not.toContain(58);
});

test("what is longer than any credentials is refused without a look", async () => {
	const { failures, begin, logIn } = listener();
	for (let client = 0; client < LIMITS.loginsOfAddressMax; client++) void logIn("wrong");
	await nextTurn();
	let stepCount = 0;
	const step = () => {
		stepCount++;
		return { reply: new Uint8Array(), identity: null };
	};
	const counting = { name: "PLAIN", start: () => ({ mayGuess: false, step }) };
	const bytes = 2 * LIMITS.credentialBytesMax;
	expect(await begin(counting).authenticate(Buffer.alloc(bytes))).toMatchObject({ errorCode: 0 });
	const session = begin(counting);
	const refused = session.authenticate(Buffer.alloc(bytes + 1));
	expect(await refused).toMatchObject({ errorCode: 58 });
	expect(session.isRefused).toBe(true);
	expect(stepCount).toBe(1);
	expect(failures.counts.get("PLAIN")?.get("malformed")).toBe(1);
});

test("a first message has room for the longest name, and is not kept beyond", async () => {
	const { begin, failures } = listener();
	const mechanism = scramMechanism("SCRAM-SHA-256", await openUsers());
	const first = (nameLength: number) => {
		const name = "=2C".repeat(nameLength);
		return begin(mechanism).authenticate(Buffer.from(`n,,n=${name},r=${"a".repeat(100)}`));
	};
	expect(await first(LIMITS.userNameBytesMax)).toMatchObject({ errorCode: 0 });
	expect(await first(4 * LIMITS.userNameBytesMax)).toMatchObject({ errorCode: 58 });
	expect(failures.counts.get("SCRAM-SHA-256")?.get("malformed")).toBe(1);
	// It was no guess.
	expect(failures.size).toBe(0);
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
