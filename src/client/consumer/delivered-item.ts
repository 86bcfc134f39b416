import { MillraceError } from "../../protocol/error.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { FrameReader } from "../../protocol/reader.ts";
import { errorOfMap } from "../connection/connection.ts";
import type { ValueCodec } from "../values/codecs.ts";
import { RecordBatch } from "./delivery.ts";
import type { Item, Subscription } from "./subscription.ts";

/**
 * What a frame about a subscription brings: an `error` item for one that ended, undefined for what
 * this version does not know. The reader stands behind the subscription's number. Throws
 * FrameError.
 */
export function deliveredItem<Value>(
	operation: number,
	subscription: Subscription<Value>,
	codec: ValueCodec<Value>,
	frame: Uint8Array,
	reader: FrameReader,
): Item<Value> | undefined {
	const { topic, partition } = subscription;
	switch (operation) {
		case OPERATION.records: {
			const baseOffset = reader.integer();
			const highWatermark = reader.integer();
			const bytes = frame.length - reader.position;
			const length = reader.arrayHeader();
			const from = { topic, partition, baseOffset, highWatermark };
			const batch = new RecordBatch(from, codec, frame, reader.position, length);
			return { kind: "batch", subscription, batch, records: length, bytes };
		}
		case OPERATION.caughtUp:
			return { kind: "caught_up", subscription, highWatermark: reader.integer() };
		case OPERATION.gap: {
			const from = reader.integer();
			const to = reader.integer();
			const error = MillraceError.fromNumber(reader.integer(), `offsets ${from} to ${to}`, {
				topic,
				partition,
			});
			return { kind: "gap", subscription, gap: { topic, partition, from, to, error } };
		}
		case OPERATION.ended: {
			const code = reader.integer();
			const details = reader.mapValue();
			const error = errorOfMap(code, String(details.message ?? ""), details);
			return { kind: "error", subscription, error };
		}
		default:
			return undefined;
	}
}
