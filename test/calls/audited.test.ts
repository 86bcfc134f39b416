/** What the audit log is told of calls, whatever clients send. */
import { expect, test } from "vitest";

import { AuditLog } from "../../src/audit/audit-log.ts";
import { Arguments } from "../../src/calls/arguments.ts";
import { auditCall } from "../../src/calls/audited.ts";
import type { Caller } from "../../src/calls/caller.ts";
import { MillraceError } from "../../src/errors.ts";
import type { CallName } from "../../src/protocol/calls.ts";
import type { DecodedMap } from "../../src/protocol/reader.ts";
import { userPrincipal } from "../../src/security/principal.ts";
import { FakeClock } from "../groups/fake-clock.ts";

/** As frames have them: without a prototype, and so without a text. */
const frameMap = (fields: DecodedMap = {}): DecodedMap =>
	Object.assign(Object.create(null), fields);

/** The only event that is told of a call that succeeds or fails. */
async function told(name: CallName, parameters: DecodedMap, failure?: Error) {
	const events: object[] = [];
	const sink = {
		async append(texts: readonly string[]) {
			events.push(...texts.map((text) => JSON.parse(text)));
		},
	};
	const audit = new AuditLog(sink, new FakeClock());
	const peer = { principal: userPrincipal("alice"), host: "10.0.0.1" };
	const caller = { peer, protocol: "websocket", host: { audit } } as unknown as Caller;
	const answer = async () => {
		if (failure !== undefined) throw failure;
		return {};
	};
	const answered = auditCall(caller, name, new Arguments(parameters), answer);
	if (failure === undefined) await answered;
	else await expect(answered).rejects.toBe(failure);
	await audit.close();
	expect(events).toHaveLength(1);
	return events[0];
}

test("what is no name is refused as everything else, and noted", async () => {
	const failure = new MillraceError("INVALID_ARGUMENT", "user is not a string");
	for (const value of [frameMap(), [frameMap()], 5, null, new Uint8Array(3)]) {
		for (const [name, field, kind] of [
			["users.set", "user", "user"],
			["topics.create", "name", "topic"],
			["groups.delete", "group", "group"],
		] as const) {
			expect(await told(name, frameMap({ [field]: value }), failure)).toMatchObject({
				resource: `${kind} (none)`,
				outcome: "INVALID_ARGUMENT",
			});
		}
	}
	expect(await told("users.set", frameMap({ user: "bob" }))).toMatchObject({
		resource: "user bob",
		outcome: "done",
	});
});

test("of settings the level and the names are told, and no value", async () => {
	const resource = async (parameters: DecodedMap, failure?: Error) =>
		Object(await told("configs.alter", frameMap(parameters), failure)).resource;
	const cluster = "cluster kafka-cluster, settings of level";
	const configs = frameMap({ "max.connections": "5", "log.retention.ms": null });
	const names = "max.connections, log.retention.ms";
	expect(await resource({ configs })).toBe(`${cluster} broker: ${names}`);
	expect(await resource({ configs, level: "cluster" })).toBe(`${cluster} cluster: ${names}`);
	const failure = new MillraceError("INVALID_ARGUMENT", "configs are not a map");
	for (const wrong of [frameMap(), "text", 5, null]) {
		expect(await resource({ configs: wrong }, failure)).toBe(`${cluster} broker: (none)`);
	}
	expect(await resource({ configs, level: frameMap() }, failure)).toContain("level (none):");
	const many = Array.from({ length: 1_000 }, (_, index) => [`${index}`.padEnd(9_999, "x"), "1"]);
	const text = await resource({ configs: Object.fromEntries(many), level: "l".repeat(9_999) });
	expect(text).toMatch(/ and 994 more$/);
});
