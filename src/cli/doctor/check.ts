/** One line of what `millrace doctor` reports. */
export interface Check {
	readonly name: string;
	/**
	 * `warn`: the broker runs, but not as well as it could; `fail`: it does not run or cannot keep
	 * its promises.
	 */
	readonly status: "ok" | "warn" | "fail";
	/** What was found. */
	readonly found: string;
	/** What to do about it; absent when all is well. */
	readonly next?: string;
}
