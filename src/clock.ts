/** Time as the control plane sees it; tests put their own in its place. */
export interface Clock {
	/** Milliseconds since the Unix epoch; may step backwards. */
	wallMs(): number;
	/** Milliseconds since an arbitrary point; never goes backwards. */
	monotonicMs(): number;
}

/** The machine's clocks. */
export const systemClock: Clock = {
	wallMs: () => Date.now(),
	monotonicMs: () => performance.now(),
};
