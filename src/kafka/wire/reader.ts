import { LIMITS } from "../../limits.ts";
import { KafkaFrameError } from "./frame-error.ts";
import { UUID_BYTES, uuidFrom } from "./uuid.ts";

const UINT32 = 4_294_967_296;
const NO_BYTES = Buffer.alloc(0);

/** Kafka keeps the length of a string in 16 bits, and holds the compact form to the same bound. */
const STRING_BYTES_MAX = 32_767;
/** A byte that is no UTF-8 becomes so many. */
const REPLACEMENT_BYTES = 3;

/** Reads one element of an array. */
export type ReadElement<Element> = (reader: KafkaReader, version: number) => Element;

/**
 * Reads Kafka's primitive types from one request frame that nobody has checked: each length is
 * held against the bytes that are left before anything is allocated, and the elements of all arrays
 * together are bounded. Any violation throws KafkaFrameError.
 *
 * `flexible` chooses between the two forms that strings, bytes and arrays have: the classic one
 * with a fixed-width length, and the compact one of flexible versions (KIP-482).
 *
 * int64 is read as a number: exact up to 2^53-1, rounded beyond. Offsets, timestamps and producer
 * ids stay below. What `bytes` and `records` answer is a view of the frame: whoever keeps it keeps
 * the frame.
 */
export class KafkaReader {
	private frame: Buffer = NO_BYTES;
	private elementsLeft = 0;
	/** Where the next value begins, in bytes from the start of the frame. */
	position = 0;

	constructor(frame: Buffer = NO_BYTES) {
		this.reset(frame);
	}

	/** Starts on other bytes: what stands behind the length of a frame, or a stored structure. */
	reset(frame: Buffer): this {
		this.frame = frame;
		this.position = 0;
		this.elementsLeft = LIMITS.kafkaRequestElementsMax;
		return this;
	}

	/** Bytes that are left. Kafka does not mind bytes behind a request, so nothing here does. */
	get remaining(): number {
		return this.frame.length - this.position;
	}

	boolean(): boolean {
		return this.int8() !== 0;
	}

	int8(): number {
		return ((this.frame[this.take(1)] as number) << 24) >> 24;
	}

	int16(): number {
		return (this.uint16() << 16) >> 16;
	}

	uint16(): number {
		const { frame } = this;
		const at = this.take(2);
		return ((frame[at] as number) << 8) | (frame[at + 1] as number);
	}

	int32(): number {
		return this.int32At(this.take(4));
	}

	/** Exact up to 2^53-1, rounded beyond. */
	int64(): number {
		const at = this.take(8);
		return this.int32At(at) * UINT32 + (this.int32At(at + 4) >>> 0);
	}

	float64(): number {
		return this.frame.readDoubleBE(this.take(8));
	}

	/** Up to 2^32-1, in at most five bytes. */
	unsignedVarint(): number {
		let value = 0;
		for (let shift = 0; shift < 28; shift += 7) {
			const byte = this.frame[this.take(1)] as number;
			value |= (byte & 0x7f) << shift;
			if (byte < 0x80) return value;
		}
		const last = this.frame[this.take(1)] as number;
		if (last > 0x0f) this.fail("a varint of more than 32 bits");
		return (value | (last << 28)) >>> 0;
	}

	/** The canonical form of a UUID: hyphenated, in lower case; NIL_UUID stands for none. */
	uuid(): string {
		return uuidFrom(this.frame, this.take(UUID_BYTES));
	}

	string(flexible: boolean): string {
		const value = this.nullableString(flexible);
		return value === null ? this.fail("null for a string that must be there") : value;
	}

	/**
	 * Bytes that are no UTF-8 become U+FFFD, as in Kafka. A string that is too long then is refused,
	 * since no answer could name it; Kafka leaves such a request without any.
	 */
	nullableString(flexible: boolean): string | null {
		const bytes = flexible ? this.compactLength() : this.int16();
		if (bytes < 0) return null;
		if (bytes > STRING_BYTES_MAX) this.fail(`a string of ${bytes} bytes`);
		const start = this.take(bytes);
		const value = this.frame.toString("utf8", start, start + bytes);
		if (bytes * REPLACEMENT_BYTES > STRING_BYTES_MAX) {
			if (Buffer.byteLength(value) > STRING_BYTES_MAX) this.fail("a long string that is no UTF-8");
		}
		return value;
	}

