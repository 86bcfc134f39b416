import { putUuid, UUID_BYTES } from "./uuid.ts";

const UINT32 = 4_294_967_296;
const INT64_END = 2 ** 63;

/**
 * Answers share memory in pieces of this size: large enough that few answers cost an allocation.
 */
const SLAB_BYTES = 65_536;
/** An answer starts in a new slab when less than this is left of the old one. */
const SLAB_REST_BYTES_MIN = 512;
/** Records of fewer bytes are copied: a chunk of their own would cost the socket more. */
const VIEW_BYTES_MIN = 1_024;
/** Characters up to which a string is written by a loop; beyond, a call into Node is faster. */
const SHORT_STRING_MAX = 64;
const STRING_BYTES_MAX = 32_767;
const FRAME_BYTES_MAX = 2_147_483_647;

/** Writes one element of an array. */
export type WriteElement<Element> = (
	writer: KafkaWriter,
	element: Element,
	version: number,
) => void;

/** A view that goes out between two parts of what the writer holds. */
interface Insertion {
	/** Where it belongs, in bytes from the start of what is being written. */
	readonly at: number;
	readonly view: Uint8Array;
}

/**
 * Writes Kafka's primitive types, one frame after the other:
 *
 *     writer.startFrame(header.correlationId, flexibleHeader);
 *     api.writeResponse(writer, response, header.version);
 *     socket.write(each of writer.finishFrame());
 *
 * or, for a record's key or value, `start()`, the schema's `write`, `finish()`.
 *
 * What was finished is never written again: frames lie one behind the other in slabs, which are
 * collected when the last answer in them is. So one writer serves all connections of a loop, and
 * nothing has to be given back. A frame that fails half-way is forgotten at the next start.
 *
 * Values that do not fit their type are the caller's mistake: RangeError.
 */
export class KafkaWriter {
	private buffer: Buffer = Buffer.alloc(0);
	private view: DataView = new DataView(this.buffer.buffer);
	/** Where what is being written begins. */
	private origin = 0;
	private position = 0;
	/** Error codes of what is being written, but for those that say that there is none. */
	readonly errors: number[] = [];
	private insertions: Insertion[] = [];
	private insertedBytes = 0;

	/** Begins bytes without a frame around them. */
	start(): this {
		this.errors.length = 0;
		this.insertions = [];
		this.insertedBytes = 0;
		this.position = this.origin;
		if (this.buffer.length - this.origin < SLAB_REST_BYTES_MIN || this.buffer.length > SLAB_BYTES) {
			this.use(Buffer.allocUnsafeSlow(SLAB_BYTES), 0);
		}
		return this;
	}

	/** Begins a response: room for its length, and its header (v1 when `flexible`, else v0). */
	startFrame(correlationId: number, flexible: boolean): this {
		this.start();
		this.int32(0).int32(correlationId);
		return flexible ? this.unsignedVarint(0) : this;
	}

	/** What was written since `start()`, in one piece. Whoever keeps it for long should copy it. */
	finish(): Uint8Array {
		const [first, ...others] = this.takeChunks();
		if (first === undefined) return this.buffer.subarray(0, 0);
		return others.length === 0 ? first : Buffer.concat([first, ...others]);
	}

	/**
	 * The frame, in chunks for one gathering write. Among them are the views that were given as
	 * records: their memory must stay as it is until the socket has taken it.
	 */
	finishFrame(): readonly Uint8Array[] {
		const bytes = this.position - this.origin + this.insertedBytes - 4;
		if (bytes > FRAME_BYTES_MAX) throw new RangeError(`a frame of ${bytes} bytes`);
		this.view.setInt32(this.origin, bytes);
		return this.takeChunks();
	}

	boolean(value: boolean): this {
		return this.int8(value ? 1 : 0);
	}

	int8(value: number): this {
		if ((value << 24) >> 24 !== value) outOfRange("int8", value);
		const at = this.take(1);
		this.buffer[at] = value;
		return this;
	}

	int16(value: number): this {
		if ((value << 16) >> 16 !== value) outOfRange("int16", value);
		const at = this.take(2);
		this.view.setInt16(at, value);
		return this;
	}

	/** An int16 that says what is wrong; 0: nothing. */
	errorCode(value: number): this {
		if (value !== 0) this.errors.push(value);
		return this.int16(value);
	}

