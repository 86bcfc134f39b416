/** `millrace acl ...`, and the calls behind it, of a broker that follows rules. */
import { beforeAll, expect, test } from "vitest";
import { type AclRule, type Client, connect } from "../../src/client/index.ts";
import { atEndOfSuite, BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";

const atEnd = atEndOfSuite();
let broker: BrokerProcess;
let client: Client;

beforeAll(async () => {
	broker = await BrokerProcess.start({
		dataDir: temporaryDirectory(atEnd),
		flags: ["--authorization-enable", "true", "--super-users", "User:ANONYMOUS"],
		atEnd,
	});
	client = await connect(broker.url);
	atEnd(() => client.close());
});

/** Runs `millrace acl` and resolves to what it says. */
async function acl(...args: string[]) {
	const ending = await runCommand(["acl", ...args, "--url", broker.url]);
	return { ...ending, text: ending.stdout.toString() };
}

test("rules are created, listed and deleted by what they are about", async () => {
	const alice = ["--principal", "User:alice", "--topic", "orders-", "--prefixed"];
	expect((await acl("create", ...alice, "--operation", "read", "write")).text).toBe(
		"created 2 rules\n",
	);
	await acl("create", "--principal", "User:bob", "--cluster", "--operation", "alter", "--deny");
	const { text } = await acl("list");
	expect(text).toMatch(/^User:alice +\* +may +read +topic +orders-\.\.\.$/m);
	expect(text).toMatch(/^User:bob +\* +may not +alter +cluster +kafka-cluster$/m);
	const { acls } = JSON.parse((await acl("list", "--principal", "User:bob", "--json")).text);
	const rule: AclRule = {
		resource: "cluster",
		name: "kafka-cluster",
		pattern: "literal",
		principal: "User:bob",
		host: "*",
		operation: "alter",
		permission: "deny",
	};
	expect(acls).toEqual([rule]);
	expect(await client.acls.list({ operation: "alter" })).toEqual([rule]);
	expect((await acl("delete", ...alice, "--operation", "read")).text).toBe("deleted 1 rule\n");
	expect(await client.acls.list({ principal: "User:alice" })).toMatchObject([
		{ operation: "write" },
	]);
	expect(await client.acls.delete({})).toBe(2);
	expect(await client.acls.list()).toEqual([]);
});

test("more rules than one answer has are listed page by page", async () => {
	const rules = (from: number) =>
		Array.from(
			{ length: 1_000 },
			(_, index): AclRule => ({
				resource: "topic",
				name: `many-${from + index}`,
				pattern: "literal",
				principal: "User:alice",
				host: "*",
				operation: "read",
				permission: "allow",
			}),
		);
	await client.acls.create(rules(0));
	await client.acls.create(rules(1_000));
	const listed = await client.acls.list({ principal: "User:alice" });
	expect(new Set(listed.map(({ name }) => name)).size).toBe(2_000);
	expect(await client.acls.delete({ principal: "User:alice" })).toBe(2_000);
});

test("what is no rule is refused, and everything is not deleted by mistake", async () => {
	const usage = 2;
	expect(await acl("create", "--topic", "t", "--operation", "read")).toMatchObject({ code: usage });
	expect(await acl("list", "--topic", "t", "--group", "g")).toMatchObject({ code: usage });
	expect(await acl("delete")).toMatchObject({ code: usage });
	const wrong = ["--principal", "alice", "--topic", "t", "--operation", "read"];
	expect((await acl("create", ...wrong)).code).toBe(1);
});
