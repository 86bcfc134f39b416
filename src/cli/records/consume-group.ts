/**
 * `millrace consume TOPIC --group GROUP`: commits what stdout has taken, so that a pipe that breaks
 * or a process that is killed loses nothing of it.
 */

import type { ConsumedRecord, GroupConsumer } from "../../client/index.ts";
import { MillraceError } from "../../errors.ts";
import type { StandardOutput } from "./standard-output.ts";

/** How often what was written is committed, in milliseconds. */
const COMMIT_INTERVAL_MS = 1_000;

/** What was written of the partitions that are ours, and is to be committed. */
export class WrittenOffsets {
	readonly #output: StandardOutput;
	/** The next offset of each partition, by topic and number. */
	readonly #next = new Map<string, { topic: string; partition: number; offset: number }>();
	readonly #timer: NodeJS.Timeout;
	#consumer: GroupConsumer<Uint8Array> | undefined;
	#committing: Promise<void> = Promise.resolve();
	#failure: unknown;

	constructor(output: StandardOutput) {
		this.#output = output;
		this.#timer = setInterval(() => void this.#commitByItself(), COMMIT_INTERVAL_MS);
	}

	/** Whose offsets they are. */
	of(consumer: GroupConsumer<Uint8Array>): void {
		this.#consumer = consumer;
	}

	/** A record was handed to stdout. */
	wrote({ topic, partition, offset }: ConsumedRecord<Uint8Array>): void {
		const key = `${topic}/${partition}`;
		const known = this.#next.get(key);
		if (known === undefined) this.#next.set(key, { topic, partition, offset: offset + 1 });
		else known.offset = offset + 1;
	}

	/** Partitions that are given up: what was written of them is committed first. */
	async revoked(
		partitions: readonly { topic: string; partition: number }[],
		isLost: boolean,
	): Promise<void> {
		if (!isLost) await this.commit();
		for (const { topic, partition } of partitions) this.#next.delete(`${topic}/${partition}`);
	}

	/** Commits what stdout has taken by the time that this is done. Rejects as both do. */
	commit(): Promise<void> {
		const committing = this.#committing.then(() => this.#commit());
		this.#committing = committing.catch(() => undefined);
		return committing;
	}

	/** Commits no more by itself. */
	stop(): void {
		clearInterval(this.#timer);
	}

	/** Throws why committing by itself has failed, if it has. */
	check(): void {
		if (this.#failure !== undefined) throw this.#failure;
	}

	async #commit(): Promise<void> {
		const offsets = Array.from(this.#next.values(), (next) => ({ ...next }));
		if (offsets.length === 0) return;
		await this.#output.end();
		if (this.#output.closed) return;
		await this.#consumer?.commit(offsets);
		for (const { topic, partition, offset } of offsets) {
			const key = `${topic}/${partition}`;
			if (this.#next.get(key)?.offset === offset) this.#next.delete(key);
		}
	}

	async #commitByItself(): Promise<void> {
		try {
			await this.commit();
		} catch (error) {
			// What is others' by now comes again there; what may succeed is tried again.
			const code = error instanceof MillraceError ? error.code : undefined;
			const isOver = code === "UNKNOWN_MEMBER_ID" || code === "STALE_MEMBER_EPOCH";
			if (isOver || (error instanceof MillraceError && error.retriable)) return;
			this.#failure = error;
			await this.#consumer?.close();
		}
	}
}
