/**
 * A subscriber that does as little as it can with what comes: it counts. So many of them in one
 * process measure the broker, not themselves.
 */
import { once } from "node:events";
import WebSocket from "ws";
import { OPERATION, SUBPROTOCOL } from "#dist/protocol/operations.js";
import { FrameReader } from "#dist/protocol/reader.js";
import { type FrameValue, FrameWriter } from "#dist/protocol/writer.js";

/** The one subscription that a connection has. */
const SUBSCRIPTION = 1;

/** What it may be sent without asking for more; half of it used up, it asks. */
const CREDIT_RECORDS = 4_000_000;
const CREDIT_BYTES = 33_554_432;

/** How often a slow reader takes what has come. */
const SLOW_READ_MS = 100;

export interface RawSubscription {
	readonly topic: string;
	readonly from: "earliest" | "latest";
	/** Told of each delivery, with the offsets that it covers. */
	readonly onRecords?: (baseOffset: number, count: number) => void;
	/** Keeps what comes, for `frames`. */
	readonly keeps?: boolean;
}

export class RawSubscriber {
	/** Where the next record has to be. */
	nextOffset = 0;
	/** Deliveries, where they are kept. */
	readonly frames: Uint8Array[] = [];
	readonly #subscription: RawSubscription;
	readonly #socket: WebSocket;
	readonly #reader = new FrameReader();
	#answers = 0;
	#records = 0;
	#bytes = 0;
	#failure: Error | null = null;
	#slowReads: NodeJS.Timeout | undefined;
	#changed: () => void = () => undefined;

	private constructor(url: string, subscription: RawSubscription) {
		this.#subscription = subscription;
		this.#socket = new WebSocket(url, SUBPROTOCOL, {
			perMessageDeflate: false,
			generateMask: (key) => key.fill(0),
		});
		this.#socket.on("message", (message) => this.#take(message as Buffer));
		this.#socket.on("error", (error) => this.#fail(error));
		this.#socket.on("close", (code) => this.#fail(new Error(`closed with ${code}`)));
	}

	/** Connects and subscribes to partition 0; resolves when the broker has said from where. */
	static async open(url: string, subscription: RawSubscription): Promise<RawSubscriber> {
		const subscriber = new RawSubscriber(url, subscription);
		await once(subscriber.#socket, "open");
		await subscriber.#ask(OPERATION.hello, 1, { client: "millrace-bench" });
		const { topic, from } = subscription;
		const credit = [CREDIT_RECORDS, CREDIT_BYTES];
		await subscriber.#ask(OPERATION.subscribe, 2, SUBSCRIPTION, topic, 0, from, { credit });
		return subscriber;
	}

	/** From now on takes one delivery at a time, at long intervals: its socket backs up. */
	readSlowly(): void {
		this.#socket.pause();
		this.#slowReads = setInterval(() => {
			this.#socket.once("message", () => this.#socket.pause());
			this.#socket.resume();
		}, SLOW_READ_MS);
	}

	/** Resolves when everything before this offset has come; rejects when it cannot come. */
	async reached(offset: number): Promise<void> {
		await this.#until(() => this.nextOffset >= offset);
	}

	close(): void {
		clearInterval(this.#slowReads);
		this.#socket.removeAllListeners("close");
		this.#socket.terminate();
	}

	async #ask(...frame: FrameValue[]): Promise<void> {
		const answers = this.#answers + 1;
		this.#send(frame);
		await this.#until(() => this.#answers === answers);
	}

	async #until(isSo: () => boolean): Promise<void> {
		while (!isSo()) {
			if (this.#failure !== null) throw this.#failure;
			await new Promise<void>((resolve) => {
				this.#changed = resolve;
			});
		}
	}

	#send(frame: FrameValue[]): void {
		this.#socket.send(new FrameWriter().value(frame).finishCopy());
	}

	#take(frame: Buffer): void {
		const reader = this.#reader.reset(frame);
		reader.frameHeader();
		const operation = reader.integer();
		if (operation === OPERATION.records) this.#takeRecords(reader, frame);
		else if (operation === OPERATION.answer) this.#takeAnswer(reader);
		else if (operation !== OPERATION.caughtUp) {
			this.#fail(new Error(`operation ${operation} came in place of records`));
		}
		this.#changed();
	}

	/** Hello's answer has no offset; deliveries follow that of the subscription. */
	#takeAnswer(reader: FrameReader): void {
		reader.skip();
		const { offset } = reader.mapValue();
		if (typeof offset === "number") this.nextOffset = offset;
		this.#answers += 1;
	}

	/** [131, sub, base_offset, high_watermark, [[offset_delta, timestamp_ms, key, value], ...]] */
	#takeRecords(reader: FrameReader, frame: Buffer): void {
		reader.skip();
		const baseOffset = reader.integer();
		reader.skip();
		const count = reader.arrayHeader();
		if (baseOffset !== this.nextOffset) {
			this.#fail(new Error(`records from ${baseOffset} came in place of ${this.nextOffset}`));
			return;
		}
		this.nextOffset += count;
		if (this.#subscription.keeps === true) this.frames.push(frame);
		this.#subscription.onRecords?.(baseOffset, count);
		this.#payBack(count, frame.length);
	}

	#payBack(records: number, bytes: number): void {
		this.#records += records;
		this.#bytes += bytes;
		if (this.#records < CREDIT_RECORDS / 2 && this.#bytes < CREDIT_BYTES / 2) return;
		this.#send([OPERATION.credit, SUBSCRIPTION, this.#records, this.#bytes]);
		this.#records = 0;
		this.#bytes = 0;
	}

	#fail(error: Error): void {
		this.#failure ??= error;
		this.#changed();
	}
}

/** Opens so many of them, a hundred at a time. */
export async function openSubscribers(
	count: number,
	open: (number: number) => Promise<RawSubscriber>,
): Promise<RawSubscriber[]> {
	const AT_ONCE = 100;
	const subscribers: RawSubscriber[] = [];
	while (subscribers.length < count) {
		const first = subscribers.length;
		const opening = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, index) =>
			open(first + index),
		);
		subscribers.push(...(await Promise.all(opening)));
	}
	return subscribers;
}

/** Offsets and values of the records of deliveries, in order. */
export function* recordsOf(
	frames: readonly Uint8Array[],
): Generator<{ offset: number; value: Uint8Array }> {
	for (const frame of frames) {
		const [, , baseOffset, , records] = new FrameReader(frame).value() as [
			...[number, number, number, number],
			[number, number, null, Uint8Array][],
		];
		for (const [delta, , , value] of records) yield { offset: baseOffset + delta, value };
	}
}
