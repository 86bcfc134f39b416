/**
 * What a hostile producer sends in place of the records of a compressed batch: small bytes that
 * expand to gigabytes, and ones that lie about what they expand to. All are made by hand, as no
 * compressor makes them, and none is ever expanded here.
 */
import { constants, deflateRawSync, gzipSync } from "node:zlib";

/** Kafka's numbers of the codecs. */
export const CODEC = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;

const MEBIBYTE = 1_048_576;

/** The head of one record without key whose value never seems to end: all that follows is zeros. */
const RECORD_HEAD = Buffer.from([
	...[0xf8, 0xff, 0xff, 0xff, 0x0f], // its length: 2^31 - 4, zigzag
	...[0, 0, 0, 1], // attributes, deltas of timestamp and offset, no key
	...[0xe4, 0xff, 0xff, 0xff, 0x0f], // the length of its value: 2^31 - 14, zigzag
]);

/** A whole record of one byte, for what is to be honest. */
const RECORD = Buffer.from([14, 0, 0, 0, 1, 2, 120, 0]);

// gzip (RFC 1952 and 1951)

const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
/** The trailer of a member that holds nothing: its checksum and size. */
const GZIP_NOTHING = Buffer.concat([GZIP_HEADER, Buffer.from([3, 0]), Buffer.alloc(8)]);

/**
 * A member of zeros behind a record's head: what deflates to some kilobytes, flushed so that it
 * stands for itself, again and again. Its trailer does not fit: nobody gets there.
 */
export function gzipBomb(expandedBytes: number): Buffer {
	const step = 16 * MEBIBYTE;
	const flush = { finishFlush: constants.Z_FULL_FLUSH };
	const head = deflateRawSync(RECORD_HEAD, flush);
	const zeros = deflateRawSync(Buffer.alloc(step), flush);
	const steps = Array<Buffer>(Math.ceil(expandedBytes / step)).fill(zeros);
	return Buffer.concat([GZIP_HEADER, head, ...steps, Buffer.from([3, 0]), Buffer.alloc(8)]);
}

// Zstandard (RFC 8878)

const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** No checksum, no content size, and a window of 1 MiB. */
const ZSTD_PLAIN = Buffer.from([0x00, 10 << 3]);
/** A block regenerates at most this. */
const ZSTD_BLOCK_BYTES = 128 * 1_024;

function zstdBlock(type: 0 | 1, regenerated: number, content: Buffer, isLast = false): Buffer {
	const header = Buffer.alloc(3);
	header.writeUIntLE((regenerated << 3) | (type << 1) | (isLast ? 1 : 0), 0, 3);
	return Buffer.concat([header, content]);
}

/** A frame of one raw block and as many of "this byte again" as it takes: 4 bytes for 128 KiB. */
function zstdFrame(descriptor: Buffer, head: Buffer, expandedBytes: number): Buffer {
	const again = zstdBlock(1, ZSTD_BLOCK_BYTES, Buffer.alloc(1));
	const blocks = Array<Buffer>(Math.ceil(expandedBytes / ZSTD_BLOCK_BYTES)).fill(again);
	const end = zstdBlock(1, 1, Buffer.alloc(1), true);
	return Buffer.concat([ZSTD_MAGIC, descriptor, zstdBlock(0, head.length, head), ...blocks, end]);
}

/** A descriptor with a content size of 8 bytes: of a single segment, or with a window. */
function zstdSized(contentBytes: bigint, windowLog: number | null): Buffer {
	const size = Buffer.alloc(8);
	size.writeBigUInt64LE(contentBytes);
	const window = windowLog === null ? [] : [(windowLog - 10) << 3];
	return Buffer.concat([Buffer.from([windowLog === null ? 0xe0 : 0xc0, ...window]), size]);
}

// LZ4 frames

const LZ4_MAGIC = Buffer.from([0x04, 0x22, 0x4d, 0x18]);
/** Independent blocks of at most 4 MiB. */
const LZ4_PLAIN = Buffer.from([0x60, 0x70]);
const LZ4_BLOCK_BYTES = 4 * MEBIBYTE;

/** The descriptor behind its magic and before its check byte. */
function lz4Header(descriptor: Buffer): Buffer {
	const check = (xxHash32(descriptor) >>> 8) & 0xff;
	return Buffer.concat([LZ4_MAGIC, descriptor, Buffer.from([check])]);
}

