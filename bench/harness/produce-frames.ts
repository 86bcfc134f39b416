/** Produce frames of one entry for partition 0, as a client without idempotence would send them. */
import { BODY_FORMAT, OPERATION, SEQUENCE_NONE } from "#dist/protocol/operations.js";
import { FrameWriter } from "#dist/protocol/writer.js";

/** Request and topic alias: what the frames are decoded for does not depend on them. */
const ID = 1;
const TOPIC_ALIAS = 1;

/** Records without key and headers. */
export function recordsFrame(
	values: readonly Uint8Array[],
	format: "bytes" | "msgpack" = "bytes",
): Uint8Array {
	const writer = head(BODY_FORMAT[format]).array(values.length);
	for (const value of values) {
		writer.array(1);
		writer.binary(value);
	}
	return writer.finishCopy();
}

/** A ready batch. */
export function batchFrame(batch: Uint8Array): Uint8Array {
	return head(BODY_FORMAT.batch).binary(batch).finishCopy();
}

function head(format: number): FrameWriter {
	const writer = new FrameWriter().array(4).integer(OPERATION.produce).integer(ID).nil();
	writer.array(1).array(5).integer(TOPIC_ALIAS).integer(0).integer(SEQUENCE_NONE);
	return writer.integer(format);
}
