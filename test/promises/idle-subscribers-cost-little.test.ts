/**
 * The promise: a thousand subscribers, of which some never read, cost the broker less than 64 KiB
 * of anonymous memory each, and whoever reads gets every record.
 *
 * How large V8's young generation becomes (1 to 48 MiB), and when memory that producers needed is
 * given back, has little to do with subscribers. So the broker runs with a young generation that
 * stays small, and what is there to read was written to one before it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";

import { type Client, connect } from "../../src/client/index.ts";
import { OPERATION, SUBPROTOCOL } from "../../src/protocol/operations.ts";
import { FrameReader } from "../../src/protocol/reader.ts";
import { type FrameValue, FrameWriter } from "../../src/protocol/writer.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { RUNS_LONG_TESTS } from "../optional-parts.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";

const SUBSCRIBERS = 1_000;
const SUBSCRIBER_BYTES_MAX = 65_536;
/** Of every ten subscribers two stop reading their socket, one gives no credit, the rest read. */
const KINDS = ["stalled", "stalled", "unpaid", ...Array<"reading">(7).fill("reading")] as const;

const VALUE_BYTES = 1_000;
/** Records that are there before anybody subscribes, and that come while all are subscribed. */
const STORED_COUNT = RUNS_LONG_TESTS ? 2_000 : 600;
const LIVE_COUNT = 200;
/** Far more than what lies in the kernel's buffers of one socket. */
const LARGE_COUNT = 32_000;
const CREDIT: FrameValue = [1_000_000, 60_000_000];

describe.each(TRANSPORTS)("%s", (transport) => {
	requireTransport(transport);

	test("a thousand subscribers stay within their memory", async () => {
		const dataDir = temporaryDirectory();
		await fill(dataDir);
		const flags = ["--websocket-transport", transport];
		const environment = { NODE_OPTIONS: "--max-semi-space-size=1" };
		const broker = await BrokerProcess.start({ dataDir, flags, environment });
		const client = await connect(broker.url);
		await sleep(500);
		const idleBytes = broker.anonymousBytes();
		let peakBytes = 0;
		const sampling = setInterval(() => {
			peakBytes = Math.max(peakBytes, broker.anonymousBytes());
		}, 20);
		onTestFinished(() => clearInterval(sampling));

		const subscribers: Subscriber[] = [];
		for (let index = 0; index < SUBSCRIBERS; index += 100) {
			const opening = Array.from({ length: 100 }, (_, within) =>
				Subscriber.open(broker.url, KINDS[(index + within) % KINDS.length] as Kind),
			);
			subscribers.push(...(await Promise.all(opening)));
		}
		const readers = subscribers.filter(({ kind }) => kind === "reading");
		await Promise.all(readers.map((reader) => reader.got(STORED_COUNT)));
		await produce(client, "shared", LIVE_COUNT);
		await Promise.all(readers.map((reader) => reader.got(STORED_COUNT + LIVE_COUNT)));
		clearInterval(sampling);

		process.stdout.write(
			`${transport}: idle ${mebibytes(idleBytes)}, with ${SUBSCRIBERS} subscribers at most ` +
				`${mebibytes(peakBytes)}\n`,
		);
		expect(peakBytes).toBeLessThan(idleBytes + SUBSCRIBERS * SUBSCRIBER_BYTES_MAX);
		for (const subscriber of subscribers) {
			expect(subscriber.failure).toBeNull();
			if (subscriber.kind === "unpaid") expect(subscriber.recordCount).toBe(0);
			subscriber.close();
		}
		await client.close();
		expect(await broker.stop()).toMatchObject({ code: 0 });
	});
});

type Kind = (typeof KINDS)[number];

/** One connection with subscriptions, and what of theirs has come. */
class Subscriber {
	readonly kind: Kind;
	/** Records of "shared" that came, in order and without a gap. */
	recordCount = 0;
	/** Why it is no longer subscribed as it should be. */
	failure: string | null = null;
	readonly #socket: WebSocket;
	readonly #reader = new FrameReader();
	#answers = 0;
	#changed: () => void = () => undefined;

