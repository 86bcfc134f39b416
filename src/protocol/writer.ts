/** What the writer takes as a value: everything that a frame outside stored values may hold. */
export type FrameValue =
	| null
	| undefined
	| boolean
	| number
	| bigint
	| string
	| Uint8Array
	| readonly FrameValue[]
	| { readonly [key: string]: FrameValue };

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT32 = 4_294_967_296;

/**
 * Writes MessagePack into one buffer that grows and is used again, frame after frame: `reset()`,
 * the elements in order, `finish()`. The caller keeps counts and elements in agreement.
 */
export class FrameWriter {
	private buffer: Uint8Array;
	private view: DataView;
	private position = 0;

	constructor(capacityBytes = 1024) {
		this.buffer = new Uint8Array(capacityBytes);
		this.view = new DataView(this.buffer.buffer);
	}

	/** Bytes written since `reset()`. */
	get length(): number {
		return this.position;
	}

	reset(): this {
		this.position = 0;
		return this;
	}

	/** What was written: a view into the writer, valid until the next write or `reset()`. */
	finish(): Uint8Array {
		return this.buffer.subarray(0, this.position);
	}

	/** What was written, in memory of its own. */
	finishCopy(): Uint8Array {
		return this.buffer.slice(0, this.position);
	}

	nil(): this {
		return this.byte(0xc0);
	}

	boolean(value: boolean): this {
		return this.byte(value ? 0xc3 : 0xc2);
	}

	/** A whole number from -(2^53-1) to 2^53-1. */
	integer(value: number): this {
		if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
		this.ensure(9);
		if (value >= 0) {
			if (value < 0x80) this.buffer[this.position++] = value;
			else if (value < 0x100) this.marked8(0xcc, value);
			else if (value < 0x10000) this.marked16(0xcd, value);
			else if (value < UINT32) this.marked32(0xce, value);
			else this.marked64(0xcf, Math.floor(value / UINT32), value % UINT32);
		} else if (value >= -0x20) this.buffer[this.position++] = value & 0xff;
		else if (value >= -0x80) this.marked8(0xd0, value & 0xff);
		else if (value >= -0x8000) this.marked16(0xd1, value & 0xffff);
		else if (value >= -0x80000000) this.marked32(0xd2, value >>> 0);
		else {
			const high = Math.floor(value / UINT32);
			this.marked64(0xd3, high >>> 0, value - high * UINT32);
		}
		return this;
	}

	/** A whole number that fits int64. */
	bigint(value: bigint): this {
		if (value < INT64_MIN || value > INT64_MAX) throw new RangeError(`beyond int64: ${value}`);
		this.ensure(9);
		this.buffer[this.position] = value < 0n ? 0xd3 : 0xcf;
		this.view.setBigInt64(this.position + 1, value);
		this.position += 9;
		return this;
	}

	float(value: number): this {
		this.ensure(9);
		this.buffer[this.position] = 0xcb;
		this.view.setFloat64(this.position + 1, value);
		this.position += 9;
		return this;
	}

	array(count: number): this {
		this.ensure(5);
		if (count < 16) this.buffer[this.position++] = 0x90 | count;
		else if (count < 0x10000) this.marked16(0xdc, count);
		else this.marked32(0xdd, count);
		return this;
	}

	map(count: number): this {
		this.ensure(5);
		if (count < 16) this.buffer[this.position++] = 0x80 | count;
		else if (count < 0x10000) this.marked16(0xde, count);
		else this.marked32(0xdf, count);
		return this;
	}

	/** A string as UTF-8; lone surrogates become U+FFFD, as TextEncoder has it. */
	string(value: string): this {
		// Three bytes a UTF-16 unit is the most that UTF-8 needs; the header is written once the length
		// is known.
		const bytesMost = value.length * 3;
		this.ensure(bytesMost + 5);
		const headerBytes = value.length < 11 ? 1 : value.length < 86 ? 2 : bytesMost < 0x10000 ? 3 : 5;
		const start = this.position + headerBytes;
		const bytes = this.utf8(value, start);
		if (headerBytes === 1) this.buffer[this.position] = 0xa0 | bytes;
		else if (headerBytes === 2) {
			this.buffer[this.position] = 0xd9;
			this.buffer[this.position + 1] = bytes;
		} else if (headerBytes === 3) {
			this.buffer[this.position] = 0xda;
			this.view.setUint16(this.position + 1, bytes);
		} else {
			this.buffer[this.position] = 0xdb;
			this.view.setUint32(this.position + 1, bytes);
		}
		this.position = start + bytes;
		return this;
	}

