import type { LiveTopic } from "../topics/live-topics.ts";
import type { Subscription } from "./subscription.ts";

/** The subscriptions of a connection by their numbers, and those of them that are due. */
export class Subscriptions {
	readonly #byNumber = new Map<number, Subscription>();
	/** In the order in which they became due. */
	readonly #due = new Set<Subscription>();

	get size(): number {
		return this.#byNumber.size;
	}

	get isAnyDue(): boolean {
		return this.#due.size > 0;
	}

	has(sub: number): boolean {
		return this.#byNumber.has(sub);
	}

	get(sub: number): Subscription | undefined {
		return this.#byNumber.get(sub);
	}

	add(subscription: Subscription): void {
		this.#byNumber.set(subscription.target.sub, subscription);
	}

	/** It has ended; another may have its number already. */
	remove(subscription: Subscription): void {
		this.#due.delete(subscription);
		const { sub } = subscription.target;
		if (this.#byNumber.get(sub) === subscription) this.#byNumber.delete(sub);
	}

	all(): Subscription[] {
		return [...this.#byNumber.values()];
	}

	/** Those that have not sent all there is, or were not when they were last looked at. */
	*unfinished(): Generator<Subscription> {
		for (const subscription of this.#byNumber.values()) {
			if (!subscription.isCaughtUp) yield subscription;
		}
	}

	/** Those of a topic. */
	of(topic: LiveTopic): Subscription[] {
		return this.all().filter(({ target }) => target.topic === topic);
	}

	markDue(subscription: Subscription): void {
		this.#due.add(subscription);
	}

	/**
	 * Those that are due now, each as its turn comes and until it does: what becomes due meanwhile is
	 * for the next time.
	 */
	*turns(): Generator<Subscription> {
		for (const subscription of [...this.#due]) {
			if (this.#due.delete(subscription)) yield subscription;
		}
	}

	/** Stops all of them without a word to the client. */
	stop(): void {
		for (const subscription of this.#byNumber.values()) subscription.stop();
		this.#byNumber.clear();
		this.#due.clear();
	}
}
