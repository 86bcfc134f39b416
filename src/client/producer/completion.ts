import type { Ack, RecordToSend } from "../records.ts";

/**
 * Whoever waits for records that were taken in. A record given to `write()` has no completion of
 * its own: the record itself stands in its place, and is told about only when it fails.
 */
export interface Completion {
	/** The record that was the caller's number `position` is stored. */
	stored(position: number, ack: Ack): void;
	failed(error: Error): void;
}

/** One `send()`. */
export class SendCompletion implements Completion {
	readonly promise: Promise<Ack>;
	#resolve!: (ack: Ack) => void;
	#reject!: (error: Error) => void;

	constructor() {
		this.promise = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
	}

	stored(_position: number, ack: Ack): void {
		this.#resolve(ack);
	}

	failed(error: Error): void {
		this.#reject(error);
	}
}

/** One `sendBatch()`: resolves when all its records are stored, rejects once all are settled. */
export class SendBatchCompletion implements Completion {
	readonly promise: Promise<Ack[]>;
	readonly #acks: Ack[];
	#remaining: number;
	#error: Error | undefined;
	#resolve!: (acks: Ack[]) => void;
	#reject!: (error: Error) => void;

	constructor(count: number) {
		this.#acks = new Array<Ack>(count);
		this.#remaining = count;
		this.promise = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
		if (count === 0) this.#resolve([]);
	}

	stored(position: number, ack: Ack): void {
		this.#acks[position] = ack;
		this.#settle();
	}

	failed(error: Error): void {
		this.#error ??= error;
		this.#settle();
	}

	#settle(): void {
		if (--this.#remaining > 0) return;
		if (this.#error === undefined) this.#resolve(this.#acks);
		else this.#reject(this.#error);
	}
}

/** What stands for a record in a batch. */
export type Waiting = Completion | RecordToSend<never>;

export function isCompletion(waiting: Waiting): waiting is Completion {
	return waiting instanceof SendCompletion || waiting instanceof SendBatchCompletion;
}
