/**
 * Memory for copies of frames on their way into sockets. A delivery is some hundred kilobytes: with
 * a fresh buffer for each, the garbage of a few hundred readers would be most of the broker's
 * memory.
 */
export class CopyPool {
	readonly #bufferBytes: number;
	readonly #idleMax: number;
	readonly #idle: Buffer[] = [];

	/** Keeps at most `idleMax` buffers of `bufferBytes` for the next copies. */
	constructor(bufferBytes: number, idleMax: number) {
		this.#bufferBytes = bufferBytes;
		this.#idleMax = idleMax;
	}

	/** A copy of `bytes`; to be given back by `release` once nobody reads it any more. */
	copy(bytes: Uint8Array): Buffer {
		// A small frame must not hold a large buffer for as long as its socket is backed up.
		if (bytes.length > this.#bufferBytes || bytes.length < this.#bufferBytes / 4) {
			return Buffer.from(bytes);
		}
		const buffer = this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#bufferBytes);
		buffer.set(bytes);
		return buffer.subarray(0, bytes.length);
	}

	/** Takes a copy back, once. */
	release(copy: Buffer): void {
		if (copy.buffer.byteLength !== this.#bufferBytes) return;
		if (this.#idle.length < this.#idleMax) this.#idle.push(Buffer.from(copy.buffer));
	}
}
