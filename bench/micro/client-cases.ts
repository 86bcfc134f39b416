/** The SDK's codec and the broker's own reading and writing of frames. */
import { ByteWriter } from "#dist/client/values/byte-writer.js";
import { valueCodec } from "#dist/client/values/codecs.js";
import { OPERATION } from "#dist/protocol/operations.js";
import { FrameReader } from "#dist/protocol/reader.js";
import { FrameWriter } from "#dist/protocol/writer.js";

import type { MicroCase } from "./micro-case.ts";

/** A record as services send them. */
const VALUE = {
	id: 1_234_567,
	customer: "customer-7",
	items: [
		{ article: "tea", count: 2, price: 4.5 },
		{ article: "cup", count: 1, price: 12 },
	],
	paid: true,
	at: 1_700_000_000_000,
};

/** Room that every value here fits into, so that growing is not measured. */
const ROOM_BYTES = 4_096;

export function clientCases(): MicroCase[] {
	const writer = new ByteWriter(ROOM_BYTES);
	const messagepack = valueCodec<typeof VALUE>("messagepack");
	const json = valueCodec<typeof VALUE>("json");
	const encoded = (codec: typeof messagepack): Uint8Array => {
		writer.length = 0;
		codec.write(writer, VALUE);
		return writer.written().slice();
	};
	const packed = encoded(messagepack);
	const text = new TextEncoder().encode(JSON.stringify(VALUE));
	const writing = (name: string, codec: typeof messagepack, bytes: number): MicroCase => ({
		name: `client: encode a value, ${name}`,
		bytes,
		run() {
			writer.length = 0;
			codec.write(writer, VALUE);
		},
	});
	const reading = (name: string, codec: typeof messagepack, bytes: Uint8Array): MicroCase => ({
		name: `client: decode a value, ${name}`,
		bytes: bytes.length,
		run: () => void codec.read(bytes, 0, bytes.length),
	});
	return [
		writing("messagepack", messagepack, packed.length),
		writing("json", json, text.length),
		reading("messagepack", messagepack, packed),
		reading("json", json, text),
		...frameCases(),
	];
}

/** An answer of the broker, and a request as it reads it. */
function frameCases(): MicroCase[] {
	const writer = new FrameWriter();
	const write = (): Uint8Array =>
		writer
			.reset()
			.array(4)
			.integer(OPERATION.produced)
			.integer(123_456)
			.integer(1)
			.array(1)
			.array(4)
			.integer(0)
			.integer(3)
			.integer(123_456_789)
			.integer(1_700_000_000_000)
			.finish();
	const frame = write().slice();
	return [
		{ name: "protocol: write an answer", run: () => void write() },
		{
			name: "protocol: read a frame",
			run() {
				const reader = new FrameReader(frame);
				reader.value();
			},
		},
	];
}
