/** How a connection gets on with reading: what its last fetch left, since when it asks no more. */
export class FetchProgress {
	#lagRecords = 0;
	#answeredMs: number | undefined;

	/** Records that were left where the last fetch ended. */
	get lagRecords(): number {
		return this.#lagRecords;
	}

	/** A fetch has come: its client reads on. */
	asked(): void {
		this.#answeredMs = undefined;
	}

	/** It is answered; `lagRecords` are left behind what it was answered with. */
	answered(nowMs: number, lagRecords: number): void {
		this.#answeredMs = nowMs;
		this.#lagRecords = lagRecords;
	}

	/** Since when it has asked for nothing although there was more. */
	get unaskedSinceMs(): number | undefined {
		return this.#lagRecords > 0 ? this.#answeredMs : undefined;
	}
}
