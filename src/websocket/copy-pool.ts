/**
 * Memory for copies of frames on their way into sockets. A delivery is tens or hundreds of
 * kilobytes: with a fresh buffer for each, the garbage of a few hundred readers would be most of
 * the broker's memory, and what malloc keeps of it would stay.
 */
export class CopyPool {
	readonly #shelves: readonly Shelf[];

	/** Keeps at most `idleMax` buffers of `bufferBytes` of each size for the next copies. */
	constructor(sizes: readonly { bufferBytes: number; idleMax: number }[]) {
		this.#shelves = sizes.map((size) => ({ ...size, idle: [] }));
	}

	/** A copy of `bytes`; to be given back by `release` once nobody reads it any more. */
	copy(bytes: Uint8Array): Buffer<ArrayBuffer> {
		for (const { bufferBytes, idle } of this.#shelves) {
			// A small frame must not hold a large buffer for as long as its socket is backed up.
			if (bytes.length > bufferBytes || bytes.length < bufferBytes / 4) continue;
			const memory = idle.pop() ?? Buffer.allocUnsafeSlow(bufferBytes).buffer;
			const copy = Buffer.from(memory, 0, bytes.length);
			copy.set(bytes);
			return copy;
		}
		return Buffer.from(bytes);
	}

	/** Takes a copy back, once. */
	release({ buffer }: Buffer<ArrayBuffer>): void {
		for (const { bufferBytes, idleMax, idle } of this.#shelves) {
			if (buffer.byteLength === bufferBytes && idle.length < idleMax) idle.push(buffer);
		}
	}
}

interface Shelf {
	readonly bufferBytes: number;
	readonly idleMax: number;
	readonly idle: ArrayBuffer[];
}
