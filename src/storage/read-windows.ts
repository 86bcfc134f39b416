/**
 * The mapped memory that deliveries are views of: a window is held while it is in use or recently
 * was. The core bounds what it caches itself; this bounds what the event loop holds beyond.
 *
 * Most windows are placed in a slot: a range of addresses with one ArrayBuffer, made once, that
 * shows one window after the other. So a view must not be looked at once it was given back: its
 * bytes may be those of another window, maybe of another topic. While it is lent, they stay.
 *
 * A window with addresses of its own has its own ArrayBuffer, which is detached when the window is
 * given up, so that the disk blocks of a deleted topic are given back at once instead of at the
 * next garbage collection.
 */
interface ReadWindow {
	readonly id: number;
	readonly topic: number;
	readonly buffer: ArrayBuffer;
	/** Whether `buffer` shows other windows after this one. */
	readonly isSlotted: boolean;
	lentCount: number;
	/** No longer in the cache: it is given up when the last view comes back. */
	isDropped: boolean;
}

/** The part of the core that maps. */
export interface WindowSource {
	/**
	 * Has the window's memory stay until `release`. The slot that it is placed in, -1 for a window
	 * with addresses of its own, null when the core has given it up meanwhile.
	 */
	hold(id: number): number | null;
	/** The memory of a window that is held, or of the whole of its slot. */
	buffer(id: number): ArrayBuffer;
	/** Undoes a `hold`: unless somebody else has the window, its slot is another's from now on. */
	release(id: number): void;
	/** Gives the buffer's memory back at once, leaving it with no bytes. */
	detach(buffer: ArrayBuffer): void;
}

export class ReadWindows {
	readonly #source: WindowSource;
	readonly #bytesMax: number;
	/** In the order of last use. */
	readonly #windows = new Map<number, ReadWindow>();
	/** By the number of the slot. */
	readonly #slotBuffers = new Map<number, ArrayBuffer>();
	readonly #lent = new Map<Uint8Array, ReadWindow>();
	#bytes = 0;
	#isClosed = false;

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
		return this.#lent.size;
	}

	/**
	 * A view of `bytes` bytes from `start` in window `id` of `topic`; null when the window is gone
	 * and the read has to be repeated. The view is lent: nobody writes to it, it comes back by
	 * `release`, and nobody looks at it afterwards.
	 */
	lend(id: number, topic: number, start: number, bytes: number): Uint8Array | null {
		const window = this.#windows.get(id) ?? this.#hold(id, topic);
		if (window === null) return null;
		this.#windows.delete(id);
		this.#windows.set(id, window);
		const view = new Uint8Array(window.buffer, start, bytes);
		window.lentCount++;
		this.#lent.set(view, window);
		this.#evict();
		return view;
	}

	/** Takes a lent view back; one that is not lent is none of its business. */
	release(view: Uint8Array): void {
		const window = this.#lent.get(view);
		if (window === undefined) return;
		this.#lent.delete(view);
		window.lentCount--;
		if (window.isDropped && window.lentCount === 0) this.#giveUp(window);
	}

	/** Gives up every window of a topic. */
	dropTopic(topic: number): void {
		for (const window of this.#windows.values()) {
			if (window.topic === topic) this.#drop(window);
		}
	}

	/** Gives up every window, for good. */
	close(): void {
		for (const window of this.#windows.values()) this.#drop(window);
		this.#isClosed = true;
		for (const buffer of this.#slotBuffers.values()) this.#detachUnlessLent(buffer);
		this.#slotBuffers.clear();
	}

	#hold(id: number, topic: number): ReadWindow | null {
		const slot = this.#source.hold(id);
		if (slot === null) return null;
		const isSlotted = slot >= 0;
		let buffer = this.#slotBuffers.get(slot);
		if (buffer === undefined) {
			buffer = this.#source.buffer(id);
			if (isSlotted) this.#slotBuffers.set(slot, buffer);
		}
		const window = { id, topic, buffer, isSlotted, lentCount: 0, isDropped: false };
		this.#windows.set(id, window);
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
		if (window.lentCount === 0) this.#giveUp(window);
	}

	#giveUp({ id, buffer, isSlotted }: ReadWindow): void {
		this.#source.release(id);
		if (!isSlotted) this.#source.detach(buffer);
		else if (this.#isClosed) this.#detachUnlessLent(buffer);
	}

	#detachUnlessLent(buffer: ArrayBuffer): void {
		for (const window of this.#lent.values()) if (window.buffer === buffer) return;
		this.#source.detach(buffer);
	}
}
