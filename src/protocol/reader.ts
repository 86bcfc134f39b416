/**
 * What a frame's generic values decode to. Integers beyond 2^53-1 are bigint; maps have no
 * prototype.
 */
export type DecodedValue =
	| null
	| boolean
	| number
	| bigint
	| string
	| Uint8Array
	| DecodedValue[]
	| DecodedMap;
export interface DecodedMap {
	[key: string]: DecodedValue;
}

/** The bytes are not MessagePack of the expected shape. */
export class FrameError extends Error {
	override readonly name = "FrameError";
	/** Where in the frame, in bytes. */
	readonly position: number;

	constructor(message: string, position: number) {
		super(`${message} at byte ${position}`);
		this.position = position;
	}
}

/** Nesting of a frame's own structure; the frame's outer array is the first level. */
export const NESTING_MAX = 16;

/**
 * The part that is used here of a class which Node and browsers have alike; no library's types are
 * needed for it.
 */
interface Utf8Decoder {
	decode(bytes: Uint8Array): string;
}
const { TextDecoder } = globalThis as unknown as {
	TextDecoder: new (label: string, options: { fatal: true; ignoreBOM: true }) => Utf8Decoder;
};
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const UINT32 = 4_294_967_296;
const NO_BYTES = new Uint8Array(0);

/**
 * Reads MessagePack from bytes that nobody has checked: every length is bounded by the bytes that
 * are left before anything is allocated, nesting is bounded, extension types are refused. Throws
 * FrameError. Binaries are views of the frame, valid as long as its memory is.
 */
export class FrameReader {
	private buffer: Uint8Array = NO_BYTES;
	private view: DataView = new DataView(NO_BYTES.buffer);
	private readonly valuesMax: number;
	private valuesLeft = 0;
	/** Where the next element begins, in bytes. */
	position = 0;

	/**
	 * `valuesMax`: how many elements `value` and `skip` take of one frame; building millions stalls a
	 * loop.
	 */
	constructor(bytes: Uint8Array = NO_BYTES, valuesMax = Number.POSITIVE_INFINITY) {
		this.valuesMax = valuesMax;
		this.reset(bytes);
	}

	/** Starts on another frame. */
	reset(bytes: Uint8Array): this {
		this.buffer = bytes;
		if (
			bytes.buffer !== this.view.buffer ||
			bytes.byteOffset !== this.view.byteOffset ||
			bytes.byteLength !== this.view.byteLength
		) {
			this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		}
		this.position = 0;
		this.valuesLeft = this.valuesMax;
		return this;
	}

	/** Bytes that are left. */
	get remaining(): number {
		return this.buffer.length - this.position;
	}

	/** Refuses bytes behind the frame's outer array. */
	end(): void {
		if (this.remaining !== 0) this.fail("bytes behind its end");
	}

	/** Whether the next element is nil; takes it if so. */
	nil(): boolean {
		if (this.peek() !== 0xc0) return false;
		this.position++;
		return true;
	}

	boolean(): boolean {
		const marker = this.peek();
		if (marker !== 0xc2 && marker !== 0xc3) this.fail("a boolean was expected");
		this.position++;
		return marker === 0xc3;
	}

	/**
	 * A whole number within +-(2^53-1). A float that holds one counts: JavaScript encoders write
	 * such.
	 */
	integer(): number {
		const start = this.position;
		const value = this.scalar();
		if (typeof value === "number" && Number.isSafeInteger(value)) return value;
		this.position = start;
		return this.fail("an integer was expected");
	}

	/** A whole number from `least` to `most`. */
	integerWithin(least: number, most: number): number {
		const start = this.position;
		const value = this.integer();
		if (value >= least && value <= most) return value;
		this.position = start;
		return this.fail(`an integer from ${least} to ${most} was expected`);
	}

	uint32(): number {
		return this.integerWithin(0, UINT32 - 1);
	}

	/** Elements of the array that begins here; never more than there are bytes left. */
	arrayHeader(): number {
		const count = this.frameHeader();
		if (count > this.remaining) this.fail("an array longer than what holds it");
		return count;
	}

