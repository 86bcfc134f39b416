import { describe, expect, onTestFinished, test, vi } from "vitest";

import type { MillraceError } from "../../src/errors.ts";
import { LIMITS } from "../../src/limits.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { credentialOf, type ScramMechanism } from "../../src/security/scram-credential.ts";
import { Users } from "../../src/security/users.ts";
import { MemoryMetadataFile } from "../metadata/memory-metadata-file.ts";

const openUsers = async (file: MemoryMetadataFile) =>
	Users.open(await MetadataWriter.open(new EmbeddedMetadataStore(file)));

describe("users", () => {
	test("are there again after a restart, and their passwords are nowhere", async () => {
		const file = new MemoryMetadataFile();
		const users = await openUsers(file);
		await users.setPassword("alice", "open sesame");
		await users.setPassword("bob", "builder");
		expect(await users.remove("bob")).toBe(true);
		expect(await users.remove("bob")).toBe(false);
		const again = await openUsers(file);
		expect(again.list()).toEqual(["alice"]);
		expect(await again.checkPassword("alice", "open sesame")).toBe("User:alice");
		const stored = [...file.entries].map(([key, value]) => key + Buffer.from(value).toString());
		expect(stored.join()).not.toContain("open sesame");
	});

	test("are deleted once, by whoever comes first, with all that was set before", async () => {
		const users = await openUsers(new MemoryMetadataFile());
		const credential = users.challenge("nobody", "SCRAM-SHA-512").credential;
		const set = (mechanism: ScramMechanism) =>
			users.alter(() => [{ name: "alice", mechanism, credential }]);
		await set("SCRAM-SHA-256");
		const [, ...removed] = await Promise.all([
			set("SCRAM-SHA-512"),
			users.remove("alice"),
			users.remove("alice"),
		]);
		expect(removed).toEqual([true, false]);
		expect(users.list()).toEqual([]);
		expect(users.challenge("alice", "SCRAM-SHA-512").isDecoy).toBe(true);
	});

	test("are listed in order page by page, and sorted once however they come and go", async () => {
		const file = new MemoryMetadataFile();
		const users = await openUsers(file);
		const { credential } = users.challenge("nobody", "SCRAM-SHA-256");
		const add = (names: string[]) =>
			users.alter(() => names.map((name) => ({ name, mechanism: "SCRAM-SHA-256", credential })));
		const names = Array.from({ length: 2_000 }, (_, index) => `user ${(index * 7) % 2_000}`);
		await add(names);
		const expected = new Set(names);
		const sort = vi.spyOn(Array.prototype, "sort");
		onTestFinished(() => sort.mockRestore());
		const listed: string[] = [];
		let last = "";
		for (let isMore = true; isMore; ) {
			const page = users.page(last, 150);
			listed.push(...page.names);
			last = page.names.at(-1) ?? "";
			isMore = page.isMore;
			// Before what was listed and again, so that no page has them.
			await add(["a", `b ${listed.length}`]);
			expect(await users.remove("a")).toBe(true);
			expected.add(`b ${listed.length}`);
		}
		const long = sort.mock.contexts.filter((sorted) => (sorted as unknown[]).length > 1_000);
		expect(long).toHaveLength(1);
		sort.mockRestore();
		expect(listed).toEqual([...names].sort());
		expect(users.list()).toEqual([...expected].sort());
		expect((await openUsers(file)).list()).toEqual(users.list());
		expect(users.page("b 150", 1)).toEqual({ names: ["b 1500"], isMore: true });
		expect(users.page("b 1500a", 1)).toEqual({ names: ["b 1650"], isMore: true });
		expect(users.page("user 999", 10)).toEqual({ names: [], isMore: false });
	});

	test("that are damaged are refused", async () => {
		const file = new MemoryMetadataFile();
		await (await openUsers(file)).setPassword("alice", "a");
		const text = Buffer.from(file.entries.get("users/alice") as Uint8Array).toString();
		file.entries.set("users/alice", Buffer.from(text.replace("stored_key", "stored")));
		await expect(openUsers(file)).rejects.toMatchObject({ code: "DATA_DAMAGED" });
	});

	test("that fail to be stored are not there", async () => {
		const file = new MemoryMetadataFile();
		const users = await openUsers(file);
		file.failNextCommit = "before";
		await expect(users.setPassword("alice", "a")).rejects.toMatchObject({
			code: "KAFKA_STORAGE_ERROR",
		});
		expect(users.list()).toEqual([]);
	});

	test("are told from strangers by nothing but the right password", async () => {
		const users = await openUsers(new MemoryMetadataFile());
		await users.setPassword("alice", "a");
		const refusal = async (name: string) =>
			users.checkPassword(name, "wrong").catch((error: Error) => error.message);
		expect(await refusal("alice")).toBe(await refusal("nobody"));
		for (const mechanism of ["SCRAM-SHA-256", "SCRAM-SHA-512"] as const) {
			const [own, decoy] = ["alice", "nobody"].map((name) => users.challenge(name, mechanism));
			expect(decoy?.isDecoy).toBe(true);
			// As much is hashed for one as for the other.
			expect(decoy?.credential.iterations).toBe(own?.credential.iterations);
			for (const key of ["salt", "storedKey", "serverKey"] as const) {
				expect(decoy?.credential[key].length).toBe(own?.credential[key].length);
			}
			expect(users.challenge("nobody", mechanism)).toEqual(decoy);
			expect(users.challenge("somebody", mechanism)).not.toEqual(decoy);
		}
	});
});

