/** Time as the control plane sees it; tests put their own in its place. */
export interface Clock {
	/** Milliseconds since the Unix epoch; may step backwards. */
	wallMs(): number;
	/** Milliseconds since an arbitrary point; never goes backwards. */
	monotonicMs(): number;
	/**
	 * Calls `work` once, on a later turn, when `delayMs` have passed. Returns a cancel. What is
	 * planned keeps no process alive.
	 */
	after(delayMs: number, work: () => void): () => void;
}

/** The machine's clocks. */
export const systemClock: Clock = {
	wallMs: () => Date.now(),
	monotonicMs: () => performance.now(),
	after: (delayMs, work) => {
		const timer = setTimeout(work, delayMs);
		timer.unref();
		return () => clearTimeout(timer);
	},
};
