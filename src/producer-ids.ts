/** How many ids are reserved at once: a reservation is a durable write, a hello should not be. */
const BLOCK_COUNT = 1_000;

/**
 * Hands out producer ids, each once; those that are reserved and not handed out when the broker
 * stops are lost.
 */
export class ProducerIds {
	readonly #allocate: (count: number) => Promise<number>;
	#next = 0;
	#end = 0;
	#allocation: Promise<void> | undefined;

	/** `allocate` reserves so many ids durably and resolves to the first. */
	constructor(allocate: (count: number) => Promise<number>) {
		this.#allocate = allocate;
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
			const first = await this.#allocate(BLOCK_COUNT);
			this.#next = first;
			this.#end = first + BLOCK_COUNT;
		} finally {
			this.#allocation = undefined;
		}
	}
}
