/**
 * What access rules decide: against a model that looks at every rule, and what becomes of the rules
 * in the metadata store.
 */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { LIMITS } from "../../src/limits.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { encodeRecord } from "../../src/metadata/metadata-records.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import {
	ACL_OPERATION,
	type Acl,
	ANY,
	PATTERN_TYPE,
	PERMISSION,
	RESOURCE_TYPE,
} from "../../src/security/acl.ts";
import { AclAuthorizer, type AuthorizerOptions } from "../../src/security/authorizer.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";
import { seed } from "../seed.ts";

const NOBODY: AuthorizerOptions = { superUsers: "", allowEveryoneIfNoAclFound: false };
const EVERYTHING = {
	resourceType: ANY,
	resourceName: null,
	patternType: ANY,
	principal: null,
	host: null,
	operation: ANY,
	permission: ANY,
};

const TOPIC = RESOURCE_TYPE.topic;
const { read, write, describe: describing } = ACL_OPERATION;

function rule(more: Partial<Acl> = {}): Acl {
	return {
		resourceType: TOPIC,
		resourceName: "orders",
		patternType: PATTERN_TYPE.literal,
		principal: "User:alice",
		host: "*",
		operation: read,
		permission: PERMISSION.allow,
		...more,
	};
}

async function open(file = new MemoryMetadataFile(), options = NOBODY): Promise<AclAuthorizer> {
	return AclAuthorizer.open(await MetadataWriter.open(new EmbeddedMetadataStore(file)), options);
}

/** Kafka's rules in words, over all rules. */
function naively(acls: readonly Acl[], asked: Acl, otherwise: boolean): boolean {
	const about = acls.filter(
		(acl) =>
			acl.resourceType === asked.resourceType &&
			(acl.patternType === PATTERN_TYPE.prefixed
				? asked.resourceName.startsWith(acl.resourceName)
				: [asked.resourceName, "*"].includes(acl.resourceName)),
	);
	if (about.length === 0) return otherwise;
	const mine = about.filter(
		(acl) =>
			["User:*", asked.principal].includes(acl.principal) && ["*", asked.host].includes(acl.host),
	);
	const { all, alter, delete: remove, describeConfigs, alterConfigs } = ACL_OPERATION;
	const allowing: number[] = [asked.operation, all];
	if (asked.operation === describing) allowing.push(read, write, remove, alter);
	if (asked.operation === describeConfigs) allowing.push(alterConfigs);
	const has = (permission: number, operations: readonly number[]) =>
		mine.some((acl) => acl.permission === permission && operations.includes(acl.operation));
	if (has(PERMISSION.deny, [asked.operation, all])) return false;
	return has(PERMISSION.allow, allowing);
}

describe("decisions", () => {
	const resourceTypes = fc.constantFrom(RESOURCE_TYPE.topic, RESOURCE_TYPE.group);
	const hosts = ["10.0.0.1", "10.0.0.2"];
	const rules = fc.record({
		resourceType: resourceTypes,
		resourceName: fc.constantFrom("a", "ab", "abc", "b", "*"),
		patternType: fc.constantFrom(PATTERN_TYPE.literal, PATTERN_TYPE.prefixed),
		principal: fc.constantFrom("User:alice", "User:bob", "User:*"),
		host: fc.constantFrom("*", ...hosts),
		operation: fc.constantFrom(...Object.values(ACL_OPERATION)),
		permission: fc.constantFrom(PERMISSION.allow, PERMISSION.allow, PERMISSION.deny),
	});
	const changes = fc.oneof(
		{ weight: 4, arbitrary: fc.array(rules, { minLength: 1, maxLength: 6 }) },
		fc.constantFrom("a", "ab", "*"),
	);
	const operations = Object.values(ACL_OPERATION).filter((number) => number !== ACL_OPERATION.all);
	const clients = ["User:alice", "User:bob", "User:carol"].flatMap((principal) =>
		hosts.map((host) => ({ principal, host })),
	);

	test("are those of a model that looks at every rule, before and after each change", () =>
		fc.assert(
			fc.asyncProperty(
				fc.array(changes, { minLength: 1, maxLength: 5 }),
				resourceTypes,
				fc.boolean(),
				async (steps, resourceType, allowEveryoneIfNoAclFound) => {
					const options = { superUsers: "User:root;User:CN=a,O=b", allowEveryoneIfNoAclFound };
					const authorizer = await open(new MemoryMetadataFile(), options);
					const asking = clients.map((client) => ({
						...client,
						access: authorizer.accessOf(client.principal, client.host),
					}));
					for (const step of steps) {
						if (typeof step !== "string") await authorizer.create(step);
						else await authorizer.delete([{ ...EVERYTHING, resourceName: step }]);
						const acls = authorizer.list(EVERYTHING);
						for (const { principal, host, access } of asking) {
							for (const operation of operations) {
								for (const resourceName of ["a", "abcd", "c"]) {
									const asked = rule({ principal, host, operation, resourceName, resourceType });
									const expected = naively(acls, asked, allowEveryoneIfNoAclFound);
									// Twice: the second is remembered.
									expect(access.allows(operation, resourceType, resourceName)).toBe(expected);
									expect(access.allows(operation, resourceType, resourceName)).toBe(expected);
								}
							}
						}
					}
					expect(authorizer.accessOf("User:root", "").allows(write, TOPIC, "a")).toBe(true);
				},
			),
			{ seed, numRuns: 100 },
		));

	test("about any resource follow what is allowed somewhere and not denied there", async () => {
		const anyOf = async (...acls: Acl[]) => {
			const authorizer = await open();
			await authorizer.create(acls);
			return authorizer.accessOf("User:alice", "10.0.0.1").allowsAny(write, TOPIC);
		};
		const allow = (name: string, patternType: number = PATTERN_TYPE.literal) =>
			rule({ resourceName: name, patternType, operation: write });
		const deny = (name: string, patternType: number = PATTERN_TYPE.literal): Acl => ({
			...allow(name, patternType),
			permission: PERMISSION.deny,
		});
		const { prefixed } = PATTERN_TYPE;
		expect(await anyOf()).toBe(false);
		expect(await anyOf(allow("a"))).toBe(true);
		expect(await anyOf(rule())).toBe(false);
		expect(await anyOf(allow("a"), deny("a"))).toBe(false);
		expect(await anyOf(allow("ab"), deny("a", prefixed))).toBe(false);
		expect(await anyOf(allow("ab", prefixed), deny("a", prefixed))).toBe(false);
		expect(await anyOf(allow("a", prefixed), deny("ab", prefixed))).toBe(true);
		expect(await anyOf(allow("*"), deny("a", prefixed))).toBe(true);
		expect(await anyOf(allow("a"), deny("*"))).toBe(false);
	});
});