	uint16(value: number): this {
		if ((value & 0xffff) !== value) outOfRange("uint16", value);
		const at = this.take(2);
		this.view.setUint16(at, value);
		return this;
	}

	int32(value: number): this {
		if ((value | 0) !== value) outOfRange("int32", value);
		const at = this.take(4);
		this.view.setInt32(at, value);
		return this;
	}

	/** A whole number; from 2^63 on, which is what 2^63-1 rounds to, the largest int64. */
	int64(value: number): this {
		const at = this.take(8);
		if (value >= INT64_END) {
			this.view.setInt32(at, 0x7fffffff);
			this.view.setInt32(at + 4, -1);
			return this;
		}
		if (!Number.isInteger(value) || value < -INT64_END) outOfRange("int64", value);
		const high = Math.floor(value / UINT32);
		this.view.setInt32(at, high);
		this.view.setUint32(at + 4, value - high * UINT32);
		return this;
	}

	float64(value: number): this {
		const at = this.take(8);
		this.view.setFloat64(at, value);
		return this;
	}

	/** From 0 to 2^32-1. */
	unsignedVarint(value: number): this {
		if (value >>> 0 !== value) outOfRange("unsigned varint", value);
		let rest = value;
		while (rest > 0x7f) {
			const at = this.take(1);
			this.buffer[at] = (rest & 0x7f) | 0x80;
			rest >>>= 7;
		}
		const at = this.take(1);
		this.buffer[at] = rest;
		return this;
	}

	/** A UUID in its canonical form. */
	uuid(value: string): this {
		const at = this.take(UUID_BYTES);
		putUuid(this.buffer, at, value);
		return this;
	}

	string(value: string, flexible: boolean): this {
		if (value.length > SHORT_STRING_MAX || !this.shortAscii(value, flexible)) {
			const bytes = Buffer.byteLength(value);
			if (bytes > STRING_BYTES_MAX) throw new RangeError(`a string of ${bytes} bytes`);
			this.stringLength(bytes, flexible);
			const at = this.take(bytes);
			this.buffer.write(value, at);
		}
		return this;
	}

	nullableString(value: string | null, flexible: boolean): this {
		if (value !== null) return this.string(value, flexible);
		return flexible ? this.unsignedVarint(0) : this.int16(-1);
	}

	bytes(value: Uint8Array, flexible: boolean): this {
		this.length(value.length, flexible);
		const at = this.take(value.length);
		this.buffer.set(value, at);
		return this;
	}

	nullableBytes(value: Uint8Array | null, flexible: boolean): this {
		return value === null ? this.nullLength(flexible) : this.bytes(value, flexible);
	}

	/**
	 * Bytes that are not copied unless they are few: see `finishFrame` for how long the caller owes
	 * the memory.
	 */
	records(value: Uint8Array, flexible: boolean): this {
		if (value.length < VIEW_BYTES_MIN) return this.bytes(value, flexible);
		this.length(value.length, flexible);
		this.insertions.push({ at: this.position - this.origin, view: value });
		this.insertedBytes += value.length;
		return this;
	}

	nullableRecords(value: Uint8Array | null, flexible: boolean): this {
		return value === null ? this.nullLength(flexible) : this.records(value, flexible);
	}

	/**
	 * Bytes that were written before and finished, without a length. Not copied unless they are few:
	 * see `finishFrame`.
	 */
	verbatim(value: Uint8Array): this {
		if (value.length < VIEW_BYTES_MIN) {
			const at = this.take(value.length);
			this.buffer.set(value, at);
			return this;
		}
		this.insertions.push({ at: this.position - this.origin, view: value });
		this.insertedBytes += value.length;
		return this;
	}

	/** The marker before a nullable struct. */
	present(present: boolean): this {
		return this.int8(present ? 1 : -1);
	}

	/** The same before one that is a tagged field, whose marker has another form. */
	presentTagged(present: boolean): this {
		return this.unsignedVarint(present ? 1 : 0);
	}

	array<Element>(
		elements: readonly Element[],
		write: WriteElement<Element>,
		version: number,
		flexible: boolean,
	): this {
		this.length(elements.length, flexible);
		for (const element of elements) write(this, element, version);
		return this;
	}

	nullableArray<Element>(
		elements: readonly Element[] | null,
		write: WriteElement<Element>,
		version: number,
		flexible: boolean,
	): this {
		if (elements === null) return this.nullLength(flexible);
		return this.array(elements, write, version, flexible);
	}

