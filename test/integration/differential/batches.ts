/** Batches to produce: made once, so that both brokers get the same bytes. */
import { gzipSync } from "node:zlib";

import { type Bomb, CODEC } from "../../decompression-bombs.ts";
import { type BatchLies, recordBatch, records } from "../../record-batch.ts";

const GZIP = CODEC.gzip;

const made = new Map<string, Uint8Array>();

/** The same bytes whenever the same is asked for. */
function once(key: unknown, make: () => Uint8Array): Uint8Array {
	const text = JSON.stringify(key);
	const before = made.get(text);
	if (before !== undefined) return before;
	const bytes = make();
	made.set(text, bytes);
	return bytes;
}

/** A batch of records without keys. */
export const batch = (values: readonly string[], lies: BatchLies = {}): Uint8Array =>
	once([values, lies], () =>
		recordBatch(
			values.map((value) => Buffer.from(value)),
			lies,
		),
	);

/** The same compressed, or whatever is to stand there instead. */
export const gzipBatch = (
	values: readonly string[],
	instead?: Uint8Array,
	lies: BatchLies = {},
): Uint8Array =>
	once(["gzip", values, instead, lies], () => {
		const bytes = values.map((value) => Buffer.from(value));
		const body = instead ?? gzipSync(records(bytes));
		return recordBatch(bytes, { ...lies, attributes: GZIP, body });
	});

/** A batch that says of itself that it has one record, and has what is hostile in its place. */
export const bombBatch = ({ codec, what, make }: Bomb): Uint8Array =>
	once([codec, what], () =>
		recordBatch([new Uint8Array(1)], { attributes: CODEC[codec], body: make() }),
	);

/** A batch of one record that is in order, and compresses well. */
export const expandingBatch = (expandedBytes: number): Uint8Array =>
	once(["expanding", expandedBytes], () => {
		const body = gzipSync(records([new Uint8Array(expandedBytes)]));
		return recordBatch([new Uint8Array(1)], { attributes: GZIP, body });
	});

/** A batch with a byte behind its last record. */
export const brokenBatch = (values: readonly string[]): Uint8Array =>
	once(["broken", values], () => {
		const bytes = values.map((value) => Buffer.from(value));
		return recordBatch(bytes, { body: Buffer.concat([records(bytes), Buffer.from([0])]) });
	});

/** A message set of format 1 with one message, as clients wrote before Kafka 0.11. */
export const oldMessage = (): Uint8Array =>
	once("old", () => {
		const message = Buffer.alloc(12 + 22 + 5);
		message.writeInt32BE(message.length - 12, 8);
		message.writeInt8(1, 16);
		// Where a batch of format 2 has its codec, this has that of zstd.
		message.writeBigInt64BE(0x018f_0400_0000n, 18);
		message.writeInt32BE(-1, 26);
		message.writeInt32BE(5, 30);
		message.write("value", 34);
		message.writeInt32BE(crc32(message.subarray(16)), 12);
		return message;
	});

function crc32(bytes: Uint8Array): number {
	let crc = -1;
	for (const byte of bytes) {
		crc ^= byte;
		for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
	}
	return ~crc;
}
