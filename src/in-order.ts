/** Runs pieces of work one after the other, in the order in which they were asked for. */
export class InOrder {
	/** Settles when the last that was asked for is done; never rejects. */
	#last: Promise<unknown> = Promise.resolve();

	/** Runs `work` after all before it, however those ended; settles as it does. */
	run<Result>(work: () => Result | Promise<Result>): Promise<Result> {
		const result = this.#last.then(work);
		this.#last = result.catch(() => undefined);
		return result;
	}

	/** Resolves when all that was asked for until now is done. */
	async done(): Promise<void> {
		await this.#last;
	}
}