	/** Begins a tagged field: `endTagged` takes what this answers once the value is written. */
	startTagged(tag: number): number {
		this.unsignedVarint(tag);
		this.take(1);
		return this.position - this.origin;
	}

	/** Puts the length before the tagged field. Records that are not copied cannot be in one. */
	endTagged(start: number): void {
		const bytes = this.position - this.origin - start;
		let lengthBytes = 1;
		for (let rest = bytes >>> 7; rest > 0; rest >>>= 7) lengthBytes++;
		const end = this.position;
		if (lengthBytes > 1) {
			this.take(lengthBytes - 1);
			const from = this.origin + start;
			this.buffer.copyWithin(from + lengthBytes - 1, from, end);
		}
		this.position = this.origin + start - 1;
		this.unsignedVarint(bytes);
		this.position += bytes;
	}

	/** Tries a string of few characters as ASCII; false, and nothing written, when it is not. */
	private shortAscii(value: string, flexible: boolean): boolean {
		const start = this.position;
		this.stringLength(value.length, flexible);
		const at = this.take(value.length);
		const { buffer } = this;
		for (let index = 0; index < value.length; index++) {
			const unit = value.charCodeAt(index);
			if (unit > 0x7f) {
				this.position = start;
				return false;
			}
			buffer[at + index] = unit;
		}
		return true;
	}

	private stringLength(bytes: number, flexible: boolean): void {
		if (flexible) this.unsignedVarint(bytes + 1);
		else this.int16(bytes);
	}

	private length(count: number, flexible: boolean): void {
		if (flexible) this.unsignedVarint(count + 1);
		else this.int32(count);
	}

	private nullLength(flexible: boolean): this {
		return flexible ? this.unsignedVarint(0) : this.int32(-1);
	}

	/** Ends what is being written: its bytes, with the views between them. */
	private takeChunks(): Uint8Array[] {
		const chunks: Uint8Array[] = [];
		let start = this.origin;
		for (const { at, view } of this.insertions) {
			const end = this.origin + at;
			if (end > start) chunks.push(this.buffer.subarray(start, end));
			chunks.push(view);
			start = end;
		}
		if (this.position > start) chunks.push(this.buffer.subarray(start, this.position));
		this.insertions = [];
		this.insertedBytes = 0;
		this.origin = this.position;
		return chunks;
	}

	/**
	 * Makes room for so many bytes and answers where. It may change the buffer, so it comes before
	 * any use of that.
	 */
	private take(bytes: number): number {
		const at = this.position;
		if (at + bytes > this.buffer.length) return this.grow(bytes);
		this.position = at + bytes;
		return at;
	}

	/** Moves what is being written to a slab that has room for so many bytes more. */
	private grow(bytes: number): number {
		const written = this.position - this.origin;
		const needed = written + bytes;
		const grown = Buffer.allocUnsafeSlow(needed <= SLAB_BYTES / 2 ? SLAB_BYTES : needed * 2);
		this.buffer.copy(grown, 0, this.origin, this.position);
		this.use(grown, written);
		this.position += bytes;
		return written;
	}

	private use(buffer: Buffer, position: number): void {
		this.buffer = buffer;
		this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
		this.origin = 0;
		this.position = position;
	}
}

function outOfRange(type: string, value: number): never {
	throw new RangeError(`not an ${type}: ${value}`);
}

/** A message sets a field that its version does not have and that may not be left out. */
export function absentField(name: string, version: number): never {
	throw new RangeError(`${name} is set, which version ${version} does not have`);
}

/** A field is null in a version that must have it. */
export function requiredField<Value>(value: Value | null, name: string, version: number): Value {
	if (value === null)
		throw new RangeError(`${name} is null, which version ${version} does not allow`);
	return value;
}

export const writeInt8: WriteElement<number> = (writer, value) => writer.int8(value);
export const writeInt16: WriteElement<number> = (writer, value) => writer.int16(value);
export const writeInt32: WriteElement<number> = (writer, value) => writer.int32(value);
export const writeInt64: WriteElement<number> = (writer, value) => writer.int64(value);
export const writeUuid: WriteElement<string> = (writer, value) => writer.uuid(value);
export const writeClassicString: WriteElement<string> = (writer, value) =>
	writer.string(value, false);
export const writeCompactString: WriteElement<string> = (writer, value) =>
	writer.string(value, true);
