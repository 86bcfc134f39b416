import type { MillraceError } from "../../protocol/error.ts";
import { SEQUENCE_MAX, SEQUENCE_NONE } from "../../protocol/operations.ts";
import { Backoff } from "../connection/backoff.ts";
import type { Batch } from "./batch.ts";

/** The broker recognises a repetition among a producer's last five batches of a partition. */
const IN_FLIGHT_BATCHES_MAX = 5;

const RETRY_MS_FIRST = 20;
const RETRY_MS_MAX = 2_000;

/**
 * Whether the numbering of a partition has a hole: sequence numbers that were given to records
 * which will not be sent again.
 * - "clean": the broker refused them, or never got them: what follows can be numbered again from
 * there.
 * - "dirty": they may be stored or on their way: what follows needs another producer identity.
 */
export type Hole = "none" | "clean" | "dirty";

/**
 * The batches of one partition that are not settled, oldest first, and their numbering. Those in
 * flight come first; after a failure nothing is sent until all in flight are answered, so that
 * order is kept.
 */
export class PartitionQueue {
	readonly topic: string;
	readonly partition: number;
	readonly batches: Batch[] = [];
	/** How many of them, the first ones, are in flight. */
	inFlight = 0;
	/** Why the broker refused a batch, until it takes one or the connection is lost. */
	refusal: MillraceError | undefined;
	/** Something failed: send nothing until nothing is in flight. */
	draining = false;
	/** Send nothing before this time of `performance.now()`. */
	notBeforeMs = 0;
	hole: Hole = "none";
	/** The latest batch became large: the next one probably will. */
	large = false;
	readonly #backoff = new Backoff(RETRY_MS_FIRST, RETRY_MS_MAX);
	/** The number of the next record that gets one. */
	#nextSequence = 0;
	/** Where numbering goes on behind a clean hole. */
	#rewindTo = 0;
	/** The broker knows this producer here: it accepts any number from one that it does not know. */
	#confirmed = false;

	constructor(topic: string, partition: number) {
		this.topic = topic;
		this.partition = partition;
	}

	/** The batch to send next, if one may be sent now; `renewing`: none that has no number yet. */
	sendable(nowMs: number, renewing: boolean): Batch | undefined {
		if (this.draining || this.inFlight >= (this.#confirmed ? IN_FLIGHT_BATCHES_MAX : 1)) {
			return undefined;
		}
		const batch = this.batches[this.inFlight];
		if (batch === undefined || batch.count === 0 || nowMs < this.notBeforeMs) return undefined;
		if (batch.baseSequence === SEQUENCE_NONE && (renewing || this.#repeats())) return undefined;
		if (this.hole !== "none" && !batch.unresolved) return undefined;
		// About to be given up: it must not be stored behind the back of who is told so.
		if (batch.deadlineMs <= nowMs) return undefined;
		return batch;
	}

	/** Notes that the batch that `sendable` named is on its way; numbers it the first time. */
	sent(batch: Batch): void {
		batch.open = false;
		batch.inFlight = true;
		this.inFlight++;
		if (batch.baseSequence !== SEQUENCE_NONE) return;
		batch.baseSequence = this.#nextSequence;
		this.#nextSequence = advanceSequence(this.#nextSequence, batch.count);
	}

	/** A batch in flight was answered. */
	answered(batch: Batch): void {
		batch.inFlight = false;
		this.inFlight--;
	}

	/** A batch was stored: the broker knows this producer now. */
	confirm(): void {
		this.#confirmed = true;
		this.refusal = undefined;
		this.#backoff.reset();
	}

	/** The broker refused a batch: what follows waits until nothing is in flight. */
	refused(refusal: MillraceError): void {
		this.draining = true;
		this.refusal = refusal;
	}

	/** Nothing is to be sent for a moment; returns for how long, in milliseconds. */
	delay(nowMs: number, atLeastMs: number): number {
		const waitMs = Math.max(atLeastMs, this.#backoff.nextMs());
		this.notBeforeMs = nowMs + waitMs;
		return waitMs;
	}

	remove(batch: Batch): void {
		const index = this.batches.indexOf(batch);
		if (index >= 0) this.batches.splice(index, 1);
	}

	/** Takes out a batch that will not be sent again, and notes the hole that its numbers leave. */
	giveUp(batch: Batch): void {
		batch.open = false;
		this.remove(batch);
		if (batch.baseSequence === SEQUENCE_NONE) return;
		this.draining = true;
		if (batch.mayBeStored) this.hole = "dirty";
		else if (this.hole === "none") {
			this.hole = "clean";
			this.#rewindTo = batch.baseSequence;
		} else if (this.hole === "clean" && isBefore(batch.baseSequence, this.#rewindTo)) {
			this.#rewindTo = batch.baseSequence;
		}
	}

	/** The connection is gone: what was in flight may or may not be stored. */
	disconnected(): void {
		for (const batch of this.batches) {
			if (!batch.inFlight) continue;
			batch.inFlight = false;
			batch.unresolved = true;
			batch.lost = true;
		}
		this.inFlight = 0;
		this.notBeforeMs = 0;
		this.refusal = undefined;
	}

	/**
	 * Call when nothing is in flight: closes a clean hole by numbering again what follows, and tells
	 * whether the partition needs another producer identity.
	 */
	settle(): boolean {
		this.draining = false;
		// What follows a batch that is certainly not stored cannot be stored either.
		let missing = false;
		let unresolved = false;
		let lost = false;
		for (const batch of this.batches) {
			if (batch.baseSequence === SEQUENCE_NONE) break;
			if (missing) batch.unresolved = false;
			missing ||= !batch.unresolved;
			unresolved ||= batch.unresolved;
			lost ||= batch.lost;
		}
		if (this.hole === "none") return false;
		if (this.hole === "dirty" || unresolved || lost) return true;
		const first = this.batches[0]?.baseSequence ?? SEQUENCE_NONE;
		const isBehind = first === SEQUENCE_NONE || isBefore(this.#rewindTo, first);
		this.#nextSequence = isBehind ? this.#rewindTo : first;
		for (const batch of this.batches) batch.baseSequence = SEQUENCE_NONE;
		this.hole = "none";
		return false;
	}

	/**
	 * Whether something that may be stored is on its way again. It must be answered before anything
	 * new is numbered: behind five new batches the broker would no longer know it.
	 */
	#repeats(): boolean {
		for (let index = 0; index < this.inFlight; index++) {
			if (this.batches[index]?.unresolved) return true;
		}
		return false;
	}

	/** Whether the present identity is needed to learn of a batch whether it is stored. */
	get unresolved(): boolean {
		return this.batches.some(({ unresolved, lost }) => {
			return unresolved || (lost && this.hole === "none");
		});
	}

	/** A new producer identity: all numbers begin again. */
	renumber(): void {
		for (const batch of this.batches) {
			batch.baseSequence = SEQUENCE_NONE;
			batch.unresolved = false;
			batch.lost = false;
		}
		this.#nextSequence = 0;
		this.#confirmed = false;
		this.hole = "none";
		this.draining = false;
	}
}

/** `sequence` + `count`; behind 2^31-1 comes 0. */
export function advanceSequence(sequence: number, count: number): number {
	return (sequence + count) % (SEQUENCE_MAX + 1);
}

/** Whether a comes before b, around the end of the numbers. */
function isBefore(a: number, b: number): boolean {
	const distance = (b - a + SEQUENCE_MAX + 1) % (SEQUENCE_MAX + 1);
	return distance !== 0 && distance < 2 ** 30;
}