/** XXH32 of less than 16 bytes, seed 0. */
function xxHash32(bytes: Buffer): number {
	const [prime1, prime2, prime3] = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d];
	const [prime4, prime5] = [0x27d4eb2f, 0x165667b1];
	const rotate = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits));
	let hash = (prime5 + bytes.length) | 0;
	let at = 0;
	for (; at + 4 <= bytes.length; at += 4) {
		hash = Math.imul(rotate((hash + Math.imul(bytes.readUInt32LE(at), prime3)) | 0, 17), prime4);
	}
	for (; at < bytes.length; at++) {
		hash = Math.imul(rotate((hash + Math.imul(bytes[at] as number, prime5)) | 0, 11), prime1);
	}
	hash = Math.imul(hash ^ (hash >>> 15), prime2);
	hash = Math.imul(hash ^ (hash >>> 13), prime3);
	return (hash ^ (hash >>> 16)) >>> 0;
}

/** Literals, then the last of them again, 255 times for each byte; 5 literals at the end. */
function lz4Block(literals: Buffer, expandedBytes: number): Buffer {
	const matched = expandedBytes - literals.length - 5;
	const extension = matched - 4 - 15;
	const lengths = Buffer.alloc(Math.floor(extension / 255) + 1, 255);
	lengths[lengths.length - 1] = extension % 255;
	const token = Buffer.from([(literals.length << 4) | 15]);
	const end = Buffer.from([0x50, 0, 0, 0, 0, 0]);
	const block = Buffer.concat([token, literals, Buffer.from([1, 0]), lengths, end]);
	const length = Buffer.alloc(4);
	length.writeUInt32LE(block.length);
	return Buffer.concat([length, block]);
}

function lz4Frame(descriptor: Buffer, expandedBytes: number): Buffer {
	const head = Buffer.concat([RECORD_HEAD.subarray(0, 13), Buffer.alloc(1)]);
	const first = lz4Block(head, LZ4_BLOCK_BYTES);
	const further = lz4Block(Buffer.alloc(1), LZ4_BLOCK_BYTES);
	const blocks = Array<Buffer>(Math.ceil(expandedBytes / LZ4_BLOCK_BYTES) - 1).fill(further);
	return Buffer.concat([lz4Header(descriptor), first, ...blocks, Buffer.alloc(4)]);
}

/** A descriptor that says what the frame holds. */
function lz4Sized(contentBytes: bigint): Buffer {
	const descriptor = Buffer.alloc(10);
	descriptor.set([0x68, 0x70]);
	descriptor.writeBigUInt64LE(contentBytes, 2);
	return descriptor;
}

// Snappy, bare and in the framing of snappy-java

const XERIAL = Buffer.from([0x82, ...Buffer.from("SNAPPY\0"), 0, 0, 0, 1, 0, 0, 0, 1]);

function snappyLength(bytes: number): Buffer {
	const varint: number[] = [];
	let rest = bytes;
	for (; rest >= 128; rest = Math.floor(rest / 128)) varint.push((rest % 128) | 128);
	return Buffer.from([...varint, rest]);
}

/** Literals, then their last byte again and again: 64 times for 3 bytes, all the format has. */
function snappyBlock(literals: Buffer, copies: number, statedBytes?: number): Buffer {
	const length = snappyLength(statedBytes ?? literals.length + 64 * copies);
	const copy = Buffer.from([(63 << 2) | 2, 1, 0]);
	const tag = Buffer.from([(literals.length - 1) << 2]);
	return Buffer.concat([length, tag, literals, ...Array<Buffer>(copies).fill(copy)]);
}

function xerial(...blocks: Buffer[]): Buffer {
	const framed = blocks.flatMap((block) => {
		const length = Buffer.alloc(4);
		length.writeUInt32BE(block.length);
		return [length, block];
	});
	return Buffer.concat([XERIAL, ...framed]);
}

const zeros = (bytes: number) => snappyBlock(Buffer.alloc(1), Math.ceil(bytes / 64));

/** A hostile records section. */
export interface Bomb {
	readonly codec: keyof typeof CODEC;
	readonly what: string;
	/** What is wrong: it expands too far, its codec does not take it, or there is no record. */
	readonly fault: "expands" | "damaged" | "empty";
	make(): Buffer;
}

const bomb = (
	codec: keyof typeof CODEC,
	what: string,
	fault: Bomb["fault"],
	make: () => Buffer,
): Bomb => ({ codec, what, fault, make });

const HEAD = RECORD_HEAD;
const GIBIBYTE = 1_024 * MEBIBYTE;

