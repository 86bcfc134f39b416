/** Numbers that look random and are the same for the same seed, and what they do to bytes. */

/** A whole number from 0 on, below a bound of up to 2^32. */
export type Below = (bound: number) => number;

/** The same numbers for the same seed (xorshift). */
export function numbersOf(seed: number): Below {
	let state = (seed * 2_654_435_761) | 1;
	return (bound) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % bound;
	};
}

/** One of the elements of a list that has some. */
export function oneOf<Element>(elements: readonly Element[], below: Below): Element {
	return elements[below(elements.length)] as Element;
}

/** Numbers at which lengths, counts and markers go wrong. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff];

const DAMAGES: readonly ((bytes: Buffer, below: Below) => Buffer)[] = [
	(bytes, below) => bytes.subarray(0, below(bytes.length + 1)),
	(bytes, below) => Buffer.concat([bytes, Buffer.alloc(below(9), below(256))]),
	(bytes, below) => {
		for (let left = 1 + below(4); left > 0; left--) bytes[below(bytes.length)] = below(256);
		return bytes;
	},
	(bytes, below) => {
		const at = below(bytes.length);
		bytes[at] = (bytes[at] as number) ^ (1 << below(8));
		return bytes;
	},
	(bytes, below) => {
		if (bytes.length >= 4) bytes.writeUInt32BE(oneOf(EDGES, below), below(bytes.length - 3));
		return bytes;
	},
	(bytes, below) => {
		// A varint of five bytes, as large as it can be.
		bytes
			.fill(0xff, below(bytes.length + 1))
			.subarray(-1)
			.fill(0x0f);
		return bytes;
	},
	(bytes, below) => {
		const at = below(bytes.length + 1);
		return Buffer.concat([
			bytes.subarray(0, at),
			Buffer.alloc(1 + below(5), below(256)),
			bytes.subarray(at),
		]);
	},
	(bytes, below) => {
		for (let at = 0; at < bytes.length; at++) bytes[at] = below(256);
		return bytes;
	},
];

/** The bytes, of which there are some, damaged in one way or the other; they may be changed. */
export function damaged(bytes: Buffer, below: Below): Buffer {
	return oneOf(DAMAGES, below)(bytes, below);
}
