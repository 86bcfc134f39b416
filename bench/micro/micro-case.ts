/** One step to measure. */
export interface MicroCase {
	readonly name: string;
	/** What one call deals with, where a rate in bytes says something. */
	readonly bytes?: number;
	/** One call; a promise is waited for. */
	readonly run: () => void | Promise<void>;
	/** True when `run` returns a promise. */
	readonly isAsync?: boolean;
}
