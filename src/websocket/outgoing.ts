/**
 * The frames that the broker sends, written into the loop's writer; the bytes are valid until its
 * next use.
 */
import type { AnswerMap } from "../calls/caller.ts";
import type { MillraceError } from "../errors.ts";
import type { EndedDetailsMap, ErrorDetailsMap } from "../protocol/frames.ts";
import { type NoticeKind, OPERATION } from "../protocol/operations.ts";
import type { FrameValue, FrameWriter } from "../protocol/writer.ts";

export function answerFrame(writer: FrameWriter, id: number, answer: AnswerMap): Uint8Array {
	return writer.reset().array(3).integer(OPERATION.answer).integer(id).value(answer).finish();
}

/** `id` null: about the connection. */
export function errorFrame(
	writer: FrameWriter,
	id: number | null,
	error: MillraceError,
): Uint8Array {
	return writer
		.reset()
		.array(5)
		.integer(OPERATION.error)
		.value(id)
		.integer(error.number)
		.string(error.message)
		.value({ ...errorDetails(error) })
		.finish();
}

export function caughtUpFrame(writer: FrameWriter, sub: number, highWatermark: number): Uint8Array {
	writer.reset().array(3).integer(OPERATION.caughtUp).integer(sub).integer(highWatermark);
	return writer.finish();
}

export function gapFrame(
	writer: FrameWriter,
	sub: number,
	range: { from: number; to: number },
	code: number,
): Uint8Array {
	writer.reset().array(5).integer(OPERATION.gap).integer(sub);
	return writer.integer(range.from).integer(range.to).integer(code).finish();
}

/** What stands before the batches themselves. */
export function batchesHeader(
	writer: FrameWriter,
	sub: number,
	highWatermark: number,
	bytes: number,
): Uint8Array {
	writer.reset().array(4).integer(OPERATION.batches).integer(sub).integer(highWatermark);
	return writer.binaryHeader(bytes).finish();
}

export function endedFrame(
	writer: FrameWriter,
	sub: number,
	error: MillraceError,
	offsets: Pick<EndedDetailsMap, "log_start" | "high_watermark"> = {},
): Uint8Array {
	const details = { ...errorDetails(error), message: error.message, ...offsets };
	writer.reset().array(4).integer(OPERATION.ended).integer(sub).integer(error.number);
	return writer.value(details).finish();
}

export function noticeFrame(writer: FrameWriter, kind: NoticeKind, notice: AnswerMap): Uint8Array {
	return writer.reset().array(3).integer(OPERATION.notice).string(kind).value(notice).finish();
}

function errorDetails(error: MillraceError): { [Key in keyof ErrorDetailsMap]: FrameValue } {
	return {
		name: error.code,
		retriable: error.retriable,
		retry_after_ms: error.retryAfterMs,
		topic: error.topic,
		partition: error.partition,
	} as { [Key in keyof ErrorDetailsMap]: FrameValue };
}
