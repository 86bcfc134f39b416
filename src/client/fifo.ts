/** A first-in first-out queue whose ends both cost O(1): an array with a moving head. */
export class Fifo<Item> {
	#items: (Item | undefined)[] = [];
	#head = 0;

	get size(): number {
		return this.#items.length - this.#head;
	}

	push(item: Item): void {
		this.#items.push(item);
	}

	/** The oldest item, which stays. */
	peek(): Item | undefined {
		return this.#items[this.#head];
	}

	/** Takes the oldest item out. */
	shift(): Item | undefined {
		if (this.#head === this.#items.length) return undefined;
		const item = this.#items[this.#head];
		this.#items[this.#head++] = undefined;
		if (this.#head === this.#items.length) {
			this.#items = [];
			this.#head = 0;
		} else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
			this.#items = this.#items.slice(this.#head);
			this.#head = 0;
		}
		return item;
	}

	/** Takes out the items that `leaves` says, and returns them in order. */
	extract(leaves: (item: Item) => boolean): Item[] {
		const left: Item[] = [];
		const stay: Item[] = [];
		for (const item of this) (leaves(item) ? left : stay).push(item);
		this.#items = stay;
		this.#head = 0;
		return left;
	}

	/** Puts items before the oldest one, in their order. */
	unshift(items: readonly Item[]): void {
		this.#items = [...items, ...this];
		this.#head = 0;
	}

	*[Symbol.iterator](): Generator<Item> {
		for (let index = this.#head; index < this.#items.length; index++) {
			yield this.#items[index] as Item;
		}
	}
}
