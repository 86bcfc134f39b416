import { OPERATION } from "../../protocol/operations.ts";
import { ByteWriter } from "../values/byte-writer.ts";
import type { Batch } from "./batch.ts";

/*
 * [3, id, ack, [[topic, partition, base_sequence, format, [record, ...]], ...]]
 *  1  5   1    3    1    2+249   5           5        1    5                      bytes at most
 */

/** A topic's name has at most 249 characters, all ASCII. */
export const TOPIC_NAME_BYTES_MAX = 249;

/** Room before a batch's records for the head of a frame with that one entry, in bytes. */
export const FRAME_HEAD_BYTES_MAX = 1 + 1 + 5 + 1 + 3 + 1 + 2 + TOPIC_NAME_BYTES_MAX + 15 + 6;

const HEAD = new ByteWriter(FRAME_HEAD_BYTES_MAX);

/**
 * A produce frame of these batches, which have their sequence numbers. With one batch it is the
 * batch's own buffer, from somewhere inside the room before its records on; with several their
 * records are copied.
 */
export function produceFrame(
	id: number,
	ack: number | null,
	batches: readonly Batch[],
): Uint8Array {
	const [only] = batches;
	if (only !== undefined && batches.length === 1) {
		HEAD.length = 0;
		writeFrameHead(HEAD, id, ack, 1);
		writeEntryHead(HEAD, only);
		const start = FRAME_HEAD_BYTES_MAX - HEAD.length;
		only.buffer.bytes.set(HEAD.written(), start);
		return only.buffer.written(start);
	}
	let bytes = FRAME_HEAD_BYTES_MAX;
	for (const batch of batches) bytes += FRAME_HEAD_BYTES_MAX + batch.bodyBytes;
	const frame = new ByteWriter(bytes);
	writeFrameHead(frame, id, ack, batches.length);
	for (const batch of batches) {
		writeEntryHead(frame, batch);
		frame.raw(batch.buffer.written(FRAME_HEAD_BYTES_MAX));
	}
	return frame.written();
}

function writeFrameHead(writer: ByteWriter, id: number, ack: number | null, entries: number): void {
	writer.arrayHeader(4);
	writer.integer(OPERATION.produce);
	writer.integer(id);
	if (ack === null) writer.nil();
	else writer.integer(ack);
	writer.arrayHeader(entries);
}

/**
 * Topics go by name: an alias would not outlive the connection, or the topic's being created anew.
 */
function writeEntryHead(writer: ByteWriter, batch: Batch): void {
	writer.arrayHeader(5);
	writer.string(batch.topic);
	writer.integer(batch.partition);
	writer.integer(batch.baseSequence);
	writer.integer(batch.owner.bodyFormat);
	writer.arrayHeader(batch.count);
}
