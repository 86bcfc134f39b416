import { MillraceError } from "../../protocol/error.ts";
import type { Waiting } from "./completion.ts";

/** A record that was encoded before its topic's partitions were known. */
export interface StagedRecord {
	readonly bytes: Uint8Array;
	/** Hash of its key; undefined without one. */
	readonly keyHash: number | undefined;
	/** The partition it names; undefined if it leaves that to the producer. */
	readonly partition: number | undefined;
	readonly headerFields: number;
	readonly waiting: Waiting;
	readonly position: number;
	readonly deadlineMs: number;
}

/**
 * The records that wait for their topic to be opened, in order, and those whose time runs out
 * meanwhile.
 */
export class StagedRecords {
	#records: StagedRecord[] = [];
	#timer: ReturnType<typeof setTimeout> | undefined;
	#emptied: (() => void)[] = [];
	readonly #topic: string;
	readonly #failed: (record: StagedRecord, error: Error) => void;
	readonly #cause: () => Error | undefined;

	/** @param cause why the topic could not be opened so far */
	constructor(
		topic: string,
		failed: (record: StagedRecord, error: Error) => void,
		cause: () => Error | undefined,
	) {
		this.#topic = topic;
		this.#failed = failed;
		this.#cause = cause;
	}

	push(record: StagedRecord): void {
		this.#records.push(record);
		if (this.#records.length === 1) this.#planExpiry();
	}

	/** Takes all of them out. */
	take(): StagedRecord[] {
		clearTimeout(this.#timer);
		this.#tellEmptied();
		return this.#records.splice(0);
	}

	/**
	 * Resolves when none waits any more, also because their time was up: the topic may never be
	 * opened.
	 */
	untilEmpty(): Promise<void> {
		if (this.#records.length === 0) return Promise.resolve();
		return new Promise((resolve) => this.#emptied.push(resolve));
	}

	#tellEmptied(): void {
		for (const resolve of this.#emptied.splice(0)) resolve();
	}

	#planExpiry(): void {
		const [oldest] = this.#records;
		if (oldest === undefined) return;
		const waitMs = Math.max(1, oldest.deadlineMs - performance.now());
		this.#timer = setTimeout(() => this.#expire(), waitMs);
	}

	#expire(): void {
		const nowMs = performance.now();
		const stay = this.#records.findIndex((record) => record.deadlineMs > nowMs);
		const expired = this.#records.splice(0, stay < 0 ? this.#records.length : stay);
		const cause = this.#cause();
		const error = new MillraceError("DELIVERY_TIMEOUT", "it was not sent", {
			topic: this.#topic,
			...(cause === undefined ? {} : { cause }),
		});
		for (const record of expired) this.#failed(record, error);
		if (this.#records.length === 0) this.#tellEmptied();
		this.#planExpiry();
	}
}
