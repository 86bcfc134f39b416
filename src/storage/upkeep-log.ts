/** Tells of what the store did by itself: deleted by retention, compacted, found damaged. */
import type { Clock } from "../clock.ts";
import type { Storage } from "./storage.ts";

/** How often is looked, in milliseconds. */
const LOOK_MS = 1_000;

/** Where the lines go; pino is one. */
export interface UpkeepLogger {
	info(details: object, message: string): void;
	warn(details: object, message: string): void;
}

export class UpkeepLog {
	readonly #storage: Pick<Storage, "takeUpkeepReport">;
	readonly #clock: Clock;
	readonly #log: UpkeepLogger;
	#cancel: () => void;

	/** Watches until `stop`; keeps no process alive. */
	constructor(storage: Pick<Storage, "takeUpkeepReport">, clock: Clock, log: UpkeepLogger) {
		this.#storage = storage;
		this.#clock = clock;
		this.#log = log;
		this.#cancel = clock.after(LOOK_MS, () => this.#look());
	}

	/** Tells what there is to tell, for the last time. */
	stop(): void {
		this.#cancel();
		this.#tell();
	}

	#look(): void {
		this.#cancel = this.#clock.after(LOOK_MS, () => this.#look());
		this.#tell();
	}

	#tell(): void {
		for (const { subject, detail, isWarning } of this.#storage.takeUpkeepReport()) {
			if (isWarning) this.#log.warn({ subject }, detail);
			else this.#log.info({ subject }, detail);
		}
	}
}
