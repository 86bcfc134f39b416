import { MillraceError } from "../../errors.ts";
import type { CodeName } from "../../protocol/codes.ts";
import type { Group, GroupRecord } from "../group.ts";

/** What the writes of a group need around it. */
export interface GroupWritesHost {
	/** Milliseconds that never go backwards. */
	monotonicMs(): number;
	append(
		group: Group,
		records: readonly GroupRecord[],
		done: (error?: MillraceError) => void,
	): void;
	warn(group: Group, details: object, message: string): void;
}

/**
 * What a group's first append begins and ends with, so that it is all there or nothing of it, where
 * the group takes the place of another.
 */
export interface FirstRecords {
	readonly before: readonly GroupRecord[];
	/** Those that remove the other. */
	readonly after: readonly GroupRecord[];
}

/** After a failed write nothing is tried for so long, in milliseconds. */
const RETRY_MS = 1_000;
/**
 * Removals that are remembered until they are in the log; what is beyond expires after a restart.
 */
const REMOVALS_MAX = 30_000;

/**
 * Writes a group's records as it changes. A group goes on in memory when a write fails; until all
 * of it has been written once more nobody is told anything.
 */
export class GroupWrites {
	readonly #group: Group;
	readonly #host: GroupWritesHost;
	/** Settles when everything that was appended until now is durable or has failed. */
	#last: Promise<MillraceError | undefined> | null = null;
	/** Why the log is behind the group; null: it is not. */
	#failure: MillraceError | null = null;
	#retryMs = 0;
	/** By key, what removes things that are gone and may still be in the log. */
	readonly #removals = new Map<string, GroupRecord>();
	#first: FirstRecords | null;

	constructor(group: Group, host: GroupWritesHost, first: FirstRecords | null = null) {
		this.#group = group;
		this.#host = host;
		this.#first = first;
	}

	append(records: readonly GroupRecord[]): void {
		const first = this.#first;
		if (first !== null) {
			this.#first = null;
			this.#append([...first.before, ...records, ...first.after]);
			return;
		}
		if (this.#failure === null) {
			if (records.length > 0) this.#append(records);
			return;
		}
		this.#remember(records);
		this.#appendAll();
	}

	/** What removes things that are gone and may still be in the log. */
	removals(): GroupRecord[] {
		return [...this.#removals.values(), ...(this.#first?.after ?? [])];
	}

	/** Resolves once all that was appended until now is durable. Rejects with Kafka's code. */
	async settled(): Promise<void> {
		if (this.#failure !== null) this.#appendAll();
		const failure = this.#failure ?? (await this.#last) ?? this.#failure;
		if (failure === null) return;
		throw groupError(failure);
	}

	#append(records: readonly GroupRecord[]): void {
		const last = new Promise<MillraceError | undefined>((resolve) => {
			this.#host.append(this.#group, records, (error) => {
				if (error !== undefined) this.#fail(error, records);
				resolve(error);
				if (this.#last === last) this.#last = null;
			});
		});
		this.#last = last;
	}

	#fail(error: MillraceError, records: readonly GroupRecord[]): void {
		if (this.#failure === null) {
			this.#host.warn(this.#group, { err: error }, "a group could not be stored");
		}
		this.#failure = error;
		this.#remember(records);
		this.#retryMs = this.#host.monotonicMs() + RETRY_MS;
	}

	#remember(records: readonly GroupRecord[]): void {
		for (const record of records) {
			if (record.value !== null || this.#removals.size >= REMOVALS_MAX) continue;
			this.#removals.set(Buffer.from(record.key).toString("latin1"), record);
		}
	}

	/** Writes the whole group, if it is time to try again. */
	#appendAll(): void {
		if (this.#host.monotonicMs() < this.#retryMs) return;
		this.#failure = null;
		// What is there again under the same key is written behind its removal.
		const records = [...this.#removals.values(), ...this.#group.records()];
		this.#removals.clear();
		this.#append(records);
	}
}

/** What Kafka answers when a group could not be stored; the cause says what happened. */
export function groupError(cause: MillraceError): MillraceError {
	return new MillraceError(groupErrorOf(cause), cause.message, { cause });
}

/** Its code. */
export function groupErrorOf({ code }: MillraceError): CodeName {
	switch (code) {
		case "DISK_FULL":
		case "NOT_ENOUGH_REPLICAS":
		case "REQUEST_TIMED_OUT":
		case "UNKNOWN_TOPIC_OR_PARTITION":
			return "COORDINATOR_NOT_AVAILABLE";
		case "KAFKA_STORAGE_ERROR":
		case "NOT_LEADER_OR_FOLLOWER":
			return "NOT_COORDINATOR";
		default:
			return "UNKNOWN_SERVER_ERROR";
	}
}
