/**
 * The credit of one subscription as the client sees it. Records and bytes are given back when the
 * application has taken them, in portions, so that a frame of credit stands for many records.
 */
export class Credit {
	/** What a subscription starts with, and what its credit never exceeds. */
	readonly records: number;
	bytes: number;
	/** Delivered and not given back, and the part of it that the application has taken. */
	#outstandingRecords = 0;
	#outstandingBytes = 0;
	#takenRecords = 0;
	#takenBytes = 0;
	/** What the broker has more than it should since `bytes` was lowered; negative: less. */
	#surplusBytes = 0;

	constructor(records: number, bytes: number) {
		this.records = records;
		this.bytes = bytes;
	}

	/** Another share from now on: reached by giving back less, or more, than was taken. */
	resize(bytes: number): void {
		this.#surplusBytes += this.bytes - bytes;
		this.bytes = bytes;
	}

	/** What is left for a subscription that begins now. */
	remaining(): [records: number, bytes: number] {
		this.#settle();
		this.#surplusBytes = 0;
		return [
			Math.max(0, this.records - this.#outstandingRecords),
			Math.max(0, this.bytes - this.#outstandingBytes),
		];
	}

	/** A delivery arrived. */
	delivered(records: number, bytes: number): void {
		this.#outstandingRecords += records;
		this.#outstandingBytes += bytes;
	}

	/** The application has taken a delivery. */
	taken(records: number, bytes: number): void {
		this.#takenRecords += records;
		this.#takenBytes += bytes;
	}

	/** What to give back now, if it is worth a frame. */
	due(): [records: number, bytes: number] | undefined {
		if (this.#takenRecords === 0) return undefined;
		const isPortion = this.#takenBytes * 4 >= this.bytes || this.#takenRecords * 4 >= this.records;
		if (!isPortion && !this.#isStarved()) return undefined;
		const bytes = Math.max(0, this.#takenBytes - this.#surplusBytes);
		this.#surplusBytes -= this.#takenBytes - bytes;
		const due: [number, number] = [this.#takenRecords, bytes];
		this.#settle();
		return due;
	}

	/**
	 * Whether all that came is taken and the broker has little left, as its share has grown since: it
	 * may not send enough for a portion of that.
	 */
	#isStarved(): boolean {
		const leftBytes = this.bytes + this.#surplusBytes - this.#outstandingBytes;
		return this.#takenRecords === this.#outstandingRecords && leftBytes * 4 < this.bytes * 3;
	}

	#settle(): void {
		this.#outstandingRecords -= this.#takenRecords;
		this.#outstandingBytes -= this.#takenBytes;
		this.#takenRecords = 0;
		this.#takenBytes = 0;
	}
}
