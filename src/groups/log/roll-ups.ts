/**
 * Keeps the offsets topic short. When a partition has grown to several times what its groups need,
 * all of that is written once more at its end, and everything before it is deleted.
 *
 * Safe to stop anywhere. The end of the log is noted first; every group and offset that there is at
 * that point is written behind it, or has been changed or removed behind it by then. Only when all
 * that is durable is anything deleted: until then a reader finds the old records and then the same
 * again, which adds up to the same groups.
 */
import { LIMITS } from "../../limits.ts";
import type { Group, GroupRecord } from "../group.ts";
import { offsetRecord } from "./group-records.ts";
import type { LoadedPartition } from "./loading.ts";
import type { OffsetsLog } from "./offsets-log.ts";

/** The groups to write down. */
export interface RollUpSource {
	readonly isClosed: boolean;
	groups(): Iterable<Group>;
	has(group: Group): boolean;
}

export interface RollUpLog {
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
}

/** A log shorter than this is left alone, in bytes: it is read in no time. */
const LOG_BYTES_MIN = 4_194_304;
/** Also where that would be much: the part of what records may not have of a small disk. */
const SPACE_SHARE = 4;
/** How many times what its groups need a log may be long. */
const GROWTH_FACTOR = 4;
/** What one offset takes in the log beside its metadata, in bytes, about. */
const OFFSET_RECORD_BYTES = 120;
const RECORD_OVERHEAD_BYTES = 20;

interface PartitionSize {
	/** Bytes of records in the log, about. */
	logBytes: number;
	/** From here on it is worth to look again. */
	lookAtBytes: number;
	/** Holds records that this version does not understand: nothing may be deleted. */
	hasForeignRecords: boolean;
}

export class RollUps {
	readonly #offsetsLog: OffsetsLog;
	readonly #source: RollUpSource;
	readonly #log: RollUpLog;
	readonly #logBytesMin: number;
	readonly #sizes = new Map<number, PartitionSize>();
	/** Partitions to roll up, one after the other. */
	readonly #due = new Set<number>();
	#isRunning = false;

	/** `keptFreeBytes`: what of the disk is not for records, in which the logs have to do. */
	constructor(offsetsLog: OffsetsLog, source: RollUpSource, log: RollUpLog, keptFreeBytes: number) {
		this.#offsetsLog = offsetsLog;
		this.#source = source;
		this.#log = log;
		this.#logBytesMin = Math.min(LOG_BYTES_MIN, Math.floor(keptFreeBytes / SPACE_SHARE));
	}

	/** A partition was read. */
	onLoaded(partition: number, { logBytes, hasForeignRecords }: LoadedPartition): void {
		const size = this.#size(partition);
		size.logBytes += logBytes;
		size.hasForeignRecords = hasForeignRecords;
		this.#look(partition, size);
	}

	/** Records were appended to a partition. */
	onAppended(partition: number, records: readonly GroupRecord[]): void {
		const size = this.#size(partition);
		size.logBytes += bytesOf(records);
		this.#look(partition, size);
	}

	#size(partition: number): PartitionSize {
		let size = this.#sizes.get(partition);
		if (size === undefined) {
			size = { logBytes: 0, lookAtBytes: this.#logBytesMin, hasForeignRecords: false };
			this.#sizes.set(partition, size);
		}
		return size;
	}

	#look(partition: number, size: PartitionSize): void {
		if (size.logBytes < size.lookAtBytes || size.hasForeignRecords) return;
		if (this.#due.has(partition)) return;
		const neededBytes = this.#neededBytes(partition);
		if (size.logBytes < neededBytes * GROWTH_FACTOR) {
			size.lookAtBytes = neededBytes * GROWTH_FACTOR;
			return;
		}
		this.#due.add(partition);
		if (!this.#isRunning) void this.#run();
	}

	/** What the groups of a partition would take if they were written now, about. */
	#neededBytes(partition: number): number {
		let bytes = 0;
		for (const group of this.#source.groups()) {
			if (group.partition !== partition) continue;
			const { count, metadataCharacters } = group.offsets;
			bytes += bytesOf(group.records()) + count * OFFSET_RECORD_BYTES + metadataCharacters;
		}
		return bytes;
	}

	async #run(): Promise<void> {
		this.#isRunning = true;
		for (const partition of this.#due) {
			if (this.#source.isClosed) break;
			const size = this.#size(partition);
			const bytesBefore = size.logBytes;
			try {
				const bytes = await this.#rollUp(partition);
				size.logBytes -= bytesBefore;
				size.logBytes += bytes;
				this.#log.debug({ partition, bytesBefore, bytes }, "rolled groups up");
			} catch (error) {
				// Nothing is lost: the log is longer than it needs to be.
				this.#log.warn({ err: error, partition }, "groups could not be rolled up");
				size.logBytes = Math.max(size.logBytes, bytesBefore);
			}
			size.lookAtBytes = Math.max(this.#logBytesMin, size.logBytes * GROWTH_FACTOR);
			this.#due.delete(partition);
		}
		this.#isRunning = false;
	}

	/** Returns the bytes that were written. */
	async #rollUp(partition: number): Promise<number> {
		const endOffset = this.#offsetsLog.endOffset(partition);
		let bytes = 0;
		const part: GroupRecord[] = [];
		let partBytes = 0;
		for (const record of this.#records(partition)) {
			part.push(record);
			partBytes += bytesOf([record]);
			if (partBytes < LIMITS.groupAppendBytesMax / 4) continue;
			bytes += partBytes;
			await this.#write(partition, part.splice(0));
			partBytes = 0;
			if (this.#source.isClosed) return bytes;
		}
		if (part.length > 0) await this.#write(partition, part);
		await this.#offsetsLog.deleteBefore(partition, endOffset);
		return bytes + partBytes;
	}

	/**
	 * Everything that there is to write. Whoever takes the records may pause in between: what is
	 * added meanwhile is behind the noted end anyway, and what is removed is not met any more.
	 */
	*#records(partition: number): Generator<GroupRecord> {
		for (const group of [...this.#source.groups()]) {
			if (group.partition !== partition || !this.#source.has(group)) continue;
			yield* group.records();
			for (const [topic, index, offset] of group.offsets.latest()) {
				yield offsetRecord(group.groupId, topic, index, offset);
			}
		}
	}

	#write(partition: number, records: readonly GroupRecord[]): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#offsetsLog.append(partition, records, (error) => {
				if (error === undefined) resolve();
				else reject(error);
			});
		});
	}
}

function bytesOf(records: Iterable<GroupRecord>): number {
	let bytes = 0;
	for (const { key, value } of records) {
		bytes += key.length + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES;
	}
	return bytes;
}
