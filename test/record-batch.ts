/**
 * Record batches of Kafka's format v2, made by hand: whole ones, and ones whose header lies, with a
 * checksum that fits what it says all the same.
 */

/** What may be said differently from what is. */
export interface BatchLies {
	/** The offset of the first record, which the broker assigns. */
	baseOffset?: number;
	/** The batch length field. */
	length?: number;
	magic?: number;
	/** Codec and flags. */
	attributes?: number;
	lastOffsetDelta?: number;
	/** Who numbered the records, and the number of the first; nobody did otherwise. */
	producer?: { id: number; epoch: number; sequence: number };
	/** The number of records. */
	count?: number;
	/** When its records were made, in milliseconds; now otherwise. */
	timestampMs?: number;
	/** Instead of the records as they are. */
	body?: Uint8Array;
	/** Added to the checksum. */
	checksumError?: number;
}

const HEADER_BYTES = 61;
/** Bytes ahead of what the length field counts. */
const LENGTH_END = 12;
/** Where the part begins that the checksum covers. */
const CHECKED_START = 21;

/** A batch of records with these values, without keys. */
export function recordBatch(values: readonly Uint8Array[], lies: BatchLies = {}): Uint8Array {
	const body = lies.body ?? records(values);
	const batch = Buffer.alloc(HEADER_BYTES + body.length);
	const timestamp = BigInt(lies.timestampMs ?? Date.now());
	batch.writeBigInt64BE(BigInt(lies.baseOffset ?? 0), 0);
	batch.writeInt32BE(lies.length ?? batch.length - LENGTH_END, 8);
	batch.writeInt32BE(-1, 12);
	batch.writeInt8(lies.magic ?? 2, 16);
	batch.writeInt16BE(lies.attributes ?? 0, 21);
	batch.writeInt32BE(lies.lastOffsetDelta ?? values.length - 1, 23);
	batch.writeBigInt64BE(timestamp, 27);
	batch.writeBigInt64BE(timestamp, 35);
	batch.writeBigInt64BE(BigInt(lies.producer?.id ?? -1), 43);
	batch.writeInt16BE(lies.producer?.epoch ?? -1, 51);
	batch.writeInt32BE(lies.producer?.sequence ?? -1, 53);
	batch.writeInt32BE(lies.count ?? values.length, 57);
	batch.set(body, HEADER_BYTES);
	const checksum = crc32c(batch.subarray(CHECKED_START)) + (lies.checksumError ?? 0);
	batch.writeUInt32BE(checksum % 2 ** 32, 17);
	return batch;
}

/**
 * The records one behind the other, each behind its length; `deltas` instead of 0, 1, 2, ...;
 * `keys`, where they have some. A value of null is a tombstone.
 */
export function records(
	values: readonly (Uint8Array | null)[],
	deltas?: readonly number[],
	keys?: readonly Uint8Array[],
): Buffer {
	const parts = values.flatMap((value, index) => {
		const parts = [
			Buffer.from([0, ...varint(0), ...varint(deltas?.[index] ?? index)]),
			...prefixed(keys?.[index] ?? null),
			...prefixed(value),
			Buffer.from([0]),
		];
		const length = parts.reduce((sum, part) => sum + part.length, 0);
		return [Buffer.from(varint(length)), ...parts];
	});
	return Buffer.concat(parts);
}

/** Bytes behind their length, which is -1 for none. */
function prefixed(bytes: Uint8Array | null): Uint8Array[] {
	return bytes === null ? [Buffer.from(varint(-1))] : [Buffer.from(varint(bytes.length)), bytes];
}

/** Zigzag, seven bits a byte. */
function varint(value: number): number[] {
	const bytes: number[] = [];
	let rest = value < 0 ? -2 * value - 1 : 2 * value;
	for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
	return [...bytes, rest];
}

function crc32c(bytes: Uint8Array): number {
	let crc = 0xffffffff;
	for (const byte of bytes) {
		crc ^= byte;
		for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
	}
	return ~crc >>> 0;
}
