/**
 * The mapped memory that deliveries are views of: one ArrayBuffer a read window, kept while it is
 * in use or recently was. The core bounds what it caches itself; this bounds what the event loop
 * holds beyond.
 *
 * A window whose topic was deleted is detached as soon as no view is lent out, so that the disk
 * blocks are given back at once instead of at the next garbage collection.
 */
interface ReadWindow {
	readonly id: number;
	readonly topic: number;
	readonly buffer: ArrayBuffer;
	lentCount: number;
	/** No longer in the cache: detach it when the last view comes back. */
	isDropped: boolean;
}

/** The part of the core that maps. */
export interface WindowSource {
	/** The window's memory, or null when the core has given it up meanwhile. */
	map(id: number): ArrayBuffer | null;
	/** Unmaps at once, leaving the buffer with no bytes. */
	detach(buffer: ArrayBuffer): void;
}

export class ReadWindows {
	readonly #source: WindowSource;
	readonly #bytesMax: number;
	/** In the order of last use. */
	readonly #windows = new Map<number, ReadWindow>();
	readonly #byBuffer = new WeakMap<ArrayBufferLike, ReadWindow>();
	#bytes = 0;
	#lentCount = 0;

	/** Windows of more than `bytesMax` bytes are held only while views of them are lent out. */
	constructor(source: WindowSource, bytesMax: number) {
		this.#source = source;
		this.#bytesMax = bytesMax;
	}

	/** Address space of the windows held, in bytes. */
	get bytes(): number {
		return this.#bytes;
	}

	/** Views that are lent out. */
	get lentCount(): number {
		return this.#lentCount;
	}

	/**
	 * A view of `bytes` bytes from `start` in window `id` of `topic`; null when the window is gone
	 * and the read has to be repeated. The view is lent: nobody writes to it, and it comes back by
	 * `release`.
	 */
	lend(id: number, topic: number, start: number, bytes: number): Uint8Array | null {
		const window = this.#windows.get(id) ?? this.#map(id, topic);
		if (window === null) return null;
		this.#windows.delete(id);
		this.#windows.set(id, window);
		window.lentCount++;
		this.#lentCount++;
		this.#evict();
		return new Uint8Array(window.buffer, start, bytes);
	}

	/** Takes a lent view back. */
	release(view: Uint8Array): void {
		const window = this.#byBuffer.get(view.buffer);
		if (window === undefined) return;
		window.lentCount--;
		this.#lentCount--;
		if (window.isDropped && window.lentCount === 0) this.#source.detach(window.buffer);
	}

	/** Gives up every window of a topic. */
	dropTopic(topic: number): void {
		for (const window of this.#windows.values()) {
			if (window.topic === topic) this.#drop(window);
		}
	}

	/** Gives up every window. */
	clear(): void {
		for (const window of this.#windows.values()) this.#drop(window);
	}

	#map(id: number, topic: number): ReadWindow | null {
		const buffer = this.#source.map(id);
		if (buffer === null) return null;
		const window = { id, topic, buffer, lentCount: 0, isDropped: false };
		this.#windows.set(id, window);
		this.#byBuffer.set(buffer, window);
		this.#bytes += buffer.byteLength;
		return window;
	}

	#evict(): void {
		for (const window of this.#windows.values()) {
			if (this.#bytes <= this.#bytesMax) return;
			if (window.lentCount === 0) this.#drop(window);
		}
	}

	#drop(window: ReadWindow): void {
		this.#windows.delete(window.id);
		this.#bytes -= window.buffer.byteLength;
		window.isDropped = true;
		if (window.lentCount === 0) this.#source.detach(window.buffer);
	}
}