describe("many passwords at once", () => {
	test("wait for their turn, and what is too much is refused for now", async () => {
		const users = await openUsers(new MemoryMetadataFile());
		await users.setPassword("alice", "a");
		const most = LIMITS.passwordsHashedMax + LIMITS.loginsWaitingMax;
		const told = await Promise.all(
			Array.from({ length: most + 10 }, () =>
				users.checkPassword("alice", "a").catch(({ code }: MillraceError) => code),
			),
		);
		const [served, refused] = [told.slice(0, most), told.slice(most)];
		expect(new Set(served)).toEqual(new Set(["User:alice"]));
		expect(new Set(refused)).toEqual(new Set(["THROTTLING_QUOTA_EXCEEDED"]));
	});

	test("are hashed for nobody who has left, or has waited for long enough", async () => {
		const users = await openUsers(new MemoryMetadataFile());
		await users.setPassword("alice", "a");
		const served = Array.from({ length: LIMITS.passwordsHashedMax }, () =>
			users.checkPassword("alice", "a"),
		);
		const waits = [{ left: AbortSignal.abort() }, { untilMs: 0 }];
		const refused = await Promise.allSettled(
			waits.map((wait) => users.checkPassword("alice", "a", wait)),
		);
		expect(refused).toMatchObject([
			{ reason: { code: "CONNECTION_LOST" } },
			{ reason: { code: "THROTTLING_QUOTA_EXCEEDED" } },
		]);
		expect(new Set(await Promise.all(served))).toEqual(new Set(["User:alice"]));
	});

	test("are dropped when the broker stops", async () => {
		const users = await openUsers(new MemoryMetadataFile());
		await users.setPassword("alice", "a");
		const logins = Array.from({ length: 10 }, () =>
			users.checkPassword("alice", "a").catch(({ code }: MillraceError) => code),
		);
		users.close();
		const told = await Promise.all(logins);
		const served = told.filter((each) => each === "User:alice");
		expect(served).toHaveLength(LIMITS.passwordsHashedMax);
		expect(new Set(told)).toEqual(new Set(["User:alice", "SHUTTING_DOWN"]));
		await expect(users.setPassword("bob", "b")).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
	});
});

