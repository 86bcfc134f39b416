/**
 * A Kafka client that does as little as it can: requests are encoded once, of answers only what
 * proves them is read. Versions are the latest without tagged fields, which librdkafka still uses.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { AnswerCutter } from "./answer-cutter.ts";

const PRODUCE = { key: 0, version: 7 };
const FETCH = { key: 1, version: 11 };

const CLIENT_ID = "millrace-bench";
const ACKS_ALL = -1;
const TIMEOUT_MS = 30_000;
const FETCH_BYTES_MAX = 1_048_576;
const MAX_WAIT_MS = 500;

/** Where a request's correlation id lies, behind its length, API key and version. */
const CORRELATION_AT = 8;

/** Requests that are unanswered at a time: what Kafka's own producer has. */
export const IN_FLIGHT_MAX = 5;

export class KafkaConnection {
	readonly #socket: Socket;
	readonly #waiters: { resolve(frame: Buffer): void; reject(error: Error): void }[] = [];
	#correlationId = 0;

	private constructor(socket: Socket) {
		this.#socket = socket;
		const answers = new AnswerCutter((answer) => this.#waiters.shift()?.resolve(answer));
		socket.setNoDelay(true);
		socket.on("data", (piece) => {
			try {
				answers.take(piece);
			} catch (error) {
				socket.destroy(error as Error);
			}
		});
		socket.on("error", (error) => this.#fail(error));
		socket.on("close", () => this.#fail(new Error("the broker closed a Kafka connection")));
	}

	/** `address` is `host:port`. */
	static async open(address: string): Promise<KafkaConnection> {
		const colon = address.lastIndexOf(":");
		const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon));
		await once(socket, "connect");
		return new KafkaConnection(socket);
	}

	/**
	 * Sends a whole request; resolves with its answer behind the correlation id, which stays as it is
	 * until more comes.
	 */
	async ask(request: Buffer): Promise<Buffer> {
		this.#correlationId += 1;
		const correlationId = this.#correlationId;
		const head = Buffer.from(request.subarray(0, CORRELATION_AT + 4));
		head.writeInt32BE(correlationId, CORRELATION_AT);
		this.#socket.cork();
		this.#socket.write(head);
		this.#socket.write(request.subarray(head.length));
		this.#socket.uncork();
		const answer = await new Promise<Buffer>((resolve, reject) => {
			this.#waiters.push({ resolve, reject });
		});
		if (answer.readInt32BE(0) !== correlationId) throw new Error("an answer is out of order");
		return answer.subarray(4);
	}

	close(): void {
		this.#socket.destroy();
	}

	#fail(error: Error): void {
		for (const { reject } of this.#waiters.splice(0)) reject(error);
	}
}

/** A produce request of one batch for partition 0, behind its length. */
export function produceRequest(topic: string, batch: Uint8Array): Buffer {
	return request(PRODUCE, [
		string(null),
		int16(ACKS_ALL),
		int32(TIMEOUT_MS),
		int32(1),
		string(topic),
		int32(1),
		int32(0),
		int32(batch.length),
		batch,
	]);
}

/** The base offset of the batch that a produce request stored. Throws for one that was refused. */
export function producedOffset(answer: Buffer): number {
	const partition = 4 + 2 + answer.readInt16BE(4) + 4;
	const code = answer.readInt16BE(partition + 4);
	if (code !== 0) throw new Error(`a produce request was refused with Kafka's code ${code}`);
	return Number(answer.readBigInt64BE(partition + 6));
}

/** A fetch request for partition 0, outside any session, behind its length. */
export function fetchRequest(topic: string, offset: number): Buffer {
	return request(FETCH, [
		int32(-1),
		int32(MAX_WAIT_MS),
		int32(1),
		int32(FETCH_BYTES_MAX),
		Buffer.from([0]),
		int32(0),
		int32(-1),
		int32(1),
		string(topic),
		int32(1),
		int32(0),
		int32(-1),
		int64(offset),
		int64(-1),
		int32(FETCH_BYTES_MAX),
		int32(0),
		string(""),
	]);
}

/** The batches in a fetch's answer. Throws for one that was refused. */
export function fetchedBatches(answer: Buffer): Buffer {
	const topicCode = answer.readInt16BE(4);
	const topics = 4 + 2 + 4;
	const partition = topics + 4 + 2 + answer.readInt16BE(topics + 4) + 4;
	const code = topicCode || answer.readInt16BE(partition + 4);
	if (code !== 0) throw new Error(`a fetch was refused with Kafka's code ${code}`);
	const aborted = partition + 4 + 2 + 8 + 8 + 8;
	// -1: there is no list; who reads uncommitted gets none.
	const abortedCount = Math.max(0, answer.readInt32BE(aborted));
	const records = aborted + 4 + abortedCount * 16 + 4;
	const bytes = answer.readInt32BE(records);
	return answer.subarray(records + 4, records + 4 + bytes);
}

function request(api: { key: number; version: number }, body: readonly Uint8Array[]): Buffer {
	const head = [int16(api.key), int16(api.version), int32(0), string(CLIENT_ID)];
	const frame = Buffer.concat([...head, ...body]);
	return Buffer.concat([int32(frame.length), frame]);
}

function int16(value: number): Buffer {
	const bytes = Buffer.alloc(2);
	bytes.writeInt16BE(value);
	return bytes;
}

function int32(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeInt32BE(value);
	return bytes;
}

function int64(value: number): Buffer {
	const bytes = Buffer.alloc(8);
	bytes.writeBigInt64BE(BigInt(value));
	return bytes;
}

function string(value: string | null): Buffer {
	if (value === null) return int16(-1);
	return Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
}
