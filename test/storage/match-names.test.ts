import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LIMITS } from "../../src/limits.ts";
import { Storage } from "../../src/storage/storage.ts";

describe("names that a pattern matches", () => {
	let storage: Storage;

	beforeAll(async () => {
		storage = await Storage.open({ dataDir: "/data", memory: true });
	});

	afterAll(() => storage.close());

	function matching(pattern: string, names: readonly string[]): string[] {
		const answers = storage.matchNames(pattern, names);
		expect(answers).toHaveLength(names.length);
		return names.filter((_name, index) => answers[index]);
	}

	it("are those that it matches as a whole", () => {
		const names = ["orders-eu", "orders-us", "eu-orders", "Orders-eu", "payments"];
		expect(matching("orders-.*", names)).toEqual(["orders-eu", "orders-us"]);
		expect(matching("(?i)orders-(eu|asia)", names)).toEqual(["orders-eu", "Orders-eu"]);
		expect(matching("orders", names)).toEqual([]);
		expect(matching(".*", [])).toEqual([]);
	});

	it("are found among as many as a broker may have", () => {
		const names = Array.from({ length: LIMITS.topicsMax }, (_, index) => `topic-${index}`);
		expect(matching(".*-1999\\d", names)).toEqual(names.slice(19_990));
	});

	it("may be of any characters but a line feed", () => {
		expect(matching("\\p{Greek}+", ["αβ", "", "ab"])).toEqual(["αβ"]);
		expect(() => storage.matchNames(".*", ["a\nb"])).toThrow(
			expect.objectContaining({ code: "INVALID_ARGUMENT" }),
		);
	});

	it.each([
		["orders-**", "invalid nested repetition operator: `**`"],
		["(orders", "missing closing ): `(orders`"],
		["(?=orders)", "invalid or unsupported Perl syntax: `(?=`"],
		["(a{1000}){1000}", "it compiles to more than 524288 bytes"],
	])("are none where the pattern is not one of RE2: %s", (pattern, reason) => {
		expect(() => storage.matchNames(pattern, [])).toThrow(
			expect.objectContaining({
				code: "INVALID_REGULAR_EXPRESSION",
				message: expect.stringContaining(reason),
			}),
		);
	});
});
