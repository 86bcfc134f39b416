/** Redis Streams: pipelined XADD, XREAD with COUNT. */
import type { RecordHash } from "../../harness/payload.ts";
import { peerPackage } from "../installed.ts";
import { AckWindow, type LoadClient, type Sums } from "./client.ts";
import type { LoadOrder } from "./order.ts";

/** What is used of the package `redis`. */
interface RedisPackage {
	readonly RESP_TYPES: { readonly BLOB_STRING: number };
	createClient(options: { url: string; RESP: 2; commandOptions: object }): RedisClient;
}

interface RedisClient {
	connect(): Promise<unknown>;
	sendCommand(command: Command): Promise<unknown>;
	multi(): { addCommand(command: Command): unknown; execAsPipeline(): Promise<unknown> };
	close(): Promise<void>;
}

type Command = readonly (string | Buffer)[];

/** [[key, [[id, [field, value]], ...]]], or null where nothing follows. */
type XreadReply = readonly [readonly [Buffer, readonly XreadEntry[]]] | null;
type XreadEntry = readonly [Buffer, readonly [Buffer, Buffer]];

/** XADDs of a pipeline, and pipelines without an answer: fewer are slower, more are not faster. */
const PIPELINE_COMMANDS = 256;
const PIPELINES_MAX = 4;

/** Entries of one XREAD: fewer are slower, more are not faster. */
const READ_COUNT = "1000";

/** When the append-only file is flushed, by durability. */
export const REDIS_APPENDFSYNC = { written: "everysec", flushed: "always" } as const;

export async function connectRedis(order: LoadOrder): Promise<LoadClient> {
	const { createClient, RESP_TYPES } = peerPackage<RedisPackage>("redis");
	const client = createClient({
		url: `redis://${order.address}`,
		RESP: 2,
		commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
	});
	await client.connect();
	const { topic } = order;
	const window = new AckWindow(order.recordBytes * PIPELINE_COMMANDS, PIPELINES_MAX);
	let pipeline = client.multi();
	let commands = 0;
	const execute = (): void => {
		if (commands > 0) window.add(pipeline.execAsPipeline());
		pipeline = client.multi();
		commands = 0;
	};
	return {
		async create({ durability }) {
			await client.sendCommand(["CONFIG", "SET", "appendfsync", REDIS_APPENDFSYNC[durability]]);
		},
		async remove(key) {
			await client.sendCommand(["DEL", key]);
		},
		send({ buffer, byteOffset, length }) {
			const value = Buffer.from(buffer, byteOffset, length);
			pipeline.addCommand(["XADD", topic, "*", "v", value]);
			commands += 1;
			if (commands < PIPELINE_COMMANDS) return null;
			execute();
			return window.room();
		},
		acknowledged() {
			execute();
			return window.empty();
		},
		read: (_style, _records, hash) => read(client, topic, hash),
		close: () => client.close(),
	};
}

/** Entries have times for ids: what is hashed as the offset is their place. */
async function read(client: RedisClient, topic: string, hash: RecordHash | null): Promise<Sums> {
	const sums = { records: 0, bytes: 0 };
	for (let id: string | Buffer = "0"; ; ) {
		const command = ["XREAD", "COUNT", READ_COUNT, "STREAMS", topic, id];
		const reply = (await client.sendCommand(command)) as XreadReply;
		if (reply === null) return sums;
		for (const [entryId, [, value]] of reply[0][1]) {
			hash?.add(sums.records, value);
			sums.records += 1;
			sums.bytes += value.length;
			id = entryId;
		}
	}
}
