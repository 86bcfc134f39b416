/**
 * Tells of what storage does by itself - deletes, compacts, finds damaged, goes short of space -
 * and of what it goes on without: files that only cost something later when they are missing.
 * Nobody is refused for those, so nobody would hear of it.
 */
import type { Clock } from "../clock.ts";
import type { Storage, StoreStatistics } from "./storage.ts";

/** How often is looked, in milliseconds. */
const LOOK_MS = 1_000;
/** Between two lines about the same failure, in milliseconds. */
const REPEAT_MS = 60_000;

const FAILURES = {
	checkpointFailures: "checkpoints cannot be written: a start after a crash reads more",
	hintFailures:
		"indexes or snapshots cannot be stored: as long as they are missing a start reads more",
	damageFailures: "damage that was met cannot be noted: the next start has to find it again",
	journalFailures: "the flush journal cannot be used: partitions are flushed one by one",
} as const satisfies Partial<Record<keyof StoreStatistics, string>>;

type Counter = keyof typeof FAILURES;
const COUNTERS = Object.keys(FAILURES) as Counter[];

/** Where the lines go; pino is one. */
export interface StorageLog {
	info(details: object, message: string): void;
	warn(details: object, message: string): void;
}

type Watched = Pick<Storage, "statistics" | "takeUpkeepReport">;

export class StorageWatch {
	readonly #storage: Watched;
	readonly #clock: Clock;
	readonly #log: StorageLog;
	/** What each counter was when it was last told of, and when that was. */
	readonly #told = new Map<Counter, { count: number; atMs: number }>();
	#cancel: () => void;

	/** Watches until `stop`; keeps no process alive. */
	constructor(storage: Watched, clock: Clock, log: StorageLog) {
		this.#storage = storage;
		this.#clock = clock;
		this.#log = log;
		this.#cancel = clock.after(LOOK_MS, () => this.#look());
	}

	/** Tells what there is to tell, for the last time. */
	stop(): void {
		this.#cancel();
		this.#tellUpkeep();
	}

	#look(): void {
		this.#cancel = this.#clock.after(LOOK_MS, () => this.#look());
		this.#tellUpkeep();
		this.#tellFailures();
	}

	#tellUpkeep(): void {
		for (const { subject, detail, isWarning } of this.#storage.takeUpkeepReport()) {
			if (isWarning) this.#log.warn({ subject }, detail);
			else this.#log.info({ subject }, detail);
		}
	}

	#tellFailures(): void {
		const statistics = this.#storage.statistics();
		const nowMs = this.#clock.monotonicMs();
		for (const counter of COUNTERS) {
			const count = statistics[counter];
			const told = this.#told.get(counter);
			if (count === (told?.count ?? 0)) continue;
			if (told !== undefined && nowMs - told.atMs < REPEAT_MS) continue;
			this.#told.set(counter, { count, atMs: nowMs });
			this.#log.warn({ failures: count - (told?.count ?? 0) }, FAILURES[counter]);
		}
	}
}
