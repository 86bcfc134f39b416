/**
 * Who is refused what over the WebSocket protocol: every operation and every call, asked by a
 * client that may do nothing, and by one that may do just what the tables of needs say.
 */
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CALL_ACCESS, OPERATION_ACCESS } from "../../src/calls/access.ts";
import type { CallName } from "../../src/protocol/calls.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { OPERATION } from "../../src/protocol/operations.ts";
import type { FrameValue } from "../../src/protocol/writer.ts";
import { ACL_OPERATION, RESOURCE_TYPE } from "../../src/security/acl.ts";
import { REQUEST_HANDLERS } from "../../src/websocket/handlers/table.ts";
import { Policy } from "../security/policy.ts";
import { RawMember } from "./group-member.ts";
import { serve } from "./harness.ts";
import type { RawClient } from "./raw-client.ts";

const TOPIC = "TOPIC_AUTHORIZATION_FAILED";
const GROUP = "GROUP_AUTHORIZATION_FAILED";
const CLUSTER = "CLUSTER_AUTHORIZATION_FAILED";

const policy = new Policy();
const at = serve("ws", { authorizer: policy });

/** What each call is given, and how a client is refused that may do nothing; null: it is not. */
const CALLS: Readonly<Record<CallName, readonly [FrameValue, string | null]>> = {
	"topics.create": [{ name: "new", validate_only: true }, TOPIC],
	"topics.list": [{}, null],
	"topics.describe": [{ name: "t" }, TOPIC],
	"topics.alter": [{ name: "t", configs: {}, validate_only: true }, TOPIC],
	"topics.add_partitions": [{ name: "gone", partitions: 2 }, TOPIC],
	"topics.delete": [{ name: "gone" }, TOPIC],
	"offsets.list": [{ topic: "t", partition: 0, at: "latest" }, TOPIC],
	"offsets.describe": [{ topic: "t" }, TOPIC],
	"groups.list": [{}, null],
	"groups.describe": [{ group: "g" }, GROUP],
	"groups.reset_offsets": [{ group: "g", topic: "t", to: "latest", dry_run: true }, GROUP],
	"groups.delete": [{ group: "gone" }, GROUP],
	"groups.join": [{ group: "joined", topics: ["t"] }, GROUP],
	"groups.acknowledge": [{ group: "g", member_id: "m", topics: [] }, GROUP],
	"groups.progress": [{ group: "g", member_id: "m" }, GROUP],
	"groups.commit": [
		{ group: "g", topics: [{ topic: "t", partitions: [{ partition: 0, offset: 0 }] }] },
		GROUP,
	],
	"groups.committed": [{ group: "g", topics: [{ topic: "t", partitions: [0] }] }, GROUP],
	"groups.leave": [{ group: "g", member_id: "m" }, GROUP],
	"acls.list": [{}, CLUSTER],
	"clients.list": [{}, CLUSTER],
	"acls.create": [{ acls: [] }, CLUSTER],
	"acls.delete": [{ name: "t" }, CLUSTER],
	"quotas.list": [{}, CLUSTER],
	"quotas.set": [{ user: "u", rates: {} }, CLUSTER],
	"quotas.throttled": [{}, CLUSTER],
	"users.list": [{}, CLUSTER],
	"users.set": [{ user: "u", password: "p" }, CLUSTER],
	"users.delete": [{ user: "u" }, CLUSTER],
	"configs.describe": [{}, CLUSTER],
	"configs.alter": [{ configs: {}, validate_only: true }, CLUSTER],
	"tickets.create": [{}, null],
	"cluster.describe": [{}, null],
	"verify.partition": [{ topic: "t", partition: 0 }, TOPIC],
	"verify.status": [{}, CLUSTER],
};

let client: RawClient;

beforeAll(async () => {
	policy.allows = () => true;
	await at.catalogue.create({ name: "t", partitions: 1 });
	client = await at.client();
});

beforeEach(() => {
	policy.allows = () => true;
});

/** The name of the error that a call is refused with; undefined: it was answered. */
async function refusalOf(call: string, parameters: FrameValue): Promise<string | undefined> {
	try {
		await client.call(call, parameters);
		return undefined;
	} catch (error) {
		return (error as Error).message;
	}
}

test("every operation says what it needs", () => {
	const served = [...REQUEST_HANDLERS.keys(), OPERATION.produce, OPERATION.credit];
	expect([...OPERATION_ACCESS.keys()].sort()).toEqual(served.sort());
});

describe.each(Object.entries(CALLS))("the call %s", (name, [parameters, refusal]) => {
	const needs = CALL_ACCESS[name as CallName];

	test("is refused to who may do nothing", async () => {
		policy.allows = () => false;
		expect(await refusalOf(name, parameters)).toBe(refusal ?? undefined);
	});

	test("takes each of its needs, and no more", async () => {
		const all = needs.map(({ operation, kind }) => `${operation} ${RESOURCE_TYPE[kind]}`);
		const create = `${ACL_OPERATION.create} ${RESOURCE_TYPE.topic}`;
		const needed = name === "topics.create" ? [create] : all;
		for (const missing of needed) {
			policy.allows = (operation, type) => missing !== `${operation} ${type}` && type !== 4;
			expect(await refusalOf(name, parameters)).toMatch(/_AUTHORIZATION_FAILED$/);
		}
		policy.allows = (operation, type) => needed.includes(`${operation} ${type}`);
		expect(`${await refusalOf(name, parameters)}`).not.toMatch(/_AUTHORIZATION_FAILED$/);
	});
});

