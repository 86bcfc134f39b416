/** The way of a frame through the addon, call by call. */
import type { Storage } from "#dist/storage/storage.js";

import { Payload } from "../harness/payload.ts";
import { batchFrame, recordsFrame } from "../harness/produce-frames.ts";
import { appendFrame, openTopic, readyBatch } from "../harness/storage-access.ts";
import type { MicroCase } from "./micro-case.ts";

const RECORD_BYTES = 100;
const RECORDS = 1_000;
const FRAME_BYTES = RECORDS * RECORD_BYTES;

const COMPRESSIONS = ["uncompressed", "lz4", "snappy", "zstd", "gzip"] as const;

/** What a delivery may hold at most. */
const DELIVERY_BYTES_MAX = 262_144;

export async function storageCases(storage: Storage): Promise<MicroCase[]> {
	const payload = new Payload(RECORD_BYTES);
	const values = Array.from({ length: RECORDS }, (_, number) => payload.value(number));
	const frame = recordsFrame(values);
	const cases: MicroCase[] = [
		{
			name: `core: decode a frame, ${RECORDS} records`,
			bytes: FRAME_BYTES,
			run: () => void storage.decodeProduce(frame),
		},
	];
	for (const compression of COMPRESSIONS) {
		const topic = await openTopic(storage, compression, { "compression.type": compression });
		cases.push({
			name: `core: build a batch and append it, ${compression}`,
			bytes: FRAME_BYTES,
			isAsync: true,
			run: () => appendFrame(storage, topic, frame),
		});
	}
	const source = await openTopic(storage, "source");
	const ready = batchFrame(await readyBatch(storage, source, values));
	const target = await openTopic(storage, "target");
	cases.push(
		{
			name: "core: check a ready batch and append it",
			bytes: FRAME_BYTES,
			isAsync: true,
			run: () => appendFrame(storage, target, ready),
		},
		{
			name: `core: read ${RECORDS} records`,
			bytes: FRAME_BYTES,
			run: () => void storage.readRecords(source, 0, 0, 1, RECORDS, DELIVERY_BYTES_MAX, 0),
		},
		{
			name: "core: lend a view of a batch",
			run() {
				const { data } = storage.readBatches(source, 0, 0, 1);
				if (data !== null) storage.release(data);
			},
		},
	);
	return cases;
}