/** All fit into a batch of 8 MiB. */
export const BOMBS: readonly Bomb[] = [
	bomb("gzip", "4 GiB of zeros in one member", "expands", () => gzipBomb(4 * GIBIBYTE)),
	bomb("gzip", "members one behind the other, of 1 GiB", "expands", () =>
		Buffer.concat([gzipBomb(GIBIBYTE), gzipBomb(GIBIBYTE)]),
	),
	bomb("gzip", "100,000 members of nothing", "empty", () =>
		Buffer.concat(Array<Buffer>(100_000).fill(GZIP_NOTHING)),
	),
	bomb("zstd", "64 GiB of zeros in one frame", "expands", () =>
		zstdFrame(ZSTD_PLAIN, HEAD, 64 * GIBIBYTE),
	),
	bomb("zstd", "a window of 128 MiB, and 1 GiB of zeros", "expands", () =>
		zstdFrame(Buffer.from([0x00, 17 << 3]), HEAD, GIBIBYTE),
	),
	bomb("zstd", "a window of 2 TiB", "damaged", () =>
		zstdFrame(Buffer.from([0x00, 31 << 3]), HEAD, GIBIBYTE),
	),
	bomb("zstd", "a frame that says it holds 2^63 bytes at once", "damaged", () =>
		zstdFrame(zstdSized(2n ** 63n, null), HEAD, MEBIBYTE),
	),
	bomb("zstd", "a frame that says it holds 8 bytes, of 1 GiB", "damaged", () =>
		zstdFrame(zstdSized(8n, 20), HEAD, GIBIBYTE),
	),
	bomb("zstd", "a frame that says it holds 4 GiB, of one record", "damaged", () =>
		zstdFrame(zstdSized(2n ** 32n, 20), RECORD, 0),
	),
	bomb("zstd", "frames one behind the other, of 1 MiB each", "expands", () => {
		const first = zstdFrame(ZSTD_PLAIN, HEAD, MEBIBYTE);
		const next = zstdFrame(ZSTD_PLAIN, Buffer.alloc(1), MEBIBYTE);
		return Buffer.concat([first, ...Array<Buffer>(2_048).fill(next)]);
	}),
	bomb("zstd", "100,000 frames of nothing", "empty", () => {
		const nothing = Buffer.concat([ZSTD_MAGIC, ZSTD_PLAIN, Buffer.from([1, 0, 0])]);
		return Buffer.concat(Array<Buffer>(100_000).fill(nothing));
	}),
	bomb("lz4", "1.75 GiB of zeros in one frame", "expands", () =>
		lz4Frame(LZ4_PLAIN, 1.75 * GIBIBYTE),
	),
	bomb("lz4", "a frame that says it holds 2^62 bytes", "expands", () =>
		lz4Frame(lz4Sized(2n ** 62n), GIBIBYTE),
	),
	bomb("lz4", "a block that says it has 2 GiB less one", "damaged", () =>
		Buffer.concat([lz4Header(LZ4_PLAIN), Buffer.from([0xff, 0xff, 0xff, 0x7f, 0])]),
	),
	bomb("snappy", "128 MiB of zeros in a bare block", "expands", () => zeros(128 * MEBIBYTE)),
	bomb("snappy", "a bare block that says it holds 4 GiB less one", "damaged", () =>
		snappyBlock(HEAD, 1, 2 ** 32 - 1),
	),
	bomb("snappy", "128 MiB of zeros in framed blocks of 1 MiB", "expands", () =>
		xerial(snappyBlock(HEAD, 16_384), ...Array<Buffer>(127).fill(zeros(MEBIBYTE))),
	),
	bomb("snappy", "framed blocks that say they hold 4 GiB less one", "damaged", () =>
		xerial(...Array<Buffer>(100).fill(snappyBlock(HEAD, 1, 2 ** 32 - 1))),
	),
	bomb("snappy", "a framed block that says it has 4 GiB less one", "damaged", () =>
		Buffer.concat([XERIAL, Buffer.alloc(4, 0xff), snappyBlock(HEAD, 1)]),
	),
];

/** Sections as small as can be that are in order: what is hostile above is not their format. */
export const HARMLESS: Readonly<Record<keyof typeof CODEC, () => Buffer>> = {
	gzip: () => gzipSync(RECORD),
	zstd: () => Buffer.concat([ZSTD_MAGIC, ZSTD_PLAIN, zstdBlock(0, RECORD.length, RECORD, true)]),
	lz4: () => {
		const size = Buffer.alloc(4);
		// The highest bit: it is not compressed.
		size.writeUInt32LE(0x80000000 + RECORD.length);
		return Buffer.concat([lz4Header(LZ4_PLAIN), size, RECORD, Buffer.alloc(4)]);
	},
	snappy: () => xerial(snappyBlock(RECORD, 0)),
};
