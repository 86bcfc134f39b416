/** Which records of the metadata are kept by a repair, and what is said of the others. */
import { describe, expect, test } from "vitest";

import { encodeRecord } from "../../src/metadata/metadata-records.ts";
import { planCatalogue } from "../../src/topics/lost-catalogue.ts";
import { encodeTopic, topicKey } from "../../src/topics/topic-records.ts";

const key32 = Buffer.alloc(32, 1).toString("base64");
const credential = { iterations: 4_096, salt: key32, stored_key: key32, server_key: key32 };
const rule = {
	resource_type: 2,
	pattern_type: 3,
	name: "orders",
	principal: "User:alice",
	host: "*",
	operation: 3,
	permission: 2,
};
const id = "01890a5d-ac96-774b-bcce-b302099a8057";

/** A record of each kind that is whole, how a byte of it can be damaged, and what that loses. */
const KINDS: [key: string, fields: object, from: string, to: string, said: RegExp][] = [
	["users/alice", { credentials: { "SCRAM-SHA-256": credential } }, "SHA-256", "SHA-258", /USER/],
	[`acls/${id}`, rule, '"permission":2', '"permission":6', /ACCESS RULE.*"User:alice"/],
	[
		`quotas/${id}`,
		{ user: "alice", rates: { request_rate: 10 } },
		"request_rate",
		"request_rats",
		/QUOTA.*"user":"alice"/,
	],
	[
		"group-configs/billing",
		{ config: { "consumer.session.timeout.ms": "60000" } },
		"60",
		"6b",
		/6b/,
	],
	["broker-configs/broker", { config: { "log.retention.ms": "1" } }, '"1"', "[1]", /options/],
	["broker-configs/cluster", { config: {} }, "config", "konfig", /options/],
];

/** What a repair would do about these entries, and topics without directories. */
const planOf = (entries: { key: string; value: Uint8Array }[]) =>
	planCatalogue({ entries, directories: [] }, []);

const topic = {
	key: topicKey("orders"),
	value: encodeTopic({ name: "orders", topicId: id, partitions: 1, overrides: new Map() }),
};

describe("a record of the metadata", () => {
	test.for(KINDS)(
		"such as %s is left out once a byte is damaged",
		([key, fields, from, to, said]) => {
			const value = encodeRecord(1, fields);
			const whole = planOf([topic, { key, value }]);
			expect(whole).toMatchObject({ isMetadataLost: false, notes: [] });

			const text = Buffer.from(value).toString();
			expect(text).toContain(from);
			const damaged = { key, value: Buffer.from(text.replace(from, to)) };
			const plan = planOf([topic, damaged]);
			expect(plan.isMetadataLost).toBe(true);
			expect(plan.entries).toEqual([topic]);
			expect(plan.notes).toEqual([
				{ subject: "metadata.redb", detail: expect.stringMatching(said) },
			]);
			expect(plan.notes[0]?.detail).toContain(`metadata entry ${key}`);
			expect(plan.notes[0]?.detail).toContain("it is left out");
		},
	);

	test("that is of a kind unknown here is kept as long as it is a record", () => {
		const later = { key: "later/thing", value: encodeRecord(7, { anything: true }) };
		expect(planOf([later])).toMatchObject({ isMetadataLost: false, notes: [] });
		const noise = { key: "later/thing", value: Buffer.from("noise") };
		expect(planOf([topic, noise]).entries).toEqual([topic]);
	});

	test("shows nothing of a password, and nothing that a terminal obeys", () => {
		const user = { key: "users/alice", value: Buffer.from(`{"stored_key":"${key32}"`) };
		expect(planOf([user]).notes[0]?.detail).not.toContain(key32);
		const obeyed = { key: `acls/${id}`, value: Buffer.from("\u001b[2J{") };
		expect(planOf([obeyed]).notes[0]?.detail).not.toContain("\u001b");
	});
});