	/** A view of the frame. */
	bytes(flexible: boolean): Uint8Array {
		const value = this.nullableBytes(flexible);
		return value === null ? this.fail("null for bytes that must be there") : value;
	}

	/** A view of the frame. */
	nullableBytes(flexible: boolean): Uint8Array | null {
		const bytes = flexible ? this.compactLength() : this.int32();
		if (bytes < 0) return null;
		const start = this.take(bytes);
		return this.frame.subarray(start, start + bytes);
	}

	/** Whether a nullable struct is there; its marker is taken. */
	present(): boolean {
		return this.int8() >= 0;
	}

	/** The same of one that is a tagged field, whose marker has another form. */
	presentTagged(): boolean {
		return this.unsignedVarint() !== 0;
	}

	/** `elementBytesMin`: the least that one element takes on the wire. */
	array<Element>(
		read: ReadElement<Element>,
		version: number,
		flexible: boolean,
		elementBytesMin: number,
	): Element[] {
		const elements = this.nullableArray(read, version, flexible, elementBytesMin);
		return elements === null ? this.fail("null for an array that must be there") : elements;
	}

	nullableArray<Element>(
		read: ReadElement<Element>,
		version: number,
		flexible: boolean,
		elementBytesMin: number,
	): Element[] | null {
		const count = flexible ? this.compactLength() : this.int32();
		if (count < 0) return null;
		if (count * elementBytesMin > this.remaining) this.fail(`an array of ${count} elements`);
		this.spend(count);
		const elements: Element[] = [];
		for (let index = 0; index < count; index++) elements.push(read(this, version));
		return elements;
	}

	/** How many tagged fields follow: each a tag, a length and that many bytes. */
	tagCount(): number {
		const count = this.unsignedVarint();
		if (count * 2 > this.remaining) this.fail(`${count} tagged fields`);
		this.spend(count);
		return count;
	}

	/** Takes the length of a tagged field and answers where it ends. */
	taggedEnd(): number {
		const bytes = this.unsignedVarint();
		if (bytes > this.remaining) this.fail(`a tagged field of ${bytes} bytes`);
		return this.position + bytes;
	}

	/** Passes over a tagged field that this version does not have. */
	skipTo(end: number): void {
		this.position = end;
	}

	/** Holds what a tagged field was read as against the length that it claimed. */
	expectAt(end: number): void {
		if (this.position !== end) this.fail("a tagged field of another length than it says");
	}

	/** Passes over all tagged fields of a struct that knows none. */
	skipTags(): void {
		for (let left = this.tagCount(); left > 0; left--) {
			this.unsignedVarint();
			this.position = this.taggedEnd();
		}
	}

	/** The frame breaks a rule: throws KafkaFrameError. */
	fail(message: string): never {
		throw new KafkaFrameError(message, this.position);
	}

	/** Counts elements and tagged fields against what one frame may have. */
	private spend(count: number): void {
		this.elementsLeft -= count;
		if (this.elementsLeft < 0) this.fail(`more than ${LIMITS.kafkaRequestElementsMax} elements`);
	}

	/** A length of the compact form: one more than it is, so that zero, here -1, is null. */
	private compactLength(): number {
		return this.unsignedVarint() - 1;
	}

	private int32At(at: number): number {
		const { frame } = this;
		return (
			((frame[at] as number) << 24) |
			((frame[at + 1] as number) << 16) |
			((frame[at + 2] as number) << 8) |
			(frame[at + 3] as number)
		);
	}

	/** Passes over so many bytes, which must be there, and answers where they begin. */
	private take(bytes: number): number {
		const start = this.position;
		const end = start + bytes;
		if (end > this.frame.length) {
			this.fail(`${bytes} bytes expected where ${this.remaining} are left`);
		}
		this.position = end;
		return start;
	}
}

export const readInt8 = (reader: KafkaReader): number => reader.int8();
export const readInt16 = (reader: KafkaReader): number => reader.int16();
export const readInt32 = (reader: KafkaReader): number => reader.int32();
export const readInt64 = (reader: KafkaReader): number => reader.int64();
export const readUuid = (reader: KafkaReader): string => reader.uuid();
export const readClassicString = (reader: KafkaReader): string => reader.string(false);
export const readCompactString = (reader: KafkaReader): string => reader.string(true);
