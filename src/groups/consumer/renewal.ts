/**
 * Writes a partition of the offsets topic anew, at its own end, without the holes that compaction
 * has left. For a directory that no broker uses: nobody else may append meanwhile.
 */
import type { GroupRecord } from "../group.ts";
import type { OffsetsLog } from "../log/offsets-log.ts";

/** Records written at once; the log bounds the bytes that are under way. */
const RECORDS_AT_ONCE = 1_000;

/**
 * The newest record of every key, in the order in which they were written, behind what is there;
 * then everything before is deleted. Whatever interrupts it, the log adds up to the same groups.
 * Rejects with what storage says, and where damage keeps records from being read.
 */
export async function renewPartition(offsetsLog: OffsetsLog, partition: number): Promise<void> {
	const endOffset = offsetsLog.endOffset(partition);
	const records = [...(await newestRecords(offsetsLog, partition)).values()];
	for (let from = 0; from < records.length; from += RECORDS_AT_ONCE) {
		await write(offsetsLog, partition, records.slice(from, from + RECORDS_AT_ONCE));
	}
	await offsetsLog.deleteBefore(partition, endOffset);
}

async function newestRecords(
	offsetsLog: OffsetsLog,
	partition: number,
): Promise<Map<string, GroupRecord>> {
	const newest = new Map<string, GroupRecord>();
	await offsetsLog.read(
		partition,
		(key, value) => {
			if (key === null) return;
			const text = Buffer.from(key).toString("latin1");
			// The order is that of the last time.
			newest.delete(text);
			// The memory of both is used again.
			if (value !== null)
				newest.set(text, { key: new Uint8Array(key), value: new Uint8Array(value) });
		},
		(from, to) => {
			throw new Error(`committed offsets are damaged from ${from} to ${to}: repair them first`);
		},
	);
	return newest;
}

function write(
	offsetsLog: OffsetsLog,
	partition: number,
	records: readonly GroupRecord[],
): Promise<void> {
	return new Promise((resolve, reject) => {
		offsetsLog.append(partition, records, (error) => {
			if (error === undefined) resolve();
			else reject(error);
		});
	});
}
