/**
 * Who waits for which partition's high watermark. The core is asked once a partition, however many
 * wait: it posts one event, and everyone whose offset was passed is woken.
 */
import type { LoopHold } from "./loop-hold.ts";

interface Waiter {
	readonly offset: number;
	readonly wake: () => void;
}

interface WatchedPartition {
	readonly topic: number;
	readonly partition: number;
	readonly waiters: Set<Waiter>;
	/** The lowest offset that the core was asked for and has not answered yet. */
	armedOffset: number;
}

/** The part of the core that watches. */
export interface WatchSource {
	/** Asks for one event once the high watermark has passed `offset`; false when it has already. */
	arm(topic: number, partition: number, offset: number): boolean;
	/** The high watermark, or infinity when the topic is gone: then everyone is to look again. */
	highWatermark(topic: number, partition: number): number;
}

/**
 * Partitions of a topic are below this (`LIMITS.topicPartitionsMax`), so that one number names one.
 */
const PARTITION_SPAN = 1 << 20;
const NOT_ARMED = Number.POSITIVE_INFINITY;

export class PartitionWatches {
	readonly #source: WatchSource;
	readonly #hold: LoopHold;
	readonly #partitions = new Map<number, WatchedPartition>();

	/** While anyone waits, `hold` is held. */
	constructor(source: WatchSource, hold: LoopHold) {
		this.#source = source;
		this.#hold = hold;
	}

	/**
	 * Calls `wake` once, on a later turn, when the high watermark has passed `offset`. Returns a
	 * cancel.
	 */
	add(topic: number, partition: number, offset: number, wake: () => void): () => void {
		const key = topic * PARTITION_SPAN + partition;
		let watched = this.#partitions.get(key);
		if (watched === undefined) {
			watched = { topic, partition, waiters: new Set(), armedOffset: NOT_ARMED };
			this.#partitions.set(key, watched);
		}
		const waiter = { offset, wake };
		watched.waiters.add(waiter);
		this.#hold.add();
		this.#arm(watched, offset);
		const { waiters } = watched;
		// The partition stays known: the core still has what it was asked for, and asking it again for
		// everyone who comes and goes would pile that up there. `advance` forgets it.
		return () => {
			if (waiters.delete(waiter)) this.#hold.remove();
		};
	}

	/** Wakes everyone: nothing will come any more. */
	close(): void {
		for (const { waiters } of this.#partitions.values()) {
			for (const waiter of waiters) this.#wake(waiters, waiter);
		}
		this.#partitions.clear();
	}

	/** Wakes everyone of a partition whose offset was passed. Called when the core's event comes. */
	advance(topic: number, partition: number): void {
		const watched = this.#partitions.get(topic * PARTITION_SPAN + partition);
		if (watched === undefined) return;
		watched.armedOffset = NOT_ARMED;
		const highWatermark = this.#source.highWatermark(topic, partition);
		let lowest = NOT_ARMED;
		for (const waiter of watched.waiters) {
			if (waiter.offset < highWatermark) {
				this.#wake(watched.waiters, waiter);
			} else {
				lowest = Math.min(lowest, waiter.offset);
			}
		}
		if (watched.waiters.size === 0) {
			this.#partitions.delete(topic * PARTITION_SPAN + partition);
		} else if (lowest !== NOT_ARMED) {
			this.#arm(watched, lowest);
		}
	}

	#wake(waiters: Set<Waiter>, waiter: Waiter): void {
		waiters.delete(waiter);
		this.#hold.remove();
		waiter.wake();
	}

	#arm(watched: WatchedPartition, offset: number): void {
		if (offset >= watched.armedOffset) return;
		watched.armedOffset = offset;
		const { topic, partition } = watched;
		if (!this.#source.arm(topic, partition, offset)) {
			setImmediate(() => this.advance(topic, partition));
		}
	}
}