	binary(value: Uint8Array): this {
		return this.binaryHeader(value.length).raw(value);
	}

	/** The header of a binary of so many bytes, which the caller sends or writes behind it. */
	binaryHeader(bytes: number): this {
		this.ensure(5);
		if (bytes < 0x100) this.marked8(0xc4, bytes);
		else if (bytes < 0x10000) this.marked16(0xc5, bytes);
		else this.marked32(0xc6, bytes);
		return this;
	}

	/** Bytes that are MessagePack already. */
	raw(value: Uint8Array): this {
		this.ensure(value.length);
		this.buffer.set(value, this.position);
		this.position += value.length;
		return this;
	}

	/** Any value; undefined is nil, and map entries that are undefined are left out. */
	value(value: FrameValue): this {
		switch (typeof value) {
			case "undefined":
				return this.nil();
			case "boolean":
				return this.boolean(value);
			case "number":
				return Number.isSafeInteger(value) ? this.integer(value) : this.float(value);
			case "bigint":
				return this.bigint(value);
			case "string":
				return this.string(value);
			default:
				return this.composite(value);
		}
	}

	private composite(
		value: null | Uint8Array | readonly FrameValue[] | { readonly [key: string]: FrameValue },
	): this {
		if (value === null) return this.nil();
		if (value instanceof Uint8Array) return this.binary(value);
		if (Array.isArray(value)) {
			this.array(value.length);
			for (const element of value as readonly FrameValue[]) this.value(element);
			return this;
		}
		return this.#entries(value as { readonly [key: string]: FrameValue });
	}

	#entries(map: { readonly [key: string]: FrameValue }): this {
		// Not Object.entries: an array of each would be two thirds of a kilobyte for hello's limits.
		const keys = Object.keys(map);
		let count = 0;
		for (const key of keys) if (map[key] !== undefined) count++;
		this.map(count);
		for (const key of keys) {
			const element = map[key];
			if (element !== undefined) this.string(key).value(element);
		}
		return this;
	}

	private utf8(value: string, start: number): number {
		const { buffer } = this;
		let at = start;
		for (let index = 0; index < value.length; index++) {
			let unit = value.charCodeAt(index);
			if (unit < 0x80) {
				buffer[at++] = unit;
				continue;
			}
			if (unit < 0x800) {
				buffer[at++] = 0xc0 | (unit >> 6);
				buffer[at++] = 0x80 | (unit & 0x3f);
				continue;
			}
			if (unit >= 0xd800 && unit < 0xe000) {
				const next = unit < 0xdc00 ? value.charCodeAt(index + 1) : 0;
				if (next >= 0xdc00 && next < 0xe000) {
					const point = 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00);
					buffer[at++] = 0xf0 | (point >> 18);
					buffer[at++] = 0x80 | ((point >> 12) & 0x3f);
					buffer[at++] = 0x80 | ((point >> 6) & 0x3f);
					buffer[at++] = 0x80 | (point & 0x3f);
					index++;
					continue;
				}
				unit = 0xfffd;
			}
			buffer[at++] = 0xe0 | (unit >> 12);
			buffer[at++] = 0x80 | ((unit >> 6) & 0x3f);
			buffer[at++] = 0x80 | (unit & 0x3f);
		}
		return at - start;
	}

	private byte(value: number): this {
		this.ensure(1);
		this.buffer[this.position++] = value;
		return this;
	}

	private marked8(marker: number, value: number): void {
		this.buffer[this.position] = marker;
		this.buffer[this.position + 1] = value;
		this.position += 2;
	}

	private marked16(marker: number, value: number): void {
		this.buffer[this.position] = marker;
		this.view.setUint16(this.position + 1, value);
		this.position += 3;
	}

	private marked32(marker: number, value: number): void {
		this.buffer[this.position] = marker;
		this.view.setUint32(this.position + 1, value);
		this.position += 5;
	}

	private marked64(marker: number, high: number, low: number): void {
		this.buffer[this.position] = marker;
		this.view.setUint32(this.position + 1, high);
		this.view.setUint32(this.position + 5, low);
		this.position += 9;
	}

	private ensure(bytes: number): void {
		const needed = this.position + bytes;
		if (needed <= this.buffer.length) return;
		const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
		grown.set(this.buffer.subarray(0, this.position));
		this.buffer = grown;
		this.view = new DataView(grown.buffer);
	}
}
