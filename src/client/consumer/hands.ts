import type { Subscription } from "./subscription.ts";

/** What an iterator has given to the application, which has not asked to go on yet. */
export class Hand<Value> {
	/** Where it is of; undefined: nothing is in hand. */
	subscription: Subscription<Value> | undefined;
	/** The first offset that may not be dealt with. */
	offset = 0;
	/** The application has said that it is done with it. */
	isCounted = false;
	/** Its partition is not consumed here any more. */
	isLost = false;
	/** How many iterators there had been when its own was left; undefined: it was not. */
	leftAt: number | undefined;
	/** How many iterators there had been before its own. */
	readonly number: number;

	constructor(number: number) {
		this.number = number;
	}

	take(subscription: Subscription<Value>, offset: number): void {
		this.subscription = subscription;
		this.offset = offset;
		this.isCounted = false;
	}

	clear(): void {
		this.subscription = undefined;
		this.isLost = false;
	}
}

/** What all iterators of a consumer have given to the application. */
export class Hands<Value> {
	/** How often the application has asked to go on. */
	askCount = 0;
	#openCount = 0;
	readonly #held = new Set<Hand<Value>>();
	/** Those of loops that were left: nobody is at work on what is in them. */
	readonly #left = new Set<Hand<Value>>();
	/** Nobody is to wait any more. */
	#isReleased = false;
	/** Who waits for something in hand. */
	readonly #drains = new Set<() => void>();

	/** That of an iterator that begins. */
	open(): Hand<Value> {
		const hand = new Hand<Value>(this.#openCount++);
		this.#held.add(hand);
		return hand;
	}

	/** The iterator is at its end. */
	close(hand: Hand<Value>): void {
		this.#held.delete(hand);
	}

	/**
	 * The application asks to go on: it is done with what it had. A loop that began behind one that
	 * was left goes on in its place; those that ran beside it say nothing about what was in there.
	 */
	asked(hand: Hand<Value>): void {
		this.askCount++;
		hand.clear();
		if (this.#left.size > 0) this.#succeed(hand.number);
		if (this.#drains.size > 0) this.#tell();
	}

	/** What the loops had that were left before this one began is dealt with. */
	#succeed(number: number): void {
		for (const left of this.#left) {
			const isSucceeded = left.leftAt !== undefined && number >= left.leftAt;
			if (isSucceeded || left.isLost) this.#left.delete(left);
		}
	}

	/** A loop is left: what it had may be dealt with or not, but nobody is at it any more. */
	leave(hand: Hand<Value>): void {
		if (hand.leftAt !== undefined) return;
		this.#held.delete(hand);
		hand.leftAt = this.#openCount;
		if (hand.subscription !== undefined || hand.isLost) this.#left.add(hand);
		this.#tell();
	}

	/** Lowers `position` to the first offset in hand, if there is one that was not counted. */
	finishedOffset(
		subscription: Subscription<Value>,
		position: number | undefined,
	): number | undefined {
		let offset = position;
		for (const hand of this.#of(subscription)) {
			if (hand.isCounted) continue;
			if (offset === undefined || hand.offset < offset) offset = hand.offset;
		}
		return offset;
	}

	/** What is in hand of a partition counts as dealt with. */
	count(subscription: Subscription<Value>): void {
		for (const hand of this.#of(subscription)) hand.isCounted = true;
	}

	/** Whether something in hand is of a partition that is not consumed here any more. */
	get hasLost(): boolean {
		return [...this.#held, ...this.#left].some(({ isLost }) => isLost);
	}

	/** A partition is not consumed here any more: what is in hand of it is nobody's to count. */
	lose(subscription: Subscription<Value>): void {
		for (const hand of this.#of(subscription)) {
			hand.clear();
			hand.isLost = true;
		}
		this.#tell();
	}

	/** What is in hand of a partition counts no more. */
	clear(subscription: Subscription<Value>): void {
		for (const hand of this.#of(subscription)) hand.clear();
		this.#tell();
	}

	/** Lets everybody go on who waits for something in hand, which stays there. */
	release(): void {
		this.#isReleased = true;
		this.#tell();
	}

	/** Nothing counts any more. */
	clearAll(): void {
		for (const hand of this.#held) hand.clear();
		this.#left.clear();
		this.#tell();
	}

	/** Resolves when the application is not at work on anything of these. */
	drained(subscriptions: ReadonlySet<Subscription<Value>>): Promise<void> {
		const isBusy = () =>
			[...this.#held].some(
				({ subscription }) => subscription !== undefined && subscriptions.has(subscription),
			);
		return new Promise((resolve) => {
			const look = () => {
				if (isBusy() && !this.#isReleased) return;
				this.#drains.delete(look);
				resolve();
			};
			this.#drains.add(look);
			look();
		});
	}

	*#of(subscription: Subscription<Value>): Generator<Hand<Value>> {
		for (const hand of this.#held) if (hand.subscription === subscription) yield hand;
		for (const hand of this.#left) if (hand.subscription === subscription) yield hand;
	}

	#tell(): void {
		for (const look of [...this.#drains]) look();
	}
}