	/**
	 * Elements that a frame's outer array claims to have. They may not be there: what stands first
	 * can be read even so, and tells whom to answer that the frame is cut short.
	 */
	frameHeader(): number {
		const marker = this.peek();
		let count: number;
		if ((marker & 0xf0) === 0x90) count = this.short(marker & 0x0f);
		else if (marker === 0xdc) count = this.length16();
		else if (marker === 0xdd) count = this.length32();
		else return this.fail("an array was expected");
		return count;
	}

	/** Entries of the map that begins here; never more than there are bytes for. */
	mapHeader(): number {
		const marker = this.peek();
		let count: number;
		if ((marker & 0xf0) === 0x80) count = this.short(marker & 0x0f);
		else if (marker === 0xde) count = this.length16();
		else if (marker === 0xdf) count = this.length32();
		else return this.fail("a map was expected");
		if (count * 2 > this.remaining) this.fail("a map larger than what holds it");
		return count;
	}

	string(): string {
		const marker = this.peek();
		let bytes: number;
		if ((marker & 0xe0) === 0xa0) bytes = this.short(marker & 0x1f);
		else if (marker === 0xd9) bytes = this.length8();
		else if (marker === 0xda) bytes = this.length16();
		else if (marker === 0xdb) bytes = this.length32();
		else return this.fail("a string was expected");
		return this.utf8(bytes);
	}

	/** A binary, as a view of the frame. */
	binary(): Uint8Array {
		const marker = this.peek();
		let bytes: number;
		if (marker === 0xc4) bytes = this.length8();
		else if (marker === 0xc5) bytes = this.length16();
		else if (marker === 0xc6) bytes = this.length32();
		else return this.fail("a binary was expected");
		this.need(bytes);
		const start = this.position;
		this.position += bytes;
		return this.buffer.subarray(start, this.position);
	}

	/** A binary, or null for nil. */
	binaryOrNil(): Uint8Array | null {
		return this.nil() ? null : this.binary();
	}

	/**
	 * Whatever comes next, whole. `depth` is how many arrays and maps of the frame are open around
	 * it.
	 */
	value(depth = 1): DecodedValue {
		this.count();
		const marker = this.peek();
		if (isArray(marker)) {
			this.nest(depth);
			const count = this.arrayHeader();
			const array: DecodedValue[] = [];
			for (let index = 0; index < count; index++) array.push(this.value(depth + 1));
			return array;
		}
		if (isMap(marker)) {
			this.nest(depth);
			const count = this.mapHeader();
			const map = Object.create(null) as DecodedMap;
			for (let index = 0; index < count; index++) {
				const key = this.string();
				map[key] = this.value(depth + 1);
			}
			return map;
		}
		return this.scalar();
	}

	/** A map, or an empty one for nil. */
	mapValue(depth = 1): DecodedMap {
		if (this.nil()) return Object.create(null) as DecodedMap;
		if (!isMap(this.peek())) return this.fail("a map was expected");
		return this.value(depth) as DecodedMap;
	}

	/** Passes over whatever comes next, without building it. */
	skip(depth = 1): void {
		this.count();
		const marker = this.peek();
		if (isArray(marker) || isMap(marker)) {
			this.nest(depth);
			const elements = isArray(marker) ? this.arrayHeader() : this.mapHeader() * 2;
			for (let index = 0; index < elements; index++) this.skip(depth + 1);
			return;
		}
		const bytes = this.lengthOfBytes(marker);
		if (bytes < 0) this.scalar();
		else {
			this.need(bytes);
			this.position += bytes;
		}
	}

	private lengthOfBytes(marker: number): number {
		if ((marker & 0xe0) === 0xa0) return this.short(marker & 0x1f);
		if (marker === 0xc4 || marker === 0xd9) return this.length8();
		if (marker === 0xc5 || marker === 0xda) return this.length16();
		if (marker === 0xc6 || marker === 0xdb) return this.length32();
		return -1;
	}