describe("answers", () => {
	test("are remembered by name, but not for names longer than any topic has", async () => {
		const authorizer = await open();
		const access = authorizer.accessOf("User:alice", "::1");
		const decide = vi.spyOn(authorizer, "decide");
		const longest = "a".repeat(LIMITS.topicNameCharactersMax);
		for (const name of ["orders", longest, `${longest}a`]) {
			access.allows(read, TOPIC, name);
			access.allows(read, TOPIC, name);
		}
		const asked = decide.mock.calls.map(([, , , name]) => name.length);
		expect(asked).toEqual([
			"orders".length,
			longest.length,
			longest.length + 1,
			longest.length + 1,
		]);
	});

	test("about any resource are remembered until the rules change", async () => {
		const authorizer = await open();
		const access = authorizer.accessOf("User:alice", "::1");
		const decideAny = vi.spyOn(authorizer, "decideAny");
		expect(access.allowsAny(write, TOPIC)).toBe(false);
		expect(access.allowsAny(write, TOPIC)).toBe(false);
		expect(access.allowsAny(read, TOPIC)).toBe(false);
		expect(decideAny).toHaveBeenCalledTimes(2);
		await authorizer.create([rule({ operation: write })]);
		expect(access.allowsAny(write, TOPIC)).toBe(true);
		expect(access.allowsAny(write, TOPIC)).toBe(true);
		expect(decideAny).toHaveBeenCalledTimes(3);
	});
});

describe("rules in the metadata store", () => {
	test("are there after a restart, once each, until they are deleted", async () => {
		const file = new MemoryMetadataFile();
		const first = await open(file);
		await first.create([rule(), rule({ operation: write }), rule()]);
		await first.create([rule()]);
		const second = await open(file);
		expect(second.list(EVERYTHING)).toHaveLength(2);
		expect(second.accessOf("User:alice", "::1").allows(describing, TOPIC, "orders")).toBe(true);
		const deleted = await second.delete([
			{ ...EVERYTHING, operation: read },
			{ ...EVERYTHING, patternType: PATTERN_TYPE.match, resourceName: "orders" },
		]);
		expect(deleted.map((acls) => acls.length)).toEqual([1, 2]);
		expect((await open(file)).list(EVERYTHING)).toEqual([]);
	});

	test("match filters as in Kafka", async () => {
		const authorizer = await open();
		const named = (resourceName: string, patternType: number) =>
			rule({ resourceName, patternType });
		const { literal, prefixed, match } = PATTERN_TYPE;
		await authorizer.create([
			named("orders", literal),
			named("*", literal),
			named("ord", prefixed),
			named("orders", prefixed),
		]);
		const count = (patternType: number, resourceName: string | null) =>
			authorizer.list({ ...EVERYTHING, patternType, resourceName }).length;
		expect(count(match, "orders")).toBe(4);
		expect(count(match, "order")).toBe(2);
		expect(count(ANY, "orders")).toBe(2);
		expect(count(literal, "orders")).toBe(1);
		expect(count(prefixed, null)).toBe(2);
	});

	test.each([
		["no name", { resourceName: "" }],
		["another cluster", { resourceType: RESOURCE_TYPE.cluster, resourceName: "mine" }],
		["any operation", { operation: ANY }],
		["a pattern of filters", { patternType: PATTERN_TYPE.match }],
		["no kind of principal", { principal: "alice" }],
		["no host", { host: "" }],
	])("are refused with %s", async (_, more) => {
		const authorizer = await open();
		expect(() => authorizer.create([rule(more)])).toThrow(/INVALID_REQUEST|request/);
		expect(authorizer.list(EVERYTHING)).toEqual([]);
	});

	test.each([
		["DATA_DAMAGED", 1],
		["DATA_DIRECTORY_NEWER", 2],
	])("that cannot be read keep the broker from starting: %s", async (code, format) => {
		const file = new MemoryMetadataFile();
		await file.metadataCommit(0, [{ key: "acls/x", value: encodeRecord(format, { name: "t" }) }]);
		await expect(open(file)).rejects.toMatchObject({ code });
	});
});
