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

export class FrameAssembler {
	readonly #frameBytesMax: number;
	/** What has come and belongs to no frame yet, oldest first. */
	#chunks: Buffer[] = [];
	#bytes = 0;
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
	 * The next whole frame without its length, or null until more has come. A frame that came in one
	 * piece is a view of it. Throws INVALID_REQUEST for a length that no request has.
	 */
	next(): Buffer | null {
		if (this.#bytes < LENGTH_BYTES) return null;
		const length = this.#peekLength();
		if (length < REQUEST_BYTES_MIN || length > this.#frameBytesMax) {
			throw new MillraceError(
				"INVALID_REQUEST",
				`a frame of ${length} bytes; a request has ${REQUEST_BYTES_MIN} to ${this.#frameBytesMax}`,
			);
		}
		if (this.#bytes < LENGTH_BYTES + length) return null;
		this.#take(LENGTH_BYTES);
		return this.#take(length);
	}

	/** Forgets everything. */
	clear(): void {
		this.#chunks = [];
		this.#bytes = 0;
	}

	/**
	 * An object for every byte would cost a hundred times the byte: the last chunks become one where
	 * they are small.
	 */
	#gather(): void {
		const crumbs = this.#chunks.slice(-CRUMBS);
		const bytes = crumbs.reduce((sum, chunk) => sum + chunk.length, 0);
		if (bytes < CRUMBS * CRUMB_BYTES_MAX) {
			this.#chunks.splice(-CRUMBS, CRUMBS, Buffer.concat(crumbs, bytes));
		}
		this.#gatherAt = this.#chunks.length + CRUMBS;
	}

	#peekLength(): number {
		const first = this.#chunks[0] as Buffer;
		if (first.length >= LENGTH_BYTES) return first.readInt32BE(0);
		return Buffer.concat(this.#chunks.slice(0, LENGTH_BYTES)).readInt32BE(0);
	}

	/** Takes the next `length` bytes, which are there. */
	#take(length: number): Buffer {
		this.#bytes -= length;
		const first = this.#chunks[0] as Buffer;
		if (first.length >= length) {
			if (first.length === length) this.#chunks.shift();
			else this.#chunks[0] = first.subarray(length);
			return first.subarray(0, length);
		}
		// Not from the pool: a frame may live long, and would keep its neighbours there alive.
		const whole = Buffer.allocUnsafeSlow(length);
		let filled = 0;
		let used = 0;
		while (filled < length) {
			const chunk = this.#chunks[used] as Buffer;
			const wanted = length - filled;
			chunk.copy(whole, filled, 0, wanted);
			filled += Math.min(chunk.length, wanted);
			if (chunk.length <= wanted) used++;
			else this.#chunks[used] = chunk.subarray(wanted);
		}
		this.#chunks.splice(0, used);
		this.#gatherAt = this.#chunks.length + CRUMBS;
		return whole;
	}
}
