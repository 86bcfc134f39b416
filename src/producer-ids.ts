/** How many ids are reserved at once: a reservation is a durable write, a hello should not be. */
const BLOCK_COUNT = 1_000;

/** Where ids are reserved, each for ever. */
export interface ProducerIdSource {
	/** Reserves so many ids durably; resolves to the first. */
	allocateProducerIds(count: number): Promise<number>;
	/** The first id that was never reserved. */
	readonly producerIdsEnd: number;
}

/**
 * Hands out producer ids, each once; those that are reserved and not handed out when the broker
 * stops are lost.
 */
export class ProducerIds {
	readonly #source: ProducerIdSource;
	#next = 0;
	#end = 0;
	#allocation: Promise<void> | undefined;

	constructor(source: ProducerIdSource) {
		this.#source = source;
	}

	/**
	 * Whether somebody may have been given this id. One that nobody has must not be used: it will be
	 * given to a producer, whose first records would be taken for repetitions of what is stored.
	 */
	wasHandedOut(id: number): boolean {
		const isStillOurs = id >= this.#next && id < this.#end;
		return id >= 0 && id < this.#source.producerIdsEnd && !isStillOurs;
	}

	/** Rejects with what the allocation rejects with; the next call tries again. */
	async next(): Promise<number> {
		while (this.#next === this.#end) {
			this.#allocation ??= this.#reserve();
			await this.#allocation;
		}
		return this.#next++;
	}

	async #reserve(): Promise<void> {
		try {
			const first = await this.#source.allocateProducerIds(BLOCK_COUNT);
			this.#next = first;
			this.#end = first + BLOCK_COUNT;
		} finally {
			this.#allocation = undefined;
		}
	}
}
