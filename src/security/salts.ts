/**
 * What salts of strangers look like: as those of users do, whoever has made these. Kafka's tools
 * write a random number of 130 bits to the base of 36, so that most have 25 characters, and those
 * of 26 begin with a 1.
 */
import { createHash } from "node:crypto";

const KAFKA_BASE = 36;
const KAFKA_END = 2n ** 130n;
const KAFKA_LAST = (KAFKA_END - 1n).toString(KAFKA_BASE);

/** Whether Kafka's tools could have made it; of random bytes hardly any looks so. */
export function isKafkaSalt(salt: Buffer): boolean {
	const text = salt.toString("latin1");
	if (!/^[1-9a-z][0-9a-z]*$/.test(text)) return false;
	// Of the same length, and digits come before letters: they sort as the numbers do.
	return (
		text.length < KAFKA_LAST.length || (text.length === KAFKA_LAST.length && text <= KAFKA_LAST)
	);
}

/** A salt as long as `like`, made in the same way: the same for the same 64 bytes of `seed`. */
export function saltLike(like: Buffer, seed: Buffer): Buffer {
	if (!isKafkaSalt(like)) {
		// It may be longer than a hash.
		const hash = createHash("shake256", { outputLength: like.length });
		return hash.update(seed).digest();
	}
	const least = BigInt(KAFKA_BASE) ** BigInt(like.length - 1);
	const behind = least * BigInt(KAFKA_BASE);
	const count = (behind < KAFKA_END ? behind : KAFKA_END) - least;
	// No number is preferred that could be told: 512 bits of chance for 130.
	const number = least + (BigInt(`0x${seed.toString("hex")}`) % count);
	return Buffer.from(number.toString(KAFKA_BASE), "latin1");
}