describe("strangers", () => {
	const MECHANISM = "SCRAM-SHA-256";

	/** Users of two kinds, as two tools make them. */
	async function twoKinds() {
		const users = await openUsers(new MemoryMetadataFile());
		const add = (name: string, iterations: number, saltBytes: number) => {
			const salted = Buffer.alloc(32, name);
			const salt = Buffer.alloc(saltBytes, name);
			const credential = credentialOf(MECHANISM, salt, iterations, salted);
			return users.alter(() => [{ name, mechanism: MECHANISM, credential }]);
		};
		for (let index = 0; index < 50; index++) {
			await add(`user ${index}`, 8_192, 16);
			await add(`other ${index}`, 4_096, 100);
		}
		const kindsOf = (mechanism: ScramMechanism) =>
			Array.from({ length: 1_000 }, (_, index) => {
				const { credential } = users.challenge(`stranger ${index}`, mechanism);
				return `${credential.iterations} ${credential.salt.length}`;
			});
		return { users, add, kindsOf };
	}

	test("are hashed as users are, in the same proportion", async () => {
		const { kindsOf } = await twoKinds();
		for (const mechanism of [MECHANISM, "SCRAM-SHA-512"] as const) {
			const kinds = kindsOf(mechanism);
			expect(new Set(kinds)).toEqual(new Set(["8192 16", "4096 100"]));
			const share = kinds.filter((kind) => kind === "8192 16").length / kinds.length;
			expect(Math.abs(share - 0.5)).toBeLessThan(0.12);
		}
	});

	test("have salts of the make that users have", async () => {
		const users = await openUsers(new MemoryMetadataFile());
		const text = "1k9x3v0f8qj2m5n7b4c6z8l1pa";
		for (const salt of [text, text.slice(1)].map((each) => Buffer.from(each))) {
			const credential = credentialOf(MECHANISM, salt, 4_096, Buffer.alloc(32));
			const change = { name: `user of ${salt.length}`, mechanism: MECHANISM, credential } as const;
			await users.alter(() => [change]);
		}
		for (const mechanism of [MECHANISM, "SCRAM-SHA-512"] as const) {
			const salts = Array.from({ length: 200 }, (_, index) =>
				users.challenge(`stranger ${index}`, mechanism).credential.salt.toString("latin1"),
			);
			expect(new Set(salts).size).toBe(200);
			expect(new Set(salts.map(({ length }) => length))).toEqual(new Set([25, 26]));
			for (const salt of salts) expect(salt).toMatch(/^(1[0-9a-o]|[1-9a-z])[0-9a-z]{24}$/);
		}
		await users.setPassword("own", "a");
		await users.remove("user of 25");
		await users.remove("user of 26");
		const { salt } = users.challenge("stranger", MECHANISM).credential;
		expect(salt.toString("latin1")).not.toMatch(/^[0-9a-z]+$/);
	});

	test("whose names nobody can have cost no more for their length", async () => {
		const { users } = await twoKinds();
		const longest = "x".repeat(LIMITS.userNameBytesMax);
		const saltOf = (name: string) => users.challenge(name, MECHANISM).credential.salt;
		// As for any other two strangers.
		expect(saltOf(longest)).not.toEqual(saltOf(`${longest}y`));
		// What comes behind is not looked at.
		expect(saltOf(`${longest}y1`)).toEqual(saltOf(`${longest}y2`));
	});

	test("stay as they are while users come and go", async () => {
		const { users, add, kindsOf } = await twoKinds();
		const before = kindsOf(MECHANISM);
		await add("one more", 8_192, 16);
		await users.remove("user 1");
		await users.remove("other 1");
		const changed = kindsOf(MECHANISM).filter((kind, index) => kind !== before[index]);
		expect(changed.length).toBeLessThan(100);
	});

	test("are no more like users who are gone", async () => {
		const { users, kindsOf } = await twoKinds();
		for (let index = 0; index < 50; index++) await users.remove(`user ${index}`);
		expect(new Set(kindsOf(MECHANISM))).toEqual(new Set(["4096 100"]));
	});

	test("are like a user who has another mechanism's credential", async () => {
		const { users } = await twoKinds();
		const { credential, isDecoy } = users.challenge("user 1", "SCRAM-SHA-512");
		expect(isDecoy).toBe(true);
		expect([credential.iterations, credential.salt.length]).toEqual([8_192, 16]);
	});
});
