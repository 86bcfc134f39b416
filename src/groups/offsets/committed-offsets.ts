/**
 * The offsets that one group has committed.
 *
 * A commit counts in two steps. Once it is in the log it is the latest, which later ones replace in
 * the log's order; once it is as durable as the topic promises it is answered and shown. In
 * between, readers see what was durable before: an offset that a power cut would take back is never
 * shown. A removal counts at once, as seeing an offset for a moment less does no harm.
 */

export interface CommittedOffset {
	readonly offset: number;
	/** Leader epoch of the record before; -1: not known. */
	readonly leaderEpoch: number;
	readonly metadata: string;
	/** When it was committed, in milliseconds since 1970. */
	readonly commitMs: number;
	/** When it goes, whatever the broker's retention, in milliseconds since 1970; -1: not said. */
	readonly expireMs: number;
	/** The topic that had the name then; NIL_UUID: not known. */
	readonly topicId: string;
}

/**
 * What all groups together may hold in memory, in bytes as they are estimated here. Whoever is
 * about to take more asks first; what is there already is only counted.
 */
export class StateBudget {
	readonly #bytesMax: number;
	#bytes = 0;

	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
	}

	get bytes(): number {
		return this.#bytes;
	}

	fits(bytesMore: number): boolean {
		return this.#bytes + bytesMore <= this.#bytesMax;
	}

	/** Counts bytes that are held from now on, or with a negative number are not any more. */
	add(bytes: number): void {
		this.#bytes += bytes;
	}
}

/** What an offset costs beside its metadata: two objects, a place in a map, its numbers. */
const OFFSET_BYTES = 250;
const TOPIC_BYTES = 400;

/** About what an offset costs in memory, in bytes. */
export function costOf({ metadata }: { readonly metadata: string | null }): number {
	return OFFSET_BYTES + (metadata?.length ?? 0);
}

interface Entry {
	durable: CommittedOffset | null;
	/** In the log and not known to be durable, in the log's order. */
	staged: CommittedOffset[];
	/** Not in the map any more: nobody sees it. */
	isRemoved: boolean;
}

/** A commit that is in the log and not known to be durable yet. */
export interface StagedOffset {
	/** It is durable: show it. */
	settle(): void;
	/** It is not in the log after all: what was before counts again. */
	revert(): void;
}

export class CommittedOffsets {
	readonly #topics = new Map<string, Map<number, Entry>>();
	readonly #budget: StateBudget;
	#count = 0;
	#metadataCharacters = 0;

	constructor(budget: StateBudget) {
		this.#budget = budget;
	}

	/** Partitions with an offset, those that are not durable yet included. */
	get count(): number {
		return this.#count;
	}

	/** Characters of the metadata of those that are durable. */
	get metadataCharacters(): number {
		return this.#metadataCharacters;
	}

	/** The topics with an offset. */
	topics(): IterableIterator<string> {
		return this.#topics.keys();
	}

	/** The durable offset of a partition. */
	get(topic: string, partition: number): CommittedOffset | null {
		return this.#topics.get(topic)?.get(partition)?.durable ?? null;
	}

	/** Whether there is an offset, durable or not. */
	has(topic: string, partition: number): boolean {
		return this.#topics.get(topic)?.has(partition) ?? false;
	}

	/** The durable offsets of a topic. */
	*of(topic: string): Generator<[partition: number, offset: CommittedOffset]> {
		for (const [partition, { durable }] of this.#topics.get(topic) ?? []) {
			if (durable !== null) yield [partition, durable];
		}
	}

	/** Every offset as the log has it, durable or not. */
	*latest(): Generator<[topic: string, partition: number, offset: CommittedOffset]> {
		for (const [topic, partitions] of this.#topics) {
			for (const [partition, { durable, staged }] of partitions) {
				const offset = staged.at(-1) ?? durable;
				if (offset !== null) yield [topic, partition, offset];
			}
		}
	}

	/** Takes in an offset that was read from the log. */
	restore(topic: string, partition: number, offset: CommittedOffset): void {
		this.#show(this.#entry(topic, partition), offset);
	}

	/** Takes in an offset that was just appended to the log. */
	stage(topic: string, partition: number, offset: CommittedOffset): StagedOffset {
		const entry = this.#entry(topic, partition);
		entry.staged.push(offset);
		this.#budget.add(costOf(offset));
		const unstage = () => {
			const index = entry.staged.indexOf(offset);
			if (index < 0) return false;
			entry.staged.splice(index, 1);
			this.#budget.add(-costOf(offset));
			return true;
		};
		return {
			settle: () => {
				if (!unstage()) return;
				if (entry.isRemoved) entry.durable = offset;
				else this.#show(entry, offset);
			},
			revert: () => {
				unstage();
				if (entry.isRemoved || entry.staged.length > 0 || entry.durable !== null) return;
				this.remove(topic, partition);
			},
		};
	}

	/** Whether there was one. */
	remove(topic: string, partition: number): boolean {
		const partitions = this.#topics.get(topic);
		const entry = partitions?.get(partition);
		if (partitions === undefined || entry === undefined) return false;
		entry.isRemoved = true;
		this.#hide(entry);
		partitions.delete(partition);
		this.#count--;
		if (partitions.size === 0) {
			this.#topics.delete(topic);
			this.#budget.add(-TOPIC_BYTES - topic.length);
		}
		return true;
	}

	/** Takes everything out, as when the group is deleted. */
	clear(): void {
		for (const topic of [...this.#topics.keys()]) {
			for (const partition of this.partitions(topic)) this.remove(topic, partition);
		}
	}

	/** The partitions of a topic that have an offset, durable or not. */
	partitions(topic: string): number[] {
		return [...(this.#topics.get(topic)?.keys() ?? [])];
	}

	#show(entry: Entry, offset: CommittedOffset): void {
		this.#hide(entry);
		entry.durable = offset;
		this.#budget.add(costOf(offset));
		this.#metadataCharacters += offset.metadata.length;
	}

	#hide({ durable }: Entry): void {
		if (durable === null) return;
		this.#budget.add(-costOf(durable));
		this.#metadataCharacters -= durable.metadata.length;
	}

	#entry(topic: string, partition: number): Entry {
		let partitions = this.#topics.get(topic);
		if (partitions === undefined) {
			partitions = new Map();
			this.#topics.set(topic, partitions);
			this.#budget.add(TOPIC_BYTES + topic.length);
		}
		let entry = partitions.get(partition);
		if (entry === undefined) {
			entry = { durable: null, staged: [], isRemoved: false };
			partitions.set(partition, entry);
			this.#count++;
		}
		return entry;
	}
}
