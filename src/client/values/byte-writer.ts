/**
 * A growing buffer that records are written into, one element after the other.
 *
 * Where `FrameWriter` writes whole small frames, this writes the bodies of produce frames: it
 * begins behind room that is left for the frame's head, its length can be set back when a record is
 * refused, and its buffer goes to the socket as it is. Nothing is allocated for an element; the
 * buffer doubles when full.
 */

const ENCODER = new TextEncoder();

/**
 * Strings up to this length are written by a loop: below it the call into `encodeInto` costs more.
 */
const LOOP_CHARACTERS_MAX = 40;

/** Binary values up to this length are copied by a loop: `Uint8Array.set` costs more below it. */
const LOOP_BYTES_MAX = 24;

const TWO_TO_32 = 4_294_967_296;

const FLOAT = new Float64Array(1);
const FLOAT_BYTES = new Uint8Array(FLOAT.buffer);
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export class ByteWriter {
	/** The buffer; what is beyond `length` is meaningless. Replaced when it grows. */
	bytes: Uint8Array;
	/** Bytes written so far, or where the next one goes. */
	length: number;

	/** @param capacityBytes first size of the buffer; @param start where writing begins */
	constructor(capacityBytes: number, start = 0) {
		this.bytes = new Uint8Array(capacityBytes);
		this.length = start;
	}

	/** Makes room for `count` more bytes. */
	reserve(count: number): void {
		const needed = this.length + count;
		if (needed > this.bytes.length) {
			const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
			grown.set(this.bytes.subarray(0, this.length));
			this.bytes = grown;
		}
	}

	/** What was written from `start` on; a view, valid until more is written. */
	written(start = 0): Uint8Array {
		return this.bytes.subarray(start, this.length);
	}

	nil(): void {
		this.reserve(1);
		this.bytes[this.length++] = 0xc0;
	}

	boolean(value: boolean): void {
		this.reserve(1);
		this.bytes[this.length++] = value ? 0xc3 : 0xc2;
	}

	/** An integer within ±(2^53-1). */
	integer(value: number): void {
		this.reserve(9);
		if (value >= 0) {
			if (value < 0x80) this.bytes[this.length++] = value;
			else if (value < 0x100) this.#prefixed8(0xcc, value);
			else if (value < 0x10000) this.#prefixed16(0xcd, value);
			else if (value < TWO_TO_32) this.#prefixed32(0xce, value);
			else this.#prefixed64(0xcf, value);
		} else if (value >= -0x20) this.bytes[this.length++] = value & 0xff;
		else if (value >= -0x80) this.#prefixed8(0xd0, value & 0xff);
		else if (value >= -0x8000) this.#prefixed16(0xd1, value & 0xffff);
		else if (value >= -0x80000000) this.#prefixed32(0xd2, value >>> 0);
		else this.#prefixed64(0xd3, value);
	}

	float64(value: number): void {
		this.reserve(9);
		this.bytes[this.length++] = 0xcb;
		FLOAT[0] = value;
		for (let index = 0; index < 8; index++) {
			this.bytes[this.length++] = FLOAT_BYTES[LITTLE_ENDIAN ? 7 - index : index] as number;
		}
	}

	arrayHeader(count: number): void {
		this.reserve(5);
		if (count < 16) this.bytes[this.length++] = 0x90 | count;
		else if (count < 0x10000) this.#prefixed16(0xdc, count);
		else this.#prefixed32(0xdd, count);
	}

	mapHeader(count: number): void {
		this.reserve(5);
		if (count < 16) this.bytes[this.length++] = 0x80 | count;
		else if (count < 0x10000) this.#prefixed16(0xde, count);
		else this.#prefixed32(0xdf, count);
	}

	/** The header of a binary value whose `count` bytes the caller puts behind it. */
	binaryHeader(count: number): void {
		this.reserve(5);
		if (count < 0x100) this.#prefixed8(0xc4, count);
		else if (count < 0x10000) this.#prefixed16(0xc5, count);
		else this.#prefixed32(0xc6, count);
	}

	binary(value: Uint8Array): void {
		this.binaryHeader(value.length);
		this.raw(value);
	}

	/** Bytes as they are, without a header. */
	raw(value: Uint8Array): void {
		const count = value.length;
		this.reserve(count);
		if (count <= LOOP_BYTES_MAX) {
			for (let index = 0; index < count; index++) {
				this.bytes[this.length + index] = value[index] as number;
			}
		} else this.bytes.set(value, this.length);
		this.length += count;
	}

	/** A string as UTF-8. The caller has seen to it that it holds no lone surrogate. */
	string(value: string): void {
		const characters = value.length;
		this.reserve(5 + characters * 3);
		const start = this.length;
		if (characters <= LOOP_CHARACTERS_MAX && this.#asciiBehind(value, start, characters)) return;
		// The header's size depends on the byte count: guess from the character count, move if wrong.
		const guess = stringHeaderBytes(characters);
		const { written } = ENCODER.encodeInto(value, this.bytes.subarray(start + guess));
		const header = stringHeaderBytes(written);
		if (header !== guess) {
			this.bytes.copyWithin(start + header, start + guess, start + guess + written);
		}
		this.#stringHeader(written);
		this.length += written;
	}

	/** UTF-8 of a string without a header; returns its byte count. */
	text(value: string): number {
		const characters = value.length;
		this.reserve(characters * 3);
		if (characters <= LOOP_CHARACTERS_MAX) {
			let index = 0;
			for (; index < characters; index++) {
				const unit = value.charCodeAt(index);
				if (unit >= 0x80) break;
				this.bytes[this.length + index] = unit;
			}
			if (index === characters) {
				this.length += characters;
				return characters;
			}
		}
		const { written } = ENCODER.encodeInto(value, this.bytes.subarray(this.length));
		this.length += written;
		return written;
	}

	/** A MessagePack timestamp extension (type -1) of whole milliseconds since the Unix epoch. */
	timestamp(milliseconds: number): void {
		this.reserve(15);
		const seconds = Math.floor(milliseconds / 1000);
		const nanoseconds = (milliseconds - seconds * 1000) * 1_000_000;
		if (nanoseconds === 0 && seconds >= 0 && seconds < TWO_TO_32) {
			this.#prefixed8(0xd6, 0xff);
			this.#uint32(seconds);
		} else if (seconds >= 0 && seconds < 0x400000000) {
			this.#prefixed8(0xd7, 0xff);
			this.#uint32(((nanoseconds << 2) | Math.floor(seconds / TWO_TO_32)) >>> 0);
			this.#uint32(seconds % TWO_TO_32);
		} else {
			this.#prefixed16(0xc7, 0x0cff);
			this.#uint32(nanoseconds);
			this.#uint64(seconds);
		}
	}

	/**
	 * Writes a short ASCII string with its header; false, with nothing written, if it is not ASCII.
	 */
	#asciiBehind(value: string, start: number, characters: number): boolean {
		const header = characters < 32 ? 1 : 2;
		for (let index = 0; index < characters; index++) {
			const unit = value.charCodeAt(index);
			if (unit >= 0x80) return false;
			this.bytes[start + header + index] = unit;
		}
		this.#stringHeader(characters);
		this.length += characters;
		return true;
	}

	#stringHeader(count: number): void {
		if (count < 32) this.bytes[this.length++] = 0xa0 | count;
		else if (count < 0x100) this.#prefixed8(0xd9, count);
		else if (count < 0x10000) this.#prefixed16(0xda, count);
		else this.#prefixed32(0xdb, count);
	}

	#prefixed8(marker: number, value: number): void {
		this.bytes[this.length++] = marker;
		this.bytes[this.length++] = value;
	}

	#prefixed16(marker: number, value: number): void {
		this.bytes[this.length++] = marker;
		this.bytes[this.length++] = value >>> 8;
		this.bytes[this.length++] = value & 0xff;
	}

	#prefixed32(marker: number, value: number): void {
		this.bytes[this.length++] = marker;
		this.#uint32(value);
	}

	#prefixed64(marker: number, value: number): void {
		this.bytes[this.length++] = marker;
		this.#uint64(value);
	}

	#uint32(value: number): void {
		const bytes = this.bytes;
		bytes[this.length++] = value >>> 24;
		bytes[this.length++] = (value >>> 16) & 0xff;
		bytes[this.length++] = (value >>> 8) & 0xff;
		bytes[this.length++] = value & 0xff;
	}

	/** Two's complement of an integer within ±(2^53-1). */
	#uint64(value: number): void {
		const high = Math.floor(value / TWO_TO_32);
		this.#uint32(high >>> 0);
		this.#uint32((value - high * TWO_TO_32) >>> 0);
	}
}

/** Bytes of a MessagePack string's header. */
function stringHeaderBytes(count: number): number {
	if (count < 32) return 1;
	if (count < 0x100) return 2;
	return count < 0x10000 ? 3 : 5;
}
