/** The records that are sent, and the proof that exactly those came back. */
import { createHash } from "node:crypto";

/**
 * Record `n` has value `n` modulo this: as many values as make neighbours differ and are cheap to
 * keep.
 */
export const DISTINCT_VALUES = 4_096;
const OFFSET_BYTES = 8;
const STAGING_BYTES = 262_144;

/**
 * Values of one size. They look like log lines, half of each random, so that compression is neither
 * free nor useless; record `n` has value `n` modulo their number.
 */
export class Payload {
	static readonly distinctValues = DISTINCT_VALUES;
	readonly recordBytes: number;
	readonly #values: readonly Uint8Array[];

	constructor(recordBytes: number) {
		this.recordBytes = recordBytes;
		let state = 0x9e3779b9;
		this.#values = Array.from({ length: DISTINCT_VALUES }, (_, number) => {
			const text = `{"number":${number},"service":"orders","level":"info","text":"`;
			const value = new Uint8Array(Buffer.from(text.padEnd(recordBytes, "order ")));
			for (let index = value.length >> 1; index < value.length; index += 1) {
				state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
				value[index] = 48 + (state >>> 27);
			}
			return value.slice(0, recordBytes);
		});
	}

	value(number: number): Uint8Array {
		return this.#values[number % DISTINCT_VALUES] as Uint8Array;
	}

	/** The hash of `count` records of a partition, from `first` on. */
	hash(count: number, first = 0): string {
		const hash = new RecordHash();
		for (let number = first; number < first + count; number += 1) {
			hash.add(number, this.value(number));
		}
		return hash.digest();
	}
}

/** SHA-256 of offsets and values; many small pieces are handed over as few large ones. */
export class RecordHash {
	readonly #hash = createHash("sha256");
	readonly #staging = new Uint8Array(STAGING_BYTES);
	readonly #view = new DataView(this.#staging.buffer);
	#length = 0;
	count = 0;

	add(offset: number, value: Uint8Array): void {
		if (this.#length + OFFSET_BYTES + value.length > STAGING_BYTES) this.#drain();
		this.#view.setFloat64(this.#length, offset);
		this.#staging.set(value, this.#length + OFFSET_BYTES);
		this.#length += OFFSET_BYTES + value.length;
		this.count += 1;
	}

	digest(): string {
		this.#drain();
		return this.#hash.digest("hex");
	}

	#drain(): void {
		this.#hash.update(this.#staging.subarray(0, this.#length));
		this.#length = 0;
	}
}
