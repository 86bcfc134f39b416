/**
 * Keeps the event loop from ending while anything is pending, and only then: a program that waits
 * for an ack gets it, one that forgot to close its storage ends all the same.
 */
export class LoopHold {
	readonly #setHeld: (isHeld: boolean) => void;
	#pendingCount = 0;

	/** `setHeld` is called whenever it changes whether anything is pending; at first nothing is. */
	constructor(setHeld: (isHeld: boolean) => void) {
		this.#setHeld = setHeld;
	}

	/** One thing more is pending. */
	add(): void {
		if (this.#pendingCount++ === 0) this.#setHeld(true);
	}

	/** One thing is done. */
	remove(): void {
		if (--this.#pendingCount === 0) this.#setHeld(false);
	}
}