	private scalar(): DecodedValue {
		const marker = this.peek();
		if (marker < 0x80) return this.short(marker);
		if (marker >= 0xe0) return this.short(marker - 0x100);
		if (marker >= 0xca && marker <= 0xd3) return this.number(marker);
		if ((marker & 0xe0) === 0xa0 || (marker >= 0xd9 && marker <= 0xdb)) return this.string();
		if (marker >= 0xc4 && marker <= 0xc6) return this.binary();
		if (this.nil()) return null;
		if (marker === 0xc2 || marker === 0xc3) return this.boolean();
		return this.fail("a type that is not used here");
	}

	private number(marker: number): number | bigint {
		const { view, position } = this;
		const bytes = NUMBER_BYTES[marker - 0xca] as number;
		this.need(bytes + 1);
		this.position += bytes + 1;
		const at = position + 1;
		switch (marker) {
			case 0xca:
				return view.getFloat32(at);
			case 0xcb:
				return view.getFloat64(at);
			case 0xcc:
				return view.getUint8(at);
			case 0xcd:
				return view.getUint16(at);
			case 0xce:
				return view.getUint32(at);
			case 0xd0:
				return view.getInt8(at);
			case 0xd1:
				return view.getInt16(at);
			case 0xd2:
				return view.getInt32(at);
			default:
				return this.number64(marker, at);
		}
	}

	private number64(marker: number, at: number): number | bigint {
		const high = marker === 0xcf ? this.view.getUint32(at) : this.view.getInt32(at);
		const value = high * UINT32 + this.view.getUint32(at + 4);
		if (Number.isSafeInteger(value)) return value;
		if (marker === 0xcf && high >= 0x80000000) {
			this.position = at - 1;
			return this.fail("an integer beyond int64");
		}
		return this.view.getBigInt64(at);
	}

	private utf8(bytes: number): string {
		this.need(bytes);
		const start = this.position;
		this.position += bytes;
		if (bytes <= SHORT_STRING_BYTES) {
			const text = shortAscii(this.buffer, start, this.position);
			if (text !== undefined) return text;
		}
		try {
			return decoder.decode(this.buffer.subarray(start, this.position));
		} catch {
			this.position = start;
			return this.fail("a string that is not UTF-8");
		}
	}

	private count(): void {
		if (--this.valuesLeft < 0) this.fail("more values than it may have");
	}

	private nest(depth: number): void {
		if (depth >= NESTING_MAX) this.fail("nested too deeply");
	}

	private peek(): number {
		const marker = this.buffer[this.position];
		if (marker === undefined) return this.fail("it ends too early");
		return marker;
	}

	private need(bytes: number): void {
		if (bytes > this.remaining) this.fail("it ends too early");
	}

	private short(value: number): number {
		this.position++;
		return value;
	}

	private length8(): number {
		this.need(2);
		this.position += 2;
		return this.buffer[this.position - 1] as number;
	}

	private length16(): number {
		this.need(3);
		this.position += 3;
		return this.view.getUint16(this.position - 2);
	}

	private length32(): number {
		this.need(5);
		this.position += 5;
		return this.view.getUint32(this.position - 4);
	}

	private fail(message: string): never {
		throw new FrameError(message, this.position);
	}
}

const NUMBER_BYTES = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8];

/** Up to here a loop is quicker than a call of the platform's decoder. */
const SHORT_STRING_BYTES = 24;

function shortAscii(buffer: Uint8Array, start: number, end: number): string | undefined {
	let text = "";
	for (let at = start; at < end; at++) {
		const byte = buffer[at] as number;
		if (byte >= 0x80) return undefined;
		text += String.fromCharCode(byte);
	}
	return text;
}

function isArray(marker: number): boolean {
	return (marker & 0xf0) === 0x90 || marker === 0xdc || marker === 0xdd;
}

function isMap(marker: number): boolean {
	return (marker & 0xf0) === 0x80 || marker === 0xde || marker === 0xdf;
}
