/** An async iterator by hand: a generator would cost several promises a record. */
export class ConsumerIterator<Element> implements AsyncIterableIterator<Element> {
	readonly next: () => Promise<IteratorResult<Element, undefined>>;
	readonly #left: () => void;

	constructor(next: () => Promise<IteratorResult<Element, undefined>>, left: () => void) {
		this.next = next;
		this.#left = left;
	}

	/**
	 * A loop that is left is over, also where it waits, and leaves the consumer as it is: another one
	 * goes on from there.
	 */
	return(): Promise<IteratorResult<Element, undefined>> {
		this.#left();
		return Promise.resolve({ done: true, value: undefined });
	}

	[Symbol.asyncIterator](): this {
		return this;
	}
}

/** Runs `work` when pending events have had their turn. */
export function inNextTurn(work: () => void): void {
	const { setImmediate } = globalThis as { setImmediate?: (work: () => void) => void };
	// Browsers have no setImmediate; a timeout of 0 is the next best there.
	if (setImmediate === undefined) setTimeout(work, 0);
	else setImmediate(work);
}
