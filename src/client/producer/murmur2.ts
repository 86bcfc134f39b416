const SEED = 0x9747b28c | 0;
const MULTIPLIER = 0x5bd1e995;

/** The 32-bit murmur2 of `bytes[start..end)`, as Kafka's clients compute it; a signed integer. */
export function murmur2(bytes: Uint8Array, start = 0, end = bytes.length): number {
	const length = end - start;
	let hash = SEED ^ length;
	const wholeEnd = start + (length & ~3);
	for (let index = start; index < wholeEnd; index += 4) {
		let word =
			(bytes[index] as number) |
			((bytes[index + 1] as number) << 8) |
			((bytes[index + 2] as number) << 16) |
			((bytes[index + 3] as number) << 24);
		word = Math.imul(word, MULTIPLIER);
		word ^= word >>> 24;
		hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER);
	}
	const rest = length & 3;
	if (rest === 3) hash ^= (bytes[wholeEnd + 2] as number) << 16;
	if (rest >= 2) hash ^= (bytes[wholeEnd + 1] as number) << 8;
	if (rest >= 1) hash = Math.imul(hash ^ (bytes[wholeEnd] as number), MULTIPLIER);
	hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER);
	return hash ^ (hash >>> 15);
}

/** The partition that Kafka's clients send a key of this hash to. */
export function partitionOfHash(hash: number, partitions: number): number {
	return (hash & 0x7fffffff) % partitions;
}
