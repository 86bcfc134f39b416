/** Where the control plane's own state lives: topics, users, access rules, quotas. */

/** One key to set, or to remove where the value is null. */
export interface MetadataChange {
	readonly key: string;
	readonly value: Uint8Array | null;
}

/** Everything in the store at one epoch. */
export interface MetadataSnapshot {
	readonly epoch: number;
	readonly entries: ReadonlyMap<string, Uint8Array>;
}

/**
 * A small, strongly consistent key-value store. Every mutation carries the epoch that its caller
 * has seen, so that a caller who has missed a mutation - today by a bug, in a cluster because
 * another broker wrote - is refused instead of overwriting it.
 *
 * Failure contract: a commit that rejects with INVALID_REQUEST (stale epoch) changed nothing. After
 * any other rejection the change may or may not be there: the caller loads again before it commits
 * again.
 */
export interface MetadataStore {
	/** Reads everything. */
	load(): Promise<MetadataSnapshot>;
	/**
	 * Makes all changes or none, durably, and resolves to the new epoch. Rejects with INVALID_REQUEST
	 * when `expectedEpoch` is not the store's epoch.
	 */
	commit(expectedEpoch: number, changes: readonly MetadataChange[]): Promise<number>;
}
