/**
 * Work of which only so much is done at a time. The rest waits in order, only so much of it and not
 * for long: whoever is refused can come again, and a queue of those who have left holds up nobody.
 */
import { type Clock, systemClock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";

/** For how long somebody waits. */
export interface Wait {
	/** Until when, by the clock that never goes back; absent: for LIMITS.loginWaitMsMax. */
	readonly untilMs?: number;
	/** Aborted when they have left: nobody is waited for who is gone. */
	readonly left?: AbortSignal | undefined;
}

interface Waiting {
	readonly begin: () => void;
	readonly refuse: (error: MillraceError) => void;
}

export class Turns {
	readonly #workingMax: number;
	readonly #clock: Clock;
	readonly #waiting = new Set<Waiting>();
	#workingCount = 0;
	#isClosed = false;

	/** `workingMax`: how much is done at a time. */
	constructor(workingMax: number, clock: Clock = systemClock) {
		this.#workingMax = workingMax;
		this.#clock = clock;
	}

	/** Whether nothing is being done; then nothing waits, either. */
	get isIdle(): boolean {
		return this.#workingCount === 0;
	}

	/**
	 * Does `work` when its turn comes; settles as it does. Work that is not begun rejects: with
	 * THROTTLING_QUOTA_EXCEEDED where too much waits or it has waited for too long, with
	 * CONNECTION_LOST where whoever waits has left, with SHUTTING_DOWN once it is closed.
	 */
	async run<Result>(work: () => Result | Promise<Result>, wait: Wait = {}): Promise<Result> {
		await this.#turn(wait);
		try {
			return await work();
		} finally {
			this.#pass();
		}
	}

	/** Drops what waits, and begins nothing more. */
	close(): void {
		this.#isClosed = true;
		for (const waiting of this.#waiting) waiting.refuse(new MillraceError("SHUTTING_DOWN"));
	}

	#turn({ untilMs, left }: Wait): Promise<void> | undefined {
		if (this.#isClosed) throw new MillraceError("SHUTTING_DOWN");
		if (this.#workingCount < this.#workingMax) {
			this.#workingCount++;
			return undefined;
		}
		if (left?.aborted) throw gone();
		const nowMs = this.#clock.monotonicMs();
		const waitMs = untilMs === undefined ? LIMITS.loginWaitMsMax : untilMs - nowMs;
		if (waitMs <= 0 || this.#waiting.size >= LIMITS.loginsWaitingMax) throw tooMany();
		return new Promise((resolve, reject) => {
			const leave = () => {
				cancel();
				left?.removeEventListener("abort", onLeft);
				this.#waiting.delete(waiting);
			};
			const waiting: Waiting = {
				begin: () => {
					leave();
					resolve();
				},
				refuse: (error) => {
					leave();
					reject(error);
				},
			};
			const cancel = this.#clock.after(waitMs, () => waiting.refuse(tooMany()));
			const onLeft = () => waiting.refuse(gone());
			left?.addEventListener("abort", onLeft);
			this.#waiting.add(waiting);
		});
	}

	/** A turn is over: the next one takes its place. */
	#pass(): void {
		const [next] = this.#waiting;
		if (next === undefined) this.#workingCount--;
		else next.begin();
	}
}

const gone = () => new MillraceError("CONNECTION_LOST", "who waited has left");
const tooMany = () => new MillraceError("THROTTLING_QUOTA_EXCEEDED", "too many logins wait");
