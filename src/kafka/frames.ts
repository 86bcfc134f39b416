/**
 * Cuts the bytes of a Kafka connection into frames: a 4-byte length, big-endian, then that many
 * bytes. The length is checked before anything is kept for it, and memory is taken only for bytes
 * that have come: a client that announces 100 MiB and sends ten bytes costs some kilobytes.
 *
 * What comes is lent: the socket reads the next bytes into the same memory. So a whole frame is a
 * view of it, and only what is left of the next one, or has to wait, is copied.
 */
import { MillraceError } from "../errors.ts";

const LENGTH_BYTES = 4;
/** API key, version and correlation id: no request is shorter. */
const REQUEST_BYTES_MIN = 8;
const KEY_AT = LENGTH_BYTES;
const NO_BYTES = Buffer.alloc(0);
/** What a connection takes at first for a frame that came in part. */
const KEPT_BYTES_MIN = 1_024;
/** Kept bytes of this size and above lie in a block, which the next connection uses again. */
const BLOCK_FROM_BYTES = 65_536;
const BLOCK_BYTES = 2_097_152;
/** Blocks that are held for nobody. */
const SPARE_BLOCKS_MAX = 2;

/**
 * Memory for large frames that come in pieces, which is most of them. Without it every one would
 * leave its bytes to the garbage collector: a tenth of what taking in 1 MiB requests cost.
 */
export class FrameBlocks {
	readonly #spare: Buffer[] = [];

	/** Memory for `bytes` or more, its content whatever it is. */
	take(bytes: number): Buffer {
		if (bytes < BLOCK_FROM_BYTES || bytes > BLOCK_BYTES) {
			// Not from Node's pool: it may live long, and would keep its neighbours there alive.
			return Buffer.allocUnsafeSlow(bytes);
		}
		return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
	}

	/** Takes memory back that nobody looks at any more. */
	give(memory: Buffer): void {
		if (memory.length !== BLOCK_BYTES || this.#spare.length >= SPARE_BLOCKS_MAX) return;
		this.#spare.push(memory);
	}
}

export class FrameAssembler {
	#frameBytesMax: number;
	readonly #blocks: FrameBlocks;
	/** What was kept of earlier chunks lies in `#kept` from `#start` to `#end`. */
	#kept: Buffer = NO_BYTES;
	#start = 0;
	#end = 0;
	/** What came last and was neither taken nor kept; it follows what was kept. */
	#lent: Buffer = NO_BYTES;
	/** Of the next frame, once it has come and was checked. */
	#length: number | undefined;

	/** Frames longer than `frameBytesMax` bytes are refused. */
	constructor(frameBytesMax: number, blocks: FrameBlocks) {
		this.#frameBytesMax = frameBytesMax;
		this.#blocks = blocks;
	}

	/** Has frames be so long from now on. */
	allow(frameBytesMax: number): void {
		this.#frameBytesMax = frameBytesMax;
	}

	/** Bytes that have come and were not taken as frames yet. */
	get bytes(): number {
		return this.#end - this.#start + this.#lent.length;
	}

	/** Bytes of memory that are held for them. */
	get heldBytes(): number {
		return this.#kept.length;
	}

	/** Adds what has come. It stays the caller's, who leaves it as it is until `keep`. */
	push(chunk: Buffer): void {
		this.keep();
		this.#lent = chunk;
	}

	/** Copies what is left of the chunk: the caller may use its memory again, and that of frames. */
	keep(): void {
		if (this.#start === this.#end) this.#release();
		if (this.#lent.length === 0) return;
		this.#append(this.#lent.length);
	}

	/**
	 * Whether a whole frame has come: its bytes and API key are then in `length` and `apiKey`. Throws
	 * INVALID_REQUEST for a length that no request has.
	 */
	hasFrame(): boolean {
		if (this.bytes < LENGTH_BYTES) return false;
		this.#length ??= this.#checkedLength();
		return this.bytes >= LENGTH_BYTES + this.#length;
	}

	/** Bytes of the frame that `hasFrame` found, without its length. */
	get length(): number {
		return this.#length ?? 0;
	}

	/** The API key that stands at the beginning of the frame that `hasFrame` found. */
	get apiKey(): number {
		return ((this.#byte(KEY_AT) << 24) >> 16) | this.#byte(KEY_AT + 1);
	}

	/** Takes the frame that `hasFrame` found: a view that is good until `push` or `keep`. */
	take(): Buffer {
		const { length } = this;
		const bytes = LENGTH_BYTES + length;
		this.#length = undefined;
		if (this.#start === this.#end) {
			const frame = this.#lent.subarray(LENGTH_BYTES, bytes);
			this.#lent = this.#lent.subarray(bytes);
			return frame;
		}
		const missing = bytes - (this.#end - this.#start);
		if (missing > 0) this.#append(missing);
		const frame = this.#kept.subarray(this.#start + LENGTH_BYTES, this.#start + bytes);
		this.#start += bytes;
		return frame;
	}

	/** Forgets everything. */
	clear(): void {
		this.#lent = NO_BYTES;
		this.#length = undefined;
		this.#release();
	}

	/** Moves the first `bytes` of what is lent behind what is kept. */
	#append(bytes: number): void {
		this.#makeRoom(bytes);
		this.#end += this.#lent.copy(this.#kept, this.#end, 0, bytes);
		this.#lent = this.#lent.subarray(bytes);
	}

	/** A frame's memory doubles as its bytes come, up to the frame. */
	#makeRoom(bytes: number): void {
		if (this.#end + bytes <= this.#kept.length) return;
		const held = this.#end - this.#start;
		const doubled = Math.min(2 * held, LENGTH_BYTES + this.length);
		const room = this.#blocks.take(Math.max(KEPT_BYTES_MIN, held + bytes, doubled));
		this.#kept.copy(room, 0, this.#start, this.#end);
		this.#blocks.give(this.#kept);
		this.#kept = room;
		this.#start = 0;
		this.#end = held;
	}

	#release(): void {
		this.#blocks.give(this.#kept);
		this.#kept = NO_BYTES;
		this.#start = 0;
		this.#end = 0;
	}

	#checkedLength(): number {
		const high = (this.#byte(0) << 8) | this.#byte(1);
		const length = (high << 16) | (this.#byte(2) << 8) | this.#byte(3);
		if (length >= REQUEST_BYTES_MIN && length <= this.#frameBytesMax) return length;
		throw new MillraceError(
			"INVALID_REQUEST",
			`a frame of ${length} bytes; a request has ${REQUEST_BYTES_MIN} to ${this.#frameBytesMax}`,
		);
	}

	/** One of the bytes that have come. */
	#byte(index: number): number {
		const kept = this.#end - this.#start;
		const byte = index < kept ? this.#kept[this.#start + index] : this.#lent[index - kept];
		return byte as number;
	}
}
