import { expect, test } from "vitest";

import { AuditLog } from "../../src/audit/audit-log.ts";
import { LIMITS } from "../../src/limits.ts";
import { ANONYMOUS, userPrincipal } from "../../src/security/principal.ts";
import { FakeClock } from "../groups/fake-clock.ts";

const alice = { principal: userPrincipal("alice"), host: "10.0.0.1" };
const creation = { protocol: "kafka", operation: "CreateTopics", resource: "topic t" } as const;
const TIME = "2023-11-14T22:13:20.000Z";

/** A log whose sink keeps, fails, or does not answer before it is told to. */
function started() {
	const clock = new FakeClock();
	const appended: object[] = [];
	const sink = {
		fails: false,
		answer: Promise.resolve(),
		async append(events: readonly string[]) {
			await this.answer;
			if (this.fails) throw new Error("the disk is full");
			appended.push(...events.map((event) => JSON.parse(event)));
		},
	};
	return { clock, appended, sink, log: new AuditLog(sink, clock) };
}

test("changes are told one by one, in their order", async () => {
	const { log, appended, clock } = started();
	log.changed(alice, creation);
	log.changed(alice, { ...creation, operation: "DeleteTopics" });
	clock.advance(1_000);
	await log.close();
	const same = { time: TIME, principal: "User:alice", address: "10.0.0.1", protocol: "kafka" };
	expect(appended).toEqual([
		{ ...same, operation: "CreateTopics", resource: "topic t", outcome: "done" },
		{ ...same, operation: "DeleteTopics", resource: "topic t", outcome: "done" },
	]);
});

test("refusals of the same kind are told once, with their number", async () => {
	const { log, appended, clock } = started();
	for (let count = 0; count < 1_000; count++) {
		log.refused(alice, creation, "TOPIC_AUTHORIZATION_FAILED");
		log.loginRefused({ host: "10.0.0.2", mechanism: "PLAIN", reason: "credentials" });
	}
	clock.advance(10_000);
	log.changedAgain(alice, creation);
	await log.close();
	expect(appended).toMatchObject([
		{ time: TIME, outcome: "TOPIC_AUTHORIZATION_FAILED", count: 1_000 },
		{ address: "10.0.0.2", operation: "login", mechanism: "PLAIN", outcome: "credentials" },
		{ outcome: "done", count: 1 },
	]);
});

test("many kinds of refusals fill nothing", async () => {
	const { log, appended } = started();
	const { auditRefusalsMax: most, auditRefusalsOfOneMax: ofOne } = LIMITS;
	const resources = Array.from({ length: ofOne }, (_, index) => `topic ${index}`);
	const addresses = Array.from({ length: (10 * most) / ofOne }, (_, index) => `10.0.1.${index}`);
	for (const host of addresses) {
		for (const resource of resources) {
			const anybody = { principal: ANONYMOUS, host };
			log.refused(anybody, { ...creation, resource }, "INVALID_REQUEST");
		}
	}
	await log.close();
	expect(appended).toHaveLength(most);
	expect(log.droppedCount).toBe(9 * most);
});

test("nobody's refusals keep those of others out, nor failed logins", async () => {
	const { log, appended } = started();
	for (let count = 0; count < 1_000; count++) {
		const somewhere = { ...alice, host: `10.0.1.${count % 50}` };
		log.refused(somewhere, { ...creation, resource: `topic ${count}` }, "INVALID_REQUEST");
	}
	const bob = { principal: userPrincipal("bob"), host: alice.host };
	log.refused(bob, creation, "TOPIC_AUTHORIZATION_FAILED");
	for (let count = 0; count < 1_000; count++) {
		log.loginRefused({ host: `10.1.0.${count}`, mechanism: "PLAIN", reason: "credentials" });
	}
	log.refused({ ...bob, host: "10.0.0.2" }, creation, "TOPIC_AUTHORIZATION_FAILED");
	await log.close();
	const { auditRefusalsOfOneMax, auditLoginsMax } = LIMITS;
	const counted = (part: object) =>
		appended.filter((event) => JSON.stringify({ ...event, ...part }) === JSON.stringify(event));
	expect(counted({ principal: "User:alice" })).toHaveLength(auditRefusalsOfOneMax);
	expect(counted({ principal: "User:bob" })).toHaveLength(2);
	expect(counted({ operation: "login" })).toHaveLength(auditLoginsMax);
	expect(log.droppedCount).toBe(2_000 - auditRefusalsOfOneMax - auditLoginsMax);
});

test("long names are cut", async () => {
	const { log, appended } = started();
	log.changed(alice, { ...creation, resource: "x".repeat(100_000) });
	await log.close();
	expect(JSON.stringify(appended).length).toBeLessThan(1_000);
});

test("what a slow disk cannot take is dropped and counted, and nobody waits", async () => {
	const { log, appended, sink, clock } = started();
	let go: () => void = () => undefined;
	sink.answer = new Promise((resolve) => {
		go = resolve;
	});
	log.changed(alice, creation);
	clock.advance(1_000);
	await new Promise(setImmediate);
	for (let count = 0; count < LIMITS.auditEventsMax + 5; count++) log.changed(alice, creation);
	clock.advance(1_000);
	expect(log.droppedCount).toBe(5);
	go();
	await log.close();
	expect(appended).toHaveLength(LIMITS.auditEventsMax + 1);
});

test("what cannot be stored is counted, and what comes behind is stored", async () => {
	const { log, appended, sink, clock } = started();
	sink.fails = true;
	log.changed(alice, creation);
	clock.advance(1_000);
	await new Promise(setImmediate);
	expect(log.droppedCount).toBe(1);
	sink.fails = false;
	log.changed(alice, creation);
	await log.close();
	expect(appended).toHaveLength(1);
});
