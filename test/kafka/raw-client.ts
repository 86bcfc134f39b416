/**
 * A Kafka client that says just what a test tells it to, in any version, or any bytes at all.
 * Answers come in the order of the requests, as Kafka promises; requests may be sent without
 * waiting.
 *
 *     const client = await RawKafkaClient.connect(port);
 *     const { brokers } = await client.request("Metadata", 12, { topics: null });
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { decodeResponse, encodeRequest, type Fields, type RequestOptions } from "./client-codec.ts";

const LENGTH_BYTES = 4;

interface Waiter {
	resolve(frame: Buffer): void;
	reject(error: Error): void;
}

export class RawKafkaClient {
	readonly socket: Socket;
	/** Resolves when the connection has ended, whoever ended it. */
	readonly closed: Promise<void>;
	private readonly waiters: Waiter[] = [];
	/** Frames that came before anyone waited for them. */
	private readonly frames: Buffer[] = [];
	private received = Buffer.alloc(0);
	private ended = false;
	private nextCorrelationId = 1;

	private constructor(socket: Socket) {
		this.socket = socket;
		socket.setNoDelay(true);
		socket.on("data", (bytes: Buffer) => this.take(bytes));
		// A reset is one way to end; whoever waits for an answer is told by "close".
		socket.on("error", () => undefined);
		this.closed = new Promise((resolve) => {
			socket.on("close", () => {
				this.ended = true;
				for (const waiter of this.waiters.splice(0)) waiter.reject(this.endError());
				resolve();
			});
		});
	}

	static async connect(port: number, host = "127.0.0.1"): Promise<RawKafkaClient> {
		const socket = connect({ port, host });
		await once(socket, "connect");
		return new RawKafkaClient(socket);
	}

	/** Speaks over a socket that is connected, such as one of TLS. */
	static over(socket: Socket): RawKafkaClient {
		return new RawKafkaClient(socket);
	}

	/** Sends a request and resolves with the fields of its response. */
	async request(
		name: string,
		version: number,
		fields: Fields = {},
		options: RequestOptions = {},
	): Promise<Fields> {
		const correlationId = this.send(name, version, fields, options);
		const answer = decodeResponse(name, version, await this.frame());
		if (answer.correlationId !== correlationId) {
			throw new Error(`request ${correlationId} got the answer to ${answer.correlationId}`);
		}
		return answer.fields;
	}

	/**
	 * Sends a request that nobody answers, or whose answer `frame()` takes; answers its
	 * correlation id.
	 */
	send(name: string, version: number, fields: Fields = {}, options: RequestOptions = {}): number {
		const correlationId = options.correlationId ?? this.nextCorrelationId++;
		this.sendFrame(encodeRequest(name, version, fields, { ...options, correlationId }));
		return correlationId;
	}

	/** Sends bytes behind their length. */
	sendFrame(frame: Uint8Array): void {
		const length = Buffer.alloc(LENGTH_BYTES);
		length.writeInt32BE(frame.length);
		this.sendBytes(Buffer.concat([length, frame]));
	}

	/** Sends bytes as they are. */
	sendBytes(bytes: Uint8Array): void {
		this.socket.write(bytes);
	}

	/**
	 * The next frame that nobody has taken, without its length; rejects when the connection ends
	 * first.
	 */
	frame(): Promise<Buffer> {
		const frame = this.frames.shift();
		if (frame !== undefined) return Promise.resolve(frame);
		if (this.ended) return Promise.reject(this.endError());
		return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
	}

	/** Frames that came and that nobody has taken. */
	get framesWaiting(): number {
		return this.frames.length;
	}

	async close(): Promise<void> {
		this.socket.destroy();
		await this.closed;
	}

	private take(bytes: Buffer): void {
		this.received = Buffer.concat([this.received, bytes]);
		while (this.received.length >= LENGTH_BYTES) {
			const end = LENGTH_BYTES + this.received.readInt32BE();
			if (this.received.length < end) return;
			const frame = this.received.subarray(LENGTH_BYTES, end);
			this.received = this.received.subarray(end);
			const waiter = this.waiters.shift();
			if (waiter === undefined) this.frames.push(frame);
			else waiter.resolve(frame);
		}
	}

	private endError(): Error {
		return new Error("the connection ended");
	}
}
