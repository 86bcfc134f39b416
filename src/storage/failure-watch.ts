/**
 * Tells of what storage goes on without: files that only cost something later when they are
 * missing. Nobody is refused for them, so nobody would hear of it.
 */
import type { Clock } from "../clock.ts";
import type { Storage, StoreStatistics } from "./storage.ts";

/** How often is looked, in milliseconds. */
const LOOK_MS = 10_000;
/** Between two lines about the same, in milliseconds. */
const REPEAT_MS = 60_000;

const MESSAGES = {
	checkpointFailures: "checkpoints cannot be written: a start after a crash reads more",
	hintFailures: "indexes or snapshots cannot be stored: they are made again at the next start",
	damageFailures: "damage that was met cannot be noted: the next start has to find it again",
} as const satisfies Partial<Record<keyof StoreStatistics, string>>;

type Counter = keyof typeof MESSAGES;
const COUNTERS = Object.keys(MESSAGES) as Counter[];

/** Where the lines go; pino is one. */
export interface FailureLog {
	warn(details: object, message: string): void;
}

export class FailureWatch {
	readonly #storage: Pick<Storage, "statistics">;
	readonly #clock: Clock;
	readonly #log: FailureLog;
	/** What each counter was when it was last told of, and when that was. */
	readonly #told = new Map<Counter, { count: number; atMs: number }>();
	#cancel: () => void;

	/** Watches until `stop`; keeps no process alive. */
	constructor(storage: Pick<Storage, "statistics">, clock: Clock, log: FailureLog) {
		this.#storage = storage;
		this.#clock = clock;
		this.#log = log;
		this.#cancel = clock.after(LOOK_MS, () => this.#look());
	}

	stop(): void {
		this.#cancel();
	}

	#look(): void {
		this.#cancel = this.#clock.after(LOOK_MS, () => this.#look());
		const statistics = this.#storage.statistics();
		const nowMs = this.#clock.monotonicMs();
		for (const counter of COUNTERS) {
			const count = statistics[counter];
			const told = this.#told.get(counter);
			if (count === (told?.count ?? 0)) continue;
			if (told !== undefined && nowMs - told.atMs < REPEAT_MS) continue;
			this.#told.set(counter, { count, atMs: nowMs });
			this.#log.warn({ failures: count - (told?.count ?? 0) }, MESSAGES[counter]);
		}
	}
}
