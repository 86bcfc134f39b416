import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";

import { isKafkaSalt, saltLike } from "../../src/security/salts.ts";

/** As Kafka's tools make them: `new BigInteger(130, random).toString(36)`. */
function kafkaSalt(): Buffer {
	const number = BigInt(`0x${randomBytes(17).toString("hex")}`) >> 6n;
	return Buffer.from(number.toString(36));
}

test("Kafka's salts are told from others", () => {
	for (let count = 0; count < 1_000; count++) expect(isKafkaSalt(kafkaSalt())).toBe(true);
	const last = Buffer.from((2n ** 130n - 1n).toString(36));
	expect(isKafkaSalt(last)).toBe(true);
	const behind = Buffer.from((2n ** 130n).toString(36));
	for (const other of [randomBytes(25), behind, Buffer.alloc(27, "a"), Buffer.from("0abc")]) {
		expect(isKafkaSalt(other)).toBe(false);
	}
});

test.each([24, 25, 26])("salts like Kafka's of %i bytes are spread as Kafka's are", (bytes) => {
	const least = 36n ** BigInt(bytes - 1);
	const like = Buffer.from(least.toString(36));
	const made = Array.from({ length: 5_000 }, () => saltLike(like, randomBytes(64)));
	expect(made.every((salt) => salt.length === bytes && isKafkaSalt(salt))).toBe(true);
	const count = (places: number, place: number) => {
		const counts = new Map<string, number>();
		for (const salt of made) {
			const character = String.fromCharCode(salt[place] as number);
			counts.set(character, (counts.get(character) ?? 0) + 1);
		}
		expect(counts.size).toBe(places);
		// Further off than six times the deviation is no chance.
		const mean = made.length / places;
		for (const one of counts.values())
			expect(Math.abs(one - mean)).toBeLessThan(6 * Math.sqrt(mean));
	};
	count(bytes === 26 ? 1 : 35, 0);
	count(36, 12);
	count(36, bytes - 1);
});

test("a salt is the same for the same seed, of any length", () => {
	const seed = randomBytes(64);
	for (const like of [randomBytes(1), randomBytes(24), randomBytes(1_000), kafkaSalt()]) {
		const salt = saltLike(like, seed);
		expect(salt).toHaveLength(like.length);
		expect(saltLike(like, seed)).toEqual(salt);
	}
});
