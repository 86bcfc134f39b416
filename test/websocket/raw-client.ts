import { once } from "node:events";
import { type ClientOptions, WebSocket } from "ws";

import { SUBPROTOCOL } from "../../src/protocol/operations.ts";
import { type DecodedMap, type DecodedValue, FrameReader } from "../../src/protocol/reader.ts";
import { type FrameValue, FrameWriter } from "../../src/protocol/writer.ts";

/** A frame that came, decoded. */
export type Frame = DecodedValue[];

const WAIT_MS_MAX = 100_000;

/** Well below the default of max.message.bytes. */
const FILL_BYTES = 500_000;

/**
 * A client without manners of its own: it sends what the test says and keeps what comes, in order.
 */
export class RawClient {
	readonly socket: WebSocket;
	readonly frames: Frame[] = [];
	/** Set once the connection is closed. */
	closeCode: number | undefined;
	/** Who waits for something to happen. */
	#waiting: (() => void)[] = [];
	#nextId = 1_000;

	private constructor(url: string, options: ClientOptions, subprotocols: string[]) {
		this.socket = new WebSocket(url, subprotocols, { perMessageDeflate: false, ...options });
		this.socket.on("message", (data) => {
			this.frames.push(new FrameReader(data as Buffer).value(0) as Frame);
			this.#changed();
		});
		this.socket.on("close", (code) => {
			this.closeCode = code;
			this.#changed();
		});
		// A connection that is refused or reset: tests look at the close code.
		this.socket.on("error", () => this.#changed());
	}

	/** Connects, without a hello. */
	static async open(
		url: string,
		options: ClientOptions = {},
		subprotocols = [SUBPROTOCOL as string],
	): Promise<RawClient> {
		const client = new RawClient(url, options, subprotocols);
		await once(client.socket, "open");
		return client;
	}

	/** Connects and says hello. */
	static async greeted(url: string): Promise<RawClient> {
		const client = await RawClient.open(url);
		await client.answer(1, 1, { client: "test" });
		return client;
	}

	send(...elements: FrameValue[]): void {
		this.socket.send(new FrameWriter().value(elements).finish());
	}

	sendBytes(bytes: Uint8Array): void {
		this.socket.send(bytes);
	}

	/** Takes the first frame for which `matches` is true, waiting for it. */
	async take(matches: (frame: Frame) => boolean): Promise<Frame> {
		const deadlineMs = Date.now() + WAIT_MS_MAX;
		for (;;) {
			const index = this.frames.findIndex(matches);
			if (index >= 0) return this.frames.splice(index, 1)[0] as Frame;
			if (this.closeCode !== undefined) throw new Error(`closed with ${this.closeCode}`);
			await this.#wait(deadlineMs);
		}
	}

	/** The answer to the request `id`, whatever its operation. */
	reply(id: number): Promise<Frame> {
		return this.take(([operation, of]) => (operation as number) <= 130 && of === id);
	}

	/** Sends a request and takes its answer's map; an error is thrown with its name. */
	async answer(...elements: FrameValue[]): Promise<DecodedMap> {
		this.send(...elements);
		const frame = await this.reply(elements[1] as number);
		if (frame[0] === 130) throw new Error((frame[4] as DecodedMap).name as string);
		return frame[2] as DecodedMap;
	}

	/** Operation 7. */
	call(name: string, parameters: FrameValue = {}): Promise<DecodedMap> {
		return this.answer(7, this.#nextId++, name, parameters);
	}

	/** Sends a request and takes the number of the error that answers it. */
	async error(...elements: FrameValue[]): Promise<number> {
		this.send(...elements);
		const frame = await this.reply(elements[1] as number);
		if (frame[0] !== 130) throw new Error(`answered with ${frame[0]}`);
		return frame[2] as number;
	}

	/** Produces values to one partition, flushed, and takes the answer's results. */
	async produce(topic: string | number, values: FrameValue[], partition = 0): Promise<Frame[]> {
		const id = this.#nextId++;
		const records = values.map((value) => [value]);
		this.send(3, id, 2, [[topic, partition, -1, 0, records]]);
		return (await this.reply(id))[3] as Frame[];
	}

	/** Produces `count` times the same value, in frames that a topic takes. */
	async fill(topic: string, value: string, count: number, partition = 0): Promise<void> {
		const perFrame = Math.max(1, Math.floor(FILL_BYTES / value.length));
		for (let left = count; left > 0; left -= perFrame) {
			const values = Array<string>(Math.min(left, perFrame)).fill(value);
			const [result] = await this.produce(topic, values, partition);
			if (result?.[0] !== 0) throw new Error(`not stored: ${result}`);
		}
	}

	/** Proves that the connection still serves. */
	async ping(): Promise<void> {
		await this.answer(9, this.#nextId++);
	}

	/** Waits until the connection is closed and answers with the code. */
	async closed(): Promise<number> {
		const deadlineMs = Date.now() + WAIT_MS_MAX;
		while (this.closeCode === undefined) await this.#wait(deadlineMs);
		return this.closeCode;
	}

	close(): void {
		this.socket.terminate();
	}

	#changed(): void {
		for (const resolve of this.#waiting.splice(0)) resolve();
	}

	async #wait(deadlineMs: number): Promise<void> {
		const leftMs = deadlineMs - Date.now();
		if (leftMs <= 0) throw new Error(`nothing came; there are ${JSON.stringify(this.frames)}`);
		let timer: NodeJS.Timeout | undefined;
		await new Promise<void>((resolve) => {
			this.#waiting.push(resolve);
			timer = setTimeout(resolve, leftMs);
		});
		clearTimeout(timer);
	}
}
