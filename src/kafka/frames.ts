/**
 * Cuts the bytes of a Kafka connection into frames: a 4-byte length, big-endian, then that many
 * bytes. The length is checked before anything is kept for it, and memory is taken only for bytes
 * that have come: a client that announces 100 MiB and sends ten bytes costs ten bytes.
 */
import { MillraceError } from "../errors.ts";

const LENGTH_BYTES = 4;
/** API key, version and correlation id: no request is shorter. */
const REQUEST_BYTES_MIN = 8;
/** So many chunks are looked at together, and copied into one where they are this small. */
const CRUMBS = 64;
const CRUMB_BYTES_MAX = 1_024;
/** Larger frames get memory of their own. */
const SCRATCH_BYTES_MAX = 2_097_152;

export class FrameAssembler {
	readonly #frameBytesMax: number;
	/** What has come and belongs to no frame yet, oldest first. */
	#chunks: Buffer[] = [];
	#bytes = 0;
	/** Of the next frame, once it has come and was checked. */
	#length: number | undefined;
	/** At how many chunks to look for crumbs next. */
	#gatherAt = CRUMBS;

	/** Frames longer than `frameBytesMax` bytes are refused. */
	constructor(frameBytesMax: number) {
		this.#frameBytesMax = frameBytesMax;
	}

	/** Bytes that have come and were not taken as frames yet. */
	get bytes(): number {
		return this.#bytes;
	}

	/** Adds what has come. The chunk is kept; crumbs are copied together. */
	push(chunk: Buffer): void {
		if (chunk.length === 0) return;
		this.#chunks.push(chunk);
		this.#bytes += chunk.length;
		if (this.#chunks.length >= this.#gatherAt) this.#gather();
	}

	/**
	 * Whether a whole frame has come: its bytes and API key are then in `length` and `apiKey`. Throws
	 * INVALID_REQUEST for a length that no request has.
	 */
	hasFrame(): boolean {
		if (this.#bytes < LENGTH_BYTES) return false;
		this.#length ??= this.#checkedLength();
		return this.#bytes >= LENGTH_BYTES + this.#length;
	}

	/** Bytes of the frame that `hasFrame` found, without its length. */
	get length(): number {
		return this.#length ?? 0;
	}

	/** The API key that stands at the beginning of the frame that `hasFrame` found. */
	get apiKey(): number {
		return this.#peek(LENGTH_BYTES + 2).readInt16BE(LENGTH_BYTES);
	}

	/**
	 * Takes the frame that `hasFrame` found. One that came in pieces is put together in `scratch`,
	 * where it stays as it is until the next is; without `scratch` in memory of its own.
	 */
	take(scratch?: FrameScratch): Buffer {
		const length = this.length;
		this.#length = undefined;
		this.#drop(LENGTH_BYTES);
		const first = this.#chunks[0] as Buffer;
		if (first.length >= length) {
			const frame = first.subarray(0, length);
			this.#drop(length);
			return frame;
		}
		// Not from Node's pool: a frame may live long, and would keep its neighbours there alive.
		const frame = scratch?.room(length) ?? Buffer.allocUnsafeSlow(length);
		let filled = 0;
		for (const chunk of this.#chunks) {
			if (filled === length) break;
			filled += chunk.copy(frame, filled, 0, Math.min(chunk.length, length - filled));
		}
		this.#drop(length);
		return frame;
	}

	/** Forgets everything. */
	clear(): void {
		this.#chunks = [];
		this.#bytes = 0;
		this.#length = undefined;
		this.#gatherAt = CRUMBS;
	}

	/**
	 * An object for every byte would cost a hundred times the byte: the last chunks become one where
	 * they are small, and so do the last of those.
	 */
	#gather(): void {
		while (this.#chunks.length >= CRUMBS) {
			const crumbs = this.#chunks.slice(-CRUMBS);
			const bytes = crumbs.reduce((sum, chunk) => sum + chunk.length, 0);
			if (bytes >= CRUMBS * CRUMB_BYTES_MAX) break;
			this.#chunks.splice(-CRUMBS, CRUMBS, Buffer.concat(crumbs, bytes));
		}
		this.#gatherAt = this.#chunks.length + CRUMBS;
	}

	#checkedLength(): number {
		const length = this.#peek(LENGTH_BYTES).readInt32BE(0);
		if (length >= REQUEST_BYTES_MIN && length <= this.#frameBytesMax) return length;
		throw new MillraceError(
			"INVALID_REQUEST",
			`a frame of ${length} bytes; a request has ${REQUEST_BYTES_MIN} to ${this.#frameBytesMax}`,
		);
	}

	/** At least the first `bytes` bytes, which have come, in one piece. */
	#peek(bytes: number): Buffer {
		const first = this.#chunks[0] as Buffer;
		return first.length >= bytes ? first : Buffer.concat(this.#chunks.slice(0, bytes), bytes);
	}

	/** Passes over the next `bytes` bytes, which have come. */
	#drop(bytes: number): void {
		this.#bytes -= bytes;
		let left = bytes;
		let whole = 0;
		for (const chunk of this.#chunks) {
			if (chunk.length > left) break;
			left -= chunk.length;
			whole++;
		}
		if (whole > 0) {
			this.#chunks.splice(0, whole);
			this.#gatherAt = this.#chunks.length + CRUMBS;
		}
		if (left > 0) this.#chunks[0] = (this.#chunks[0] as Buffer).subarray(left);
	}
}

/**
 * Memory in which one frame after the other is put together. Without it every large request would
 * leave its bytes to the garbage collector: a tenth of what taking in 1 MiB requests cost.
 */
export class FrameScratch {
	#memory: Buffer = Buffer.alloc(0);

	/** Room for a frame; what was given before is overwritten. */
	room(bytes: number): Buffer {
		if (bytes > SCRATCH_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
		if (this.#memory.length < bytes) this.#memory = Buffer.allocUnsafeSlow(SCRATCH_BYTES_MAX);
		return this.#memory.subarray(0, bytes);
	}
}