describe("topics", () => {
	const only = (wanted: number) => {
		policy.allows = (operation, type) => operation === wanted && type === RESOURCE_TYPE.topic;
	};

	test("are opened, written and read by who may, by name and by alias", async () => {
		const { alias } = await client.answer(2, 10, "t", {});
		const start = (sub: number, topic: FrameValue) =>
			client.error(4, 20, sub, topic, 0, "latest", {});
		for (const topic of ["t", alias as number]) {
			policy.allows = () => false;
			const { code } = CODES.TOPIC_AUTHORIZATION_FAILED;
			expect(await client.error(2, 11, "t", {})).toBe(code);
			expect((await client.produce(topic, ["x"]))[0]?.[0]).toBe(code);
			expect(await start(1, topic)).toBe(code);
			only(ACL_OPERATION.describe);
			await client.answer(2, 12, "t", {});
			only(ACL_OPERATION.write);
			expect((await client.produce(topic, ["x"]))[0]?.[0]).toBe(CODES.NONE.code);
			expect(await start(1, topic)).toBe(code);
			only(ACL_OPERATION.read);
			await client.answer(4, 21, 7, topic, 0, "latest", {});
			await client.answer(6, 22, 7);
		}
	});

	test("that are not there are not told from those that are, nor created", async () => {
		policy.allows = () => false;
		const { code } = CODES.TOPIC_AUTHORIZATION_FAILED;
		expect((await client.produce("never", ["x"]))[0]?.[0]).toBe(code);
		expect(await client.error(4, 30, 2, "never", 0, "latest", {})).toBe(code);
		policy.allows = (operation) => operation !== ACL_OPERATION.create;
		expect(await client.error(2, 31, "never", {})).toBe(code);
		expect(at.catalogue.get("never")).toBeUndefined();
	});

	test("that are there already are described only to who may see them", async () => {
		const creation = { name: "t", if_not_exists: true };
		only(ACL_OPERATION.create);
		expect(await refusalOf("topics.create", creation)).toBe(TOPIC);
		expect(await refusalOf("topics.create", { ...creation, validate_only: true })).toBe(TOPIC);
		policy.allows = (operation) =>
			operation === ACL_OPERATION.create || operation === ACL_OPERATION.describe;
		expect(await client.call("topics.create", creation)).toMatchObject({ created: false });
	});

	test("are left out of lists, and their settings are for who may describe those", async () => {
		policy.allows = (_operation, _type, name) => name !== "t";
		expect((await client.call("topics.list")).topics).toEqual([]);
		policy.allows = (operation) => operation !== ACL_OPERATION.describeConfigs;
		const { topic } = await client.call("topics.describe", { name: "t" });
		expect(topic).toMatchObject({ name: "t", configs: [] });
	});

	test("are no longer read once a rule forbids it", async () => {
		await client.answer(4, 40, 9, "t", 0, "latest", {});
		policy.allows = (operation) => operation !== ACL_OPERATION.read;
		policy.epoch++;
		const ended = await client.take(([operation, sub]) => operation === 135 && sub === 9);
		expect(ended[2]).toBe(CODES.TOPIC_AUTHORIZATION_FAILED.code);
	});
});

describe("groups", () => {
	test("are left out of lists unless the cluster may be described", async () => {
		await client.call("groups.commit", {
			group: "listed",
			topics: [{ topic: "t", partitions: [{ partition: 0, offset: 0 }] }],
		});
		const listed = async () => ((await client.call("groups.list")).groups as unknown[]).length;
		const all = await listed();
		expect(all).toBeGreaterThan(0);
		policy.allows = (_operation, type) => type === RESOURCE_TYPE.cluster;
		expect(await listed()).toBe(all);
		policy.allows = (_operation, type, name) => type === RESOURCE_TYPE.group && name === "listed";
		expect(await listed()).toBe(1);
		const reset = { group: "listed", to: "latest", dry_run: true };
		expect(await refusalOf("groups.reset_offsets", reset)).toBe(TOPIC);
	});

	test("lose members that may no longer be in them", async () => {
		const member = await RawMember.join(client, "left", { topics: ["t"] });
		policy.allows = (_operation, type) => type !== RESOURCE_TYPE.group;
		policy.epoch++;
		expect(await member.notice("lost")).toMatchObject({ name: GROUP, group: "left" });
		policy.allows = () => true;
		const described = await client.call("groups.describe", { group: "left" });
		expect(described.group).toMatchObject({ members: [] });
	});

	test("are not joined once a rule forbids it, also where the join is under way", async () => {
		let asked = 0;
		policy.allows = (operation, type) =>
			operation !== ACL_OPERATION.read || type !== RESOURCE_TYPE.group || asked++ === 0;
		expect(await refusalOf("groups.join", { group: "late", topics: ["t"] })).toBe(GROUP);
		policy.allows = () => true;
		const described = await client.call("groups.describe", { group: "late" });
		expect(described.group).toMatchObject({ members: [] });
	});
});
