const NEWLINE = 0x0a;

/** A line is longer than the bound that the splitter was made with. */
export class LineTooLongError extends Error {
	override readonly name = "LineTooLongError";
}

/**
 * Takes a stream of chunks apart into lines, as bytes without their newline. Lines are views of the
 * chunks wherever they can be: a chunk belongs to the splitter's caller's caller from `push` on and
 * must not be written to again.
 */
export class LineSplitter {
	readonly #lineBytesMax: number;
	#chunk: Buffer = Buffer.alloc(0);
	#position = 0;
	/** Beginnings of a line that has not ended yet, from earlier chunks. */
	#carried: Buffer[] = [];
	#carriedBytes = 0;
	/** Lines returned so far. */
	lineCount = 0;

	constructor(lineBytesMax: number) {
		this.#lineBytesMax = lineBytesMax;
	}

	/** Takes the next chunk; `next` must have returned null for the one before. */
	push(chunk: Buffer): void {
		this.#chunk = chunk;
		this.#position = 0;
	}

	/** The next whole line, or null when the chunk is used up. Throws LineTooLongError. */
	next(): Uint8Array | null {
		const end = this.#chunk.indexOf(NEWLINE, this.#position);
		if (end === -1) {
			this.#carry(this.#chunk.subarray(this.#position));
			this.#position = this.#chunk.length;
			return null;
		}
		const tail = this.#chunk.subarray(this.#position, end);
		this.#position = end + 1;
		return this.#complete(tail);
	}

	/** The last line when it has no newline, or null. Call once, after the last chunk. */
	end(): Uint8Array | null {
		if (this.#carriedBytes === 0) return null;
		return this.#complete(Buffer.alloc(0));
	}

	#complete(tail: Buffer): Uint8Array {
		this.#check(this.#carriedBytes + tail.length);
		this.lineCount += 1;
		if (this.#carriedBytes === 0) return tail;
		const line = Buffer.concat([...this.#carried, tail]);
		this.#carried = [];
		this.#carriedBytes = 0;
		return line;
	}

	#carry(part: Buffer): void {
		if (part.length === 0) return;
		this.#check(this.#carriedBytes + part.length);
		this.#carried.push(part);
		this.#carriedBytes += part.length;
	}

	#check(bytes: number): void {
		if (bytes <= this.#lineBytesMax) return;
		throw new LineTooLongError(
			`line ${this.lineCount + 1} is longer than a record can be: ${this.#lineBytesMax} bytes`,
		);
	}
}
