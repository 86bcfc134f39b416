import { constants, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";

const STDOUT = 1;
const NEWLINE = 0x0a;

/** Lines are collected into blocks of this many bytes. */
const BLOCK_BYTES = 262_144;

/**
 * Writes many lines to stdout as few large pieces and waits for a slow reader without holding the
 * event loop. What was collected goes out at the end of the loop's turn. A reader that goes away
 * (`| head`) is no failure: `closed` turns true.
 */
export class StandardOutput {
	readonly #stream: Writable;
	#block = Buffer.allocUnsafe(BLOCK_BYTES);
	#blockBytes = 0;
	#flushScheduled = false;
	/** The stream holds more than it likes to: no more until it has drained. */
	#behind = false;
	#closed = false;
	#failure: Error | undefined;
	#waiters: (() => void)[] = [];

	constructor(stream: Writable = openStandardOutput()) {
		this.#stream = stream;
		stream.on("drain", () => {
			this.#behind = false;
			this.#wakeAll();
		});
		stream.on("error", (error: NodeJS.ErrnoException) => {
			if (error.code === "EPIPE") this.#closed = true;
			else this.#failure = error;
			this.#wakeAll();
		});
	}

	/** Whether the reader has gone; nothing more will be written. */
	get closed(): boolean {
		return this.#closed;
	}

	/**
	 * Adds bytes, which are copied, and a newline. Returns a promise when the reader is behind: wait
	 * for it before writing more. Throws, or rejects, when stdout cannot be written (a full disk).
	 */
	writeLine(bytes: Uint8Array): Promise<void> | undefined {
		this.#check();
		const lineBytes = bytes.length + 1;
		if (this.#blockBytes + lineBytes > this.#block.length) {
			this.#flush();
			if (lineBytes > this.#block.length) this.#block = Buffer.allocUnsafe(lineBytes);
		}
		this.#block.set(bytes, this.#blockBytes);
		this.#block[this.#blockBytes + bytes.length] = NEWLINE;
		this.#blockBytes += lineBytes;
		if (!this.#flushScheduled) {
			this.#flushScheduled = true;
			setImmediate(() => {
				this.#flushScheduled = false;
				this.#flush();
			});
		}
		return this.#behind && !this.#closed ? this.#settled() : undefined;
	}

	/**
	 * Resolves when everything has been taken, or the reader has gone. Rejects as `writeLine` does.
	 */
	async end(): Promise<void> {
		this.#flush();
		if (!this.#closed && this.#failure === undefined) {
			await new Promise<void>((resolve) => {
				this.#waiters.push(resolve);
				this.#stream.write("", () => resolve());
			});
		}
		this.#check();
	}

	#flush(): void {
		if (this.#blockBytes === 0) return;
		const block = this.#block.subarray(0, this.#blockBytes);
		this.#block = Buffer.allocUnsafe(BLOCK_BYTES);
		this.#blockBytes = 0;
		this.#give(block);
	}

	#give(bytes: Buffer): void {
		if (this.#closed || this.#failure !== undefined) return;
		if (!this.#stream.write(bytes)) this.#behind = true;
	}

	async #settled(): Promise<void> {
		await new Promise<void>((resolve) => this.#waiters.push(resolve));
		this.#check();
	}

	#wakeAll(): void {
		const waiters = this.#waiters;
		this.#waiters = [];
		for (const wake of waiters) wake();
	}

	#check(): void {
		if (this.#failure !== undefined) throw this.#failure;
	}
}

/**
 * Node writes to pipes synchronously: a reader that has stopped would hold the event loop, and with
 * it the connection. A pipe is therefore opened anew, non-blocking for us and nobody else who
 * shares it.
 */
function openStandardOutput(): Writable {
	if (!fstatSync(STDOUT).isFIFO()) return process.stdout;
	try {
		const descriptor = openSync(`/dev/fd/${STDOUT}`, constants.O_WRONLY | constants.O_NONBLOCK);
		return new Socket({ fd: descriptor, readable: false, writable: true });
	} catch {
		// Not allowed or no /dev/fd: then writing synchronously has to do.
		return process.stdout;
	}
}
