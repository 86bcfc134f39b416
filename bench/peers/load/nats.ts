/**
 * NATS JetStream, native or over WebSocket: publishes with an ack each or NATS's fast ingest, whose
 * acks are cumulative; ordered consumers.
 */
import { WebSocket } from "ws";

import type { RecordHash } from "../../harness/payload.ts";
import { peerPackage } from "../installed.ts";
import { AckWindow, type LoadClient, type Sums } from "./client.ts";
import type { LoadOrder, ReadStyle } from "./order.ts";

/** What is used of @nats-io/transport-node. */
interface Transport {
	connect(options: { servers: string }): Promise<Connection>;
	wsconnect(options: { servers: string }): Promise<Connection>;
}

interface Connection {
	close(): Promise<void>;
}

/** What is used of @nats-io/jetstream. */
interface JetStreamPackage {
	jetstream(connection: Connection, options: { timeout: number }): JetStream;
	jetstreamManager(connection: Connection): Promise<Manager>;
}

interface JetStream {
	publish(subject: string, value: Uint8Array): Promise<unknown>;
	readonly consumers: { get(stream: string): Promise<Consumer> };
}

interface Manager {
	readonly streams: {
		add(config: {
			name: string;
			subjects: string[];
			storage: "file";
			allow_batched: true;
		}): Promise<unknown>;
		delete(stream: string): Promise<boolean>;
		info(stream: string): Promise<{ state: { messages: number } }>;
	};
}

interface Consumer {
	consume(options: {
		max_messages: number;
		callback?: (message: Message) => void;
	}): Promise<AsyncIterable<Message> & { close(): Promise<unknown> }>;
}

interface Message {
	readonly seq: number;
	readonly data: Uint8Array;
}

/** What is used of what @nats-io/jetstream exports for libraries. */
interface IngestPackage {
	startFastIngest(
		connection: Connection,
		subject: string,
		value: Uint8Array,
		options: { allowGaps: false; ackInterval: number },
		timeoutMs: number,
	): Promise<FastIngest>;
}

interface FastIngest {
	/** Resolves when there is room for more. */
	add(subject: string, value: Uint8Array): Promise<unknown>;
	/** Resolves when all is acknowledged. */
	end(): Promise<unknown>;
}

/** Messages on their way to a consumer: its default is 100, which is a third as fast. */
const CONSUMED_MAX = 10_000;

/** Publishes without an ack: more of them are slower. */
const UNACKNOWLEDGED_MAX = 1_000;

/** Messages of a fast ingest between two acks: more of them are not faster. */
const INGEST_ACK_INTERVAL = 4_000;

const ACK_MS_MAX = 60_000;

/**
 * As Millrace's client has it over loopback: the same package, and zeroes for masking keys, so that
 * neither spends its time on masking.
 */
class UnmaskedWebSocket extends WebSocket {
	constructor(url: string, protocols?: string | string[]) {
		super(url, protocols, { generateMask: (key) => void key.fill(0) });
	}
}

export async function connectNats(order: LoadOrder): Promise<LoadClient> {
	const transport = peerPackage<Transport>("@nats-io/transport-node");
	const { jetstream, jetstreamManager } = peerPackage<JetStreamPackage>("@nats-io/jetstream");
	// Node 20 has none.
	Object.assign(globalThis, { WebSocket: UnmaskedWebSocket });
	const servers = order.address;
	const connection = await (order.contender === "nats"
		? transport.connect({ servers })
		: transport.wsconnect({ servers }));
	const stream = jetstream(connection, { timeout: ACK_MS_MAX });
	const manager = await jetstreamManager(connection);
	const { topic } = order;
	return {
		...(order.publish === "fast-ingest" ? fastIngest(connection, topic) : publish(stream, order)),
		async create() {
			await manager.streams.add({
				name: topic,
				subjects: [topic],
				storage: "file",
				allow_batched: true,
			});
		},
		async remove(name) {
			await manager.streams.delete(name);
		},
		async read(style, records, hash) {
			const { state } = await manager.streams.info(topic);
			if (state.messages !== records) throw new Error(`the stream has ${state.messages} messages`);
			return await read(await stream.consumers.get(topic), style, records, hash);
		},
		close: () => connection.close(),
	};
}

type Sending = Pick<LoadClient, "send" | "acknowledged">;

function publish(stream: JetStream, { topic, recordBytes }: LoadOrder): Sending {
	const window = new AckWindow(recordBytes, UNACKNOWLEDGED_MAX);
	return {
		send(value) {
			window.add(stream.publish(topic, value));
			return window.room();
		},
		acknowledged: () => window.empty(),
	};
}

/** Everything up to an end is one ingest, which the first value begins. */
function fastIngest(connection: Connection, topic: string): Sending {
	const { startFastIngest } = peerPackage<IngestPackage>("@nats-io/jetstream/internal");
	const options = { allowGaps: false, ackInterval: INGEST_ACK_INTERVAL } as const;
	let ingest: FastIngest | null = null;
	return {
		async send(value) {
			if (ingest === null) {
				ingest = await startFastIngest(connection, topic, value, options, ACK_MS_MAX);
			} else {
				await ingest.add(topic, value);
			}
		},
		async acknowledged() {
			await ingest?.end();
			ingest = null;
		},
	};
}

/** An ordered consumer has no end: it is closed when it has what is there. */
async function read(
	consumer: Consumer,
	style: ReadStyle,
	records: number,
	hash: RecordHash | null,
): Promise<Sums> {
	const sums = { records: 0, bytes: 0 };
	const take = ({ seq, data }: Message): void => {
		sums.records += 1;
		sums.bytes += data.length;
		hash?.add(seq - 1, data);
	};
	if (style === "each") {
		const messages = await consumer.consume({ max_messages: CONSUMED_MAX });
		for await (const message of messages) {
			take(message);
			if (sums.records === records) break;
		}
		await messages.close();
		return sums;
	}
	let onAll: () => void;
	const all = new Promise<void>((resolve) => {
		onAll = resolve;
	});
	const callback = (message: Message): void => {
		take(message);
		if (sums.records === records) onAll();
	};
	const messages = await consumer.consume({ max_messages: CONSUMED_MAX, callback });
	await all;
	await messages.close();
	return sums;
}
