import { FrameError } from "../../protocol/reader.ts";

/**
 * A position in a delivery or a stored value, and the reads that move it on.
 *
 * Where `FrameReader` reads the envelopes of frames, this reads what is in them: records at
 * millions a second, and values with the timestamp extension and deep nesting, which envelopes do
 * not have. Every length is checked against the end before it is used; what is not understood
 * throws FrameError.
 */

const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/** Strings up to this many bytes are put together by a loop: the call into `decode` costs more. */
const LOOP_BYTES_MAX = 24;

/** Arrays and maps inside each other, in a value. */
export const VALUE_NESTING_MAX = 512;

/** Keys that were read lately, by a hash of their bytes. */
const KEYS_KEPT = 509;
const KEYS: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(
	KEYS_KEPT,
).fill(undefined);

const TWO_TO_32 = 4_294_967_296;

const FLOAT_VIEW = new DataView(new ArrayBuffer(8));

/**
 * Bytes behind the marker of fixed-width elements 0xca to 0xd8 (floats, integers, fixed
 * extensions).
 */
const FIXED_BYTES = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17];

export class ByteReader {
	bytes: Uint8Array;
	/** Where the next element begins. */
	position: number;
	/** Where the message ends. */
	end: number;

	constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
		this.bytes = bytes;
		this.position = position;
		this.end = end;
	}

	/** Looks at another message, or another part of one. */
	reset(bytes: Uint8Array, position = 0, end = bytes.length): void {
		this.bytes = bytes;
		this.position = position;
		this.end = end;
	}

	/** Whether the next element is nil; passes over it if so. */
	isNil(): boolean {
		if (this.position < this.end && this.bytes[this.position] === 0xc0) {
			this.position++;
			return true;
		}
		return false;
	}

	/** An integer within ±(2^53-1), or a float that holds one: JavaScript encoders write such. */
	integer(): number {
		const marker = this.#byte();
		if (marker < 0x80) return marker;
		if (marker >= 0xe0) return marker - 0x100;
		return this.#safe(this.#number(marker) as number);
	}

	/** The number of elements of the array that begins here. */
	arrayHeader(): number {
		const marker = this.#byte();
		let count: number;
		if ((marker & 0xf0) === 0x90) count = marker & 0x0f;
		else if (marker === 0xdc) count = this.#uint16();
		else if (marker === 0xdd) count = this.#uint32();
		else throw this.#malformed(`an array was expected, not marker ${marker}`);
		// An element takes at least a byte: a count beyond that is a lie, and must not be allocated.
		if (count > this.end - this.position)
			throw this.#malformed("an array is longer than its message");
		return count;
	}

	/**
	 * The length of the binary value that begins here, or -1 for nil; the position is then at its
	 * bytes.
	 */
	binaryHeader(): number {
		const marker = this.#byte();
		if (marker === 0xc0) return -1;
		if (marker < 0xc4 || marker > 0xc6) {
			throw this.#malformed(`a binary value or nil was expected, not marker ${marker}`);
		}
		const count =
			marker === 0xc4 ? this.#byte() : marker === 0xc5 ? this.#uint16() : this.#uint32();
		if (count > this.end - this.position)
			throw this.#malformed("a binary value exceeds its message");
		return count;
	}

	/** A binary value, as a view of the message, or null. */
	binary(): Uint8Array | null {
		const count = this.binaryHeader();
		return count < 0 ? null : this.#take(count);
	}

	string(): string {
		const value = this.value(0);
		if (typeof value === "string") return value;
		throw this.#malformed("a string was expected");
	}

	/** Passes over the next element, whatever it is; loops instead of recursing. */
	skip(): void {
		for (let remaining = 1; remaining > 0; remaining--) {
			const marker = this.#byte();
			if (marker < 0x80 || marker >= 0xe0) continue;
			if (marker < 0x90) remaining += (marker & 0x0f) * 2;
			else if (marker < 0xa0) remaining += marker & 0x0f;
			else if (marker < 0xc0) this.#advance(marker & 0x1f);
			else if (marker >= 0xca && marker <= 0xd8) {
				this.#advance(FIXED_BYTES[marker - 0xca] as number);
			} else remaining += this.#skipSized(marker);
		}
	}

	/** The next element as a JavaScript value. Binary values are views of the message. */
	value(nesting: number): unknown {
		const marker = this.#byte();
		if (marker < 0x80) return marker;
		if (marker >= 0xe0) return marker - 0x100;
		if (marker < 0x90) return this.#map(marker & 0x0f, nesting);
		if (marker < 0xa0) return this.#array(marker & 0x0f, nesting);
		if (marker < 0xc0) return this.#text(marker & 0x1f);
		switch (marker) {
			case 0xc0:
				return null;
			case 0xc2:
				return false;
			case 0xc3:
				return true;
			case 0xc4:
				return this.#take(this.#byte());
			case 0xc5:
				return this.#take(this.#uint16());
			case 0xc6:
				return this.#take(this.#uint32());
			case 0xd9:
				return this.#text(this.#byte());
			case 0xda:
				return this.#text(this.#uint16());
			case 0xdb:
				return this.#text(this.#uint32());
			case 0xdc:
				return this.#array(this.#uint16(), nesting);
			case 0xdd:
				return this.#array(this.#uint32(), nesting);
			case 0xde:
				return this.#map(this.#uint16(), nesting);
			case 0xdf:
				return this.#map(this.#uint32(), nesting);
			default:
				return this.#number(marker);
		}
	}

	#number(marker: number): unknown {
		switch (marker) {
			case 0xca:
				FLOAT_VIEW.setUint32(0, this.#uint32());
				return FLOAT_VIEW.getFloat32(0);
			case 0xcb:
				FLOAT_VIEW.setUint32(0, this.#uint32());
				FLOAT_VIEW.setUint32(4, this.#uint32());
				return FLOAT_VIEW.getFloat64(0);
			case 0xcc:
				return this.#byte();
			case 0xcd:
				return this.#uint16();
			case 0xce:
				return this.#uint32();
			// Other writers' 64-bit integers become the nearest number, as JSON.parse has it.
			case 0xcf:
				return this.#uint32() * TWO_TO_32 + this.#uint32();
			case 0xd0:
				return (this.#byte() << 24) >> 24;
			case 0xd1:
				return (this.#uint16() << 16) >> 16;
			case 0xd2:
				return this.#uint32() | 0;
			case 0xd3:
				return (this.#uint32() | 0) * TWO_TO_32 + this.#uint32();
			default:
				return this.#timestamp(marker);
		}
	}

	#timestamp(marker: number): Date {
		const bytes = marker === 0xd6 ? 4 : marker === 0xd7 ? 8 : marker === 0xc7 ? this.#byte() : 0;
		if (bytes === 0 || this.#byte() !== 0xff) {
			throw this.#malformed(`marker ${marker}: the timestamp is the only extension that is read`);
		}
		if (bytes === 4) return new Date(this.#uint32() * 1000);
		const first = this.#uint32();
		if (bytes === 8) {
			const seconds = (first & 3) * TWO_TO_32 + this.#uint32();
			return new Date(seconds * 1000 + Math.floor((first >>> 2) / 1_000_000));
		}
		if (bytes !== 12) throw this.#malformed(`a timestamp of ${bytes} bytes`);
		const seconds = (this.#uint32() | 0) * TWO_TO_32 + this.#uint32();
		return new Date(seconds * 1000 + Math.floor(first / 1_000_000));
	}

	#array(count: number, nesting: number): unknown[] {
		if (count > this.end - this.position)
			throw this.#malformed("an array is longer than its message");
		if (nesting >= VALUE_NESTING_MAX) throw this.#malformed("nested too deeply");
		const array: unknown[] = [];
		for (let index = 0; index < count; index++) array.push(this.value(nesting + 1));
		return array;
	}

	#map(count: number, nesting: number): Record<string, unknown> {
		if (count > this.end - this.position) throw this.#malformed("a map is longer than its message");
		if (nesting >= VALUE_NESTING_MAX) throw this.#malformed("nested too deeply");
		const map: Record<string, unknown> = {};
		for (let index = 0; index < count; index++) {
			const key = this.#key(nesting);
			if (typeof key !== "string" && typeof key !== "number" && typeof key !== "boolean") {
				throw this.#malformed("a map's key is not a string");
			}
			const value = this.value(nesting + 1);
			if (key === "__proto__") setOwn(map, key, value);
			else map[key as string] = value;
		}
		return map;
	}

	/** A map's key. The same few come again and again: short ones are looked up by their bytes. */
	#key(nesting: number): unknown {
		const marker = this.bytes[this.position] as number;
		const count = marker & 0x1f;
		const start = this.position + 1;
		if ((marker & 0xe0) !== 0xa0 || count === 0 || count > this.end - start) {
			return this.value(nesting + 1);
		}
		const { bytes } = this;
		const first = bytes[start] as number;
		const last = bytes[start + count - 1] as number;
		const slot = (count * 61 + first * 7 + last * 17) % KEYS_KEPT;
		const known = KEYS[slot];
		if (known !== undefined && known.bytes.length === count) {
			let index = 0;
			while (index < count && known.bytes[index] === bytes[start + index]) index++;
			if (index === count) {
				this.position = start + count;
				return known.text;
			}
		}
		this.position = start;
		const text = this.#text(count);
		KEYS[slot] = { bytes: new Uint8Array(bytes.subarray(start, start + count)), text };
		return text;
	}

	#text(count: number): string {
		const start = this.position;
		this.#advance(count);
		if (count <= LOOP_BYTES_MAX) {
			let text = "";
			let index = start;
			for (; index < this.position; index++) {
				const unit = this.bytes[index] as number;
				if (unit >= 0x80) break;
				text += String.fromCharCode(unit);
			}
			if (index === this.position) return text;
		}
		return DECODER.decode(this.bytes.subarray(start, this.position));
	}

	/** Passes over the header of a sized element; returns how many more elements it holds. */
	#skipSized(marker: number): number {
		switch (marker) {
			case 0xc4:
			case 0xd9:
				this.#advance(this.#byte());
				return 0;
			case 0xc5:
			case 0xda:
				this.#advance(this.#uint16());
				return 0;
			case 0xc6:
			case 0xdb:
				this.#advance(this.#uint32());
				return 0;
			case 0xc7:
				this.#advance(this.#byte() + 1);
				return 0;
			case 0xc8:
				this.#advance(this.#uint16() + 1);
				return 0;
			case 0xc9:
				this.#advance(this.#uint32() + 1);
				return 0;
			case 0xdc:
				return this.#uint16();
			case 0xdd:
				return this.#uint32();
			case 0xde:
				return this.#uint16() * 2;
			case 0xdf:
				return this.#uint32() * 2;
			case 0xc1:
				throw this.#malformed("marker 193 is never used");
			default:
				return 0; // nil, false, true
		}
	}

	#take(count: number): Uint8Array {
		const start = this.position;
		this.#advance(count);
		return this.bytes.subarray(start, this.position);
	}

	#advance(count: number): void {
		if (count > this.end - this.position)
			throw this.#malformed("the message ends inside an element");
		this.position += count;
	}

	#byte(): number {
		if (this.position >= this.end) throw this.#malformed("the message ends inside an element");
		return this.bytes[this.position++] as number;
	}

	#uint16(): number {
		return this.#byte() * 0x100 + this.#byte();
	}

	#uint32(): number {
		const position = this.position;
		this.#advance(4);
		const bytes = this.bytes;
		return (
			(((bytes[position] as number) << 24) |
				((bytes[position + 1] as number) << 16) |
				((bytes[position + 2] as number) << 8) |
				(bytes[position + 3] as number)) >>>
			0
		);
	}

	#safe(value: number): number {
		if (!Number.isSafeInteger(value)) throw this.#malformed(`${value} is not a safe integer`);
		return value;
	}

	#malformed(message: string): FrameError {
		return new FrameError(message, this.position);
	}
}

/** A plain assignment to this key would set the prototype. */
function setOwn(map: Record<string, unknown>, key: string, value: unknown): void {
	Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
}
