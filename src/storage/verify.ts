/** Checking stored data. */
import { loadNative } from "../native.ts";
import { callAsync } from "./native-error.ts";

/** Something that cannot be read. */
export interface VerifyFinding {
	/** The partition. */
	readonly subject: string;
	/** What is wrong and where, for people. */
	readonly detail: string;
}

export interface VerifyReport {
	readonly logCount: number;
	/** Records in whole batches. */
	readonly recordCount: number;
	/** Bytes of whole batches. */
	readonly bytes: number;
	readonly findings: readonly VerifyFinding[];
	/**
	 * What unfinished appends left behind the ends of logs, and the next start erases: no damage.
	 * Absent where a broker was asked: it has done so.
	 */
	readonly tails?: readonly VerifyFinding[];
	/**
	 * Logs that were not checked, since the flush journal holds records that the next start brings
	 * to their segments: no damage. Absent where a broker was asked.
	 */
	readonly journaled?: readonly VerifyFinding[];
}

/**
 * Reads every batch of every log in `dataDir`, or of one topic's, and changes nothing. Rejects with
 * DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_NEWER, DATA_DAMAGED (the directory itself),
 * UNKNOWN_TOPIC_OR_PARTITION or KAFKA_STORAGE_ERROR.
 */
export function verifyDataDirectory(dataDir: string, topic?: string): Promise<VerifyReport> {
	return callAsync(() => loadNative().verifyDataDirectory(dataDir, topic));
}
