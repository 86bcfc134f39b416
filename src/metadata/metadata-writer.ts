/**
 * The only writer of a metadata store in this process: whoever keeps state there commits through
 * it, so that all of them stand at one epoch.
 *
 * Commits take turns. When the store fails in a way that leaves open what happened, it is asked;
 * when it cannot say, every commit is refused until the broker is started again.
 */
import { MillraceError } from "../errors.ts";
import type { MetadataChange, MetadataSnapshot, MetadataStore } from "./metadata-store.ts";

/** The writer, and everything in the store when it was opened. */
export interface OpenedMetadata {
	readonly metadata: MetadataWriter;
	readonly entries: MetadataSnapshot["entries"];
}

export class MetadataWriter {
	readonly #store: MetadataStore;
	#epoch: number;
	/** Settles when the last commit asked for is done; never rejects. */
	#lastCommit: Promise<unknown> = Promise.resolve();
	#refusal: MillraceError | undefined;

	private constructor(store: MetadataStore, epoch: number) {
		this.#store = store;
		this.#epoch = epoch;
	}

	/**
	 * Reads the store, once for all who keep state there: `entries` are for them to begin with.
	 * Rejects with what the store reports.
	 */
	static async open(store: MetadataStore): Promise<OpenedMetadata> {
		const { epoch, entries } = await store.load();
		return { metadata: new MetadataWriter(store, epoch), entries };
	}

	/** Commits that the store has taken, those of earlier starts too. */
	get epoch(): number {
		return this.#epoch;
	}

	/** Why nothing is committed any more; undefined while it is. */
	get refusal(): MillraceError | undefined {
		return this.#refusal;
	}

	/**
	 * Makes all changes or none, durably. Rejects with what the store reports, then nothing was
	 * changed, and with KAFKA_STORAGE_ERROR where nobody can say.
	 */
	commit(changes: readonly MetadataChange[]): Promise<void> {
		const result = this.#lastCommit.then(() => this.#commitNow(changes));
		this.#lastCommit = result.catch(() => undefined);
		return result;
	}

	async #commitNow(changes: readonly MetadataChange[]): Promise<void> {
		if (this.#refusal !== undefined) throw this.#refusal;
		try {
			this.#epoch = await this.#store.commit(this.#epoch, changes);
		} catch (error) {
			if (await this.#wasCommitted()) return;
			throw error;
		}
	}

	async #wasCommitted(): Promise<boolean> {
		let found: number;
		try {
			({ epoch: found } = await this.#store.load());
		} catch (cause) {
			this.#refusal = new MillraceError("KAFKA_STORAGE_ERROR", "the metadata cannot be read", {
				cause,
			});
			throw this.#refusal;
		}
		// There is no other writer: one further is the commit, anything else a bug.
		if (found === this.#epoch) return false;
		if (found !== this.#epoch + 1) {
			this.#refusal = new MillraceError(
				"KAFKA_STORAGE_ERROR",
				"somebody else has changed the metadata",
			);
			throw this.#refusal;
		}
		this.#epoch = found;
		return true;
	}
}