	private constructor(url: string, kind: Kind) {
		this.kind = kind;
		this.#socket = new WebSocket(url, [SUBPROTOCOL], { perMessageDeflate: false });
		this.#socket.on("message", (data) => this.#take(data as Buffer));
		this.#socket.on("error", (error) => this.#fail(error.message));
		this.#socket.on("close", (code) => this.#fail(`closed with ${code}`));
	}

	/** Connects and subscribes to "shared"; the stalled kind also to "large", and reads no more. */
	static async open(url: string, kind: Kind): Promise<Subscriber> {
		const subscriber = new Subscriber(url, kind);
		await new Promise<void>((resolve, reject) => {
			subscriber.#socket.once("open", resolve);
			subscriber.#socket.once("error", reject);
		});
		subscriber.#send(OPERATION.hello, 1, { client: kind });
		await subscriber.#until(() => subscriber.#answers === 1);
		const credit = kind === "unpaid" ? [0, 0] : CREDIT;
		subscriber.#send(OPERATION.subscribe, 2, 1, "shared", 0, "earliest", { credit });
		await subscriber.#until(() => subscriber.#answers === 2);
		if (kind === "stalled") {
			subscriber.#send(OPERATION.subscribe, 3, 2, "large", 0, "earliest", { credit });
			subscriber.#socket.pause();
		}
		return subscriber;
	}

	/** Resolves when so many records of "shared" have come. */
	async got(recordCount: number): Promise<void> {
		await this.#until(() => this.recordCount >= recordCount);
		expect(this.recordCount).toBe(recordCount);
	}

	close(): void {
		this.#socket.removeAllListeners("close");
		this.#socket.terminate();
	}

	#send(...frame: FrameValue[]): void {
		this.#socket.send(new FrameWriter().value(frame).finishCopy());
	}

	#take(frame: Buffer): void {
		const reader = this.#reader.reset(frame);
		reader.frameHeader();
		const operation = reader.integer();
		if (operation === OPERATION.answer) this.#answers++;
		else if (operation === OPERATION.records) this.#takeRecords(reader);
		else if (operation !== OPERATION.caughtUp) this.#fail(`operation ${operation} came`);
		this.#changed();
	}

	/** [131, sub, base_offset, high_watermark, [[offset_delta, timestamp_ms, key, value], ...]] */
	#takeRecords(reader: FrameReader): void {
		if (reader.uint32() !== 1) return;
		const baseOffset = reader.integer();
		reader.skip();
		const count = reader.arrayHeader();
		for (let index = 0; index < count; index++) {
			reader.arrayHeader();
			const offset = baseOffset + reader.integer();
			if (offset !== this.recordCount) this.#fail(`${offset} came for ${this.recordCount}`);
			reader.skip();
			reader.skip();
			const value = reader.binary();
			if (value.length !== VALUE_BYTES) this.#fail(`${offset} has ${value.length} bytes`);
			if (value[0] !== offset % 251) this.#fail(`${offset} has another's value`);
			this.recordCount++;
		}
	}

	#fail(why: string): void {
		this.failure ??= why;
		this.#changed();
	}

	async #until(isReached: () => boolean): Promise<void> {
		while (!isReached()) {
			if (this.failure !== null) throw new Error(`${this.kind}: ${this.failure}`);
			await new Promise<void>((resolve) => {
				this.#changed = resolve;
			});
		}
	}
}

/** Has a broker of its own write what is there before anybody subscribes. */
async function fill(dataDir: string): Promise<void> {
	const broker = await BrokerProcess.start({ dataDir });
	const client = await connect(broker.url);
	await produce(client, "shared", STORED_COUNT);
	await produce(client, "large", LARGE_COUNT);
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
}

/** Appends records to a topic whose values begin with their offset modulo 251. */
async function produce(client: Client, topic: string, count: number): Promise<void> {
	const first = (await client.offsets.find(topic, 0, "latest").catch(() => 0)) ?? 0;
	const producer = client.producer<Uint8Array>({ codec: "bytes" });
	const records = Array.from({ length: count }, (_, index) => ({
		value: new Uint8Array(VALUE_BYTES).fill((first + index) % 251),
		partition: 0,
	}));
	await producer.sendBatch(topic, records);
	await producer.close();
}

const mebibytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(1)} MiB`;
