import { MillraceError } from "../../protocol/error.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { DecodedMap, FrameReader } from "../../protocol/reader.ts";
import type { FrameValue } from "../../protocol/writer.ts";
import { abortReason, withSignal } from "../connection/abort.ts";
import type { Connection } from "../connection/connection.ts";
import { integerOf } from "../connection/hello.ts";
import type { Link, LinkUser } from "../connection/link.ts";
import { Fifo } from "../fifo.ts";
import type { TopicDirectory, TopicInfo } from "../topic-directory.ts";
import { type ValueCodec, valueCodec } from "../values/codecs.ts";
import { ConsumerIterator, inNextTurn } from "./consumer-iterator.ts";
import {
	type ConsumerOptions,
	type Start,
	startPosition,
	type TopicSelection,
	topicSelections,
} from "./consumer-options.ts";
import { Credit } from "./credit.ts";
import { deliveredItem } from "./delivered-item.ts";
import type { ConsumedRecord, RecordBatch, RecordCursor } from "./delivery.ts";
import { type Hand, Hands } from "./hands.ts";
import { type Item, Subscription } from "./subscription.ts";

/**
 * A subscription that the broker could not serve for now is tried again after so long, in
 * milliseconds.
 */
const RESUBSCRIBE_MS = 500;

/** Credit in records: as good as none, the bytes are what counts. */
const CREDIT_RECORDS = 1_000_000;

/** Credit in bytes of one partition, however many there are. */
const CREDIT_BYTES_MIN = 16_384;

/**
 * What has arrived is given out for at most so long before other events get their turn, in ms:
 * promises that are resolved already would otherwise keep timers and sockets waiting until nothing
 * is left.
 */
const TURN_MS_MAX = 4;

/** The clock is looked at once in so many records, a power of two. */
const TURN_CHECK_RECORDS = 64;

/** What the client lends its consumers. */
export interface ConsumerContext {
	readonly link: Link;
	readonly directory: TopicDirectory;
	/** A subscription number that no other subscription of the client has. */
	takeNumber(): number;
	forget(consumer: { close(): Promise<void> }): void;
}

type Result<Element> = IteratorResult<Element, undefined>;

interface Waiter<Value> {
	/** Whether it waits for a batch, or for a record. */
	readonly batch: boolean;
	/** Whose it is. */
	readonly hand: Hand<Value>;
	resolve(result: Result<ConsumedRecord<Value> | RecordBatch<Value>>): void;
	reject(error: unknown): void;
}

/**
 * Reads records of one or more topics: `for await (const record of consumer)`, or by batches.
 * Records of a partition come in order, partitions in turn; after a lost connection it goes on
 * where it was. Made by `client.consumer()`.
 */
export class Consumer<Value = unknown> implements LinkUser, AsyncIterable<ConsumedRecord<Value>> {
	/** @internal */
	protected readonly context: ConsumerContext;
	readonly #options: ConsumerOptions<Value>;
	readonly #codec: ValueCodec<Value>;
	readonly #selections: TopicSelection[];
	readonly #subscriptions: Subscription<Value>[] = [];
	readonly #byNumber = new Map<number, Subscription<Value>>();
	readonly #queue = new Fifo<Item<Value>>();
	readonly #waiters = new Fifo<Waiter<Value>>();
	readonly #stopListening: () => void;
	/** The batch whose records are being given out one by one. */
	#current: { item: Item<Value> & { kind: "batch" }; cursor: RecordCursor<Value> } | undefined;
	/** @internal What the application has. */
	protected readonly hands = new Hands<Value>();
	/** @internal Called once, when the application asks to go on. */
	protected onAsk: (() => void) | undefined;
	/** @internal Nothing is given out while it is true. */
	protected isHalted = false;
	/** The batch that was given out whole, until the next one is asked for. */
	#lent: (Item<Value> & { kind: "batch" }) | undefined;
	#started: Promise<void> | undefined;
	#finished: { error: unknown } | undefined;
	#given = 0;
	#turnEndMs = 0;
	readonly #aborted = (): void => this.#abort();

	/** @internal `selections`: what is read from the start on, and as it grows. */
	constructor(
		context: ConsumerContext,
		options: ConsumerOptions<Value>,
		selections = topicSelections(options.topics),
	) {
		this.context = context;
		this.#options = options;
		this.#codec = valueCodec<Value>(options.codec ?? "messagepack");
		this.#selections = selections;
		if (typeof options.from === "object") startPosition(options.from);
		this.#stopListening = context.directory.listen((info) => this.#partitionsLearnt(info));
		options.signal?.addEventListener("abort", this.#aborted, { once: true });
		// Later: whoever extends it is not there yet.
		if (options.signal?.aborted) queueMicrotask(this.#aborted);
	}

	/**
	 * Subscribes; resolves when every partition has its position. Iterating does it by itself: call
	 * it where "from now on" must mean a certain moment, or before `seek`.
	 */
	ready(): Promise<void> {
		if (this.#finished !== undefined) return Promise.reject(this.closedError());
		if (this.#started === undefined) {
			this.#started = this.start();
			// An attempt that failed is told to whoever waits, and the next call makes another one.
			this.#started.catch((error: unknown) => {
				this.#started = undefined;
				if (this.#finished === undefined) this.#reject(error);
			});
		}
		return this.#started;
	}

	[Symbol.asyncIterator](): AsyncIterableIterator<ConsumedRecord<Value>> {
		const hand = this.hands.open();
		return new ConsumerIterator(
			() => this.#next(false, hand) as Promise<Result<ConsumedRecord<Value>>>,
			() => this.#leave(hand),
		);
	}

	/** The records as they arrived, many at a time: the fastest way to read. */
	batches(): AsyncIterableIterator<RecordBatch<Value>> {
		const hand = this.hands.open();
		return new ConsumerIterator(
			() => this.#next(true, hand) as Promise<Result<RecordBatch<Value>>>,
			() => this.#leave(hand),
		);
	}

	/** Gives out nothing of a partition (of all, without arguments) until `resume`. */
	pause(topic?: string, partition?: number): void {
		for (const subscription of this.#select(topic, partition)) {
			if (subscription.paused) continue;
			subscription.paused = true;
			this.#putBack(subscription);
			subscription.held.push(...this.#queue.extract((item) => item.subscription === subscription));
		}
	}

	resume(topic?: string, partition?: number): void {
		for (const subscription of this.#select(topic, partition)) {
			subscription.paused = false;
			for (const item of subscription.held.splice(0)) this.#queue.push(item);
		}
		this.#wake();
	}

	/** Goes on somewhere else in a partition, also after an error ended it. Call after `ready()`. */
	seek(topic: string, partition: number, to: Start): void {
		const start = startPosition(to);
		const [subscription] = this.#select(topic, partition);
		if (subscription === undefined) {
			throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", "not consumed here", {
				topic,
				partition,
			});
		}
		this.#discard(subscription);
		this.hands.clear(subscription);
		subscription.restart(start);
		const { connection } = this.context.link;
		if (connection !== undefined && subscription.isOpen) {
			void this.subscribe(subscription, connection);
		}
	}

	/** Offset of the next record that will be given out; undefined before `ready()`. */
	position(topic: string, partition: number): number | undefined {
		return this.#select(topic, partition)[0]?.position;
	}

	/** Ends the iteration and the subscriptions. */
	close(): Promise<void> {
		this.finish(undefined);
		return Promise.resolve();
	}

	/** @internal */
	attached(connection: Connection): void {
		this.#byNumber.clear();
		for (const subscription of this.#subscriptions) void this.#resume(subscription, connection);
	}

	/** @internal */
	failed(error: MillraceError): void {
		this.finish(error.code === "CLOSED" ? undefined : error);
	}

	/** @internal */
	delivered(operation: number, number: number, frame: Uint8Array, reader: FrameReader): void {
		const subscription = this.#byNumber.get(number);
		if (subscription === undefined) return;
		const item = deliveredItem(operation, subscription, this.#codec, frame, reader);
		if (item === undefined) return;
		if (item.kind === "error") {
			this.#refused(subscription, item.error);
			return;
		}
		if (item.kind === "batch") subscription.credit.delivered(item.records, item.bytes);
		if (!subscription.answered) subscription.early.push(item);
		else this.#arrived(item);
	}

	/** @internal Resolves when there is something to wait for. */
	protected async start(): Promise<void> {
		const { link, directory } = this.context;
		const { signal } = this.#options;
		const infos = await Promise.all(
			this.#selections.map(({ topic }) => withSignal(directory.open(topic), signal)),
		);
		await link.ready(signal);
		if (this.#finished !== undefined) throw this.closedError();
		for (const [index, info] of infos.entries()) {
			const { partitions } = this.#selections[index] as TopicSelection;
			const all = partitions ?? Array.from({ length: info.partitions }, (_, number) => number);
			for (const partition of all) this.add(info, partition, this.startOf(info.name, partition));
		}
		this.shareCredit();
		link.add(this); // and is told of the connection at once
		await withSignal(Promise.all(this.#subscriptions.map(({ settled }) => settled)), signal);
		if (this.#finished === undefined) return;
		// The end settles them, too.
		const isKnown = this.#subscriptions.every(
			({ position, done }) => position !== undefined || done,
		);
		if (!isKnown) throw this.closedError();
	}

	/** @internal */
	protected startOf(topic: string, partition: number): Start {
		const { from } = this.#options;
		return typeof from === "function" ? from(topic, partition) : (from ?? "latest");
	}

	/** @internal Another partition; nothing is asked for yet. */
	protected add(
		info: Pick<TopicInfo, "name" | "topicId">,
		partition: number,
		start: Start,
	): Subscription<Value> {
		const credit = new Credit(0, 0);
		const position = startPosition(start);
		const subscription = new Subscription<Value>(
			info.name,
			info.topicId,
			partition,
			position,
			credit,
		);
		this.#subscriptions.push(subscription);
		return subscription;
	}

	/** @internal Gives every partition its part of what may wait in memory. */
	protected shareCredit(): void {
		const { credit_bytes_max: most, credit_records_max: records } = this.context.link.hello.limits;
		const share = (this.#options.bufferBytesMax ?? 16_777_216) / this.#subscriptions.length;
		const bytes = Math.min(most, Math.max(CREDIT_BYTES_MIN, Math.floor(share)));
		for (const subscription of this.#subscriptions) {
			const { credit } = subscription;
			if (credit.bytes > 0) credit.resize(bytes);
			else subscription.credit = new Credit(Math.min(records, CREDIT_RECORDS), bytes);
		}
	}

	/** New partitions of a topic that is consumed whole are read from their beginning. */
	#partitionsLearnt(info: TopicInfo): void {
		const selection = this.#selections.find(({ topic }) => topic === info.name);
		if (selection === undefined || selection.partitions !== undefined) return;
		if (this.#options.until === "end") return;
		const known = this.#select(info.name);
		if (known.length === 0 || known[0]?.topicId !== info.topicId) return;
		const added: Subscription<Value>[] = [];
		for (let partition = known.length; partition < info.partitions; partition++) {
			added.push(this.add(info, partition, "earliest"));
		}
		this.shareCredit();
		const { connection } = this.context.link;
		if (connection === undefined) return;
		for (const subscription of added) void this.subscribe(subscription, connection);
	}

	#select(topic?: string, partition?: number): Subscription<Value>[] {
		return this.#subscriptions.filter(
			(each) =>
				(topic === undefined || each.topic === topic) &&
				(partition === undefined || each.partition === partition),
		);
	}

	/** Subscribes again on a new connection, if the topic is still the one that was being read. */
	async #resume(subscription: Subscription<Value>, connection: Connection): Promise<void> {
		const { topic, partition } = subscription;
		if (subscription.done) return;
		try {
			const info = await this.context.directory.refresh(topic, false);
			if (info.topicId !== subscription.topicId) {
				this.failedPartition(
					subscription,
					new MillraceError("TOPIC_DELETED", "", { topic, partition }),
				);
			} else if (this.context.link.connection === connection) {
				await this.subscribe(subscription, connection);
			}
		} catch (error) {
			this.failedPartition(subscription, error as MillraceError);
		}
	}

	/** @internal Asks for what comes behind what is here. */
	protected async subscribe(
		subscription: Subscription<Value>,
		connection: Connection,
	): Promise<void> {
		const { topic, partition } = subscription;
		for (const item of subscription.early.splice(0)) this.#arrived(item);
		this.#byNumber.delete(subscription.number);
		const number = this.context.takeNumber();
		subscription.number = number;
		subscription.answered = false;
		this.#byNumber.set(number, subscription);
		const start = subscription.resumeAt(this.#waitingOf(subscription));
		const options: FrameValue = {
			credit: subscription.credit.remaining(),
			on_out_of_range: this.#options.onOutOfRange,
		};
		const fields: FrameValue[] = [number, topic, partition, start as FrameValue, options];
		try {
			const answer = await connection.request(OPERATION.subscribe, ...fields);
			if (subscription.number === number) this.#subscribed(subscription, start, answer);
		} catch (error) {
			if (subscription.number === number) this.#refused(subscription, error as MillraceError);
		}
	}

	#subscribed(subscription: Subscription<Value>, start: unknown, answer: DecodedMap): void {
		const { topic, partition } = subscription;
		const offset = integerOf(answer.offset, "offset");
		const highWatermark = integerOf(answer.high_watermark, "high_watermark");
		subscription.answered = true;
		subscription.position ??= offset;
		if (this.#options.until === "end" && subscription.endOffset === Number.POSITIVE_INFINITY) {
			subscription.endOffset = highWatermark;
		}
		const isMoved = typeof start === "number" && start !== offset;
		if (isMoved) {
			const error = new MillraceError("OFFSET_OUT_OF_RANGE", "", { topic, partition });
			const gap = { topic, partition, from: start, to: offset, error };
			this.#arrived({ kind: "gap", subscription, gap });
		}
		for (const item of subscription.early.splice(0)) this.#arrived(item);
		subscription.settle();
		this.#giveCredit(subscription);
		// Who was moved is told of that first; that all is taken comes behind it from the broker.
		if (!isMoved && subscription.position >= subscription.endOffset) this.#complete(subscription);
	}

	#refused(subscription: Subscription<Value>, error: MillraceError): void {
		// On the next connection it is subscribed again.
		if (error.code === "CONNECTION_LOST") return;
		if (!error.retriable || error.code === "UNKNOWN_TOPIC_OR_PARTITION") {
			this.failedPartition(subscription, error);
			return;
		}
		const { number } = subscription;
		setTimeout(() => {
			const { connection } = this.context.link;
			if (connection === undefined || this.#finished !== undefined) return;
			if (subscription.number === number) void this.subscribe(subscription, connection);
		}, error.retryAfterMs ?? RESUBSCRIBE_MS);
	}

	/** @internal A partition is over: the application is told behind what it has not taken yet. */
	protected failedPartition(subscription: Subscription<Value>, error: Error): void {
		if (this.#finished !== undefined) return;
		const { topic, partition } = subscription;
		const code = error instanceof MillraceError ? error.code : "UNKNOWN_SERVER_ERROR";
		const told = new MillraceError(code, "", { topic, partition, cause: error });
		this.#byNumber.delete(subscription.number);
		subscription.done = true;
		subscription.settle();
		this.#arrived({ kind: "error", subscription, error: told });
	}

	#arrived(item: Item<Value>): void {
		if (this.#finished !== undefined) return;
		if (item.subscription.paused) item.subscription.held.push(item);
		else {
			this.#queue.push(item);
			this.#wake();
		}
	}

	/** Gives what has arrived to those who wait for it. */
	#wake(): void {
		for (let waiter = this.#waiters.peek(); waiter !== undefined; waiter = this.#waiters.peek()) {
			try {
				const value = this.#take(waiter.batch, waiter.hand);
				if (value === undefined) return;
				this.#waiters.shift();
				waiter.resolve({ done: false, value });
			} catch (error) {
				this.#waiters.shift();
				waiter.reject(error);
			}
		}
	}

	#next(batch: boolean, hand: Hand<Value>): Promise<unknown> {
		if (hand.leftAt !== undefined) return this.#endResult({ error: undefined });
		this.#asked(hand);
		if (this.#waiters.size === 0 && !this.#turnIsOver(batch)) {
			try {
				const value = this.#take(batch, hand);
				if (value !== undefined) return Promise.resolve({ done: false, value });
			} catch (error) {
				return Promise.reject(error);
			}
		}
		if (this.#finished !== undefined) {
			this.hands.close(hand);
			return this.#endResult(this.#finished);
		}
		return new Promise((resolve, reject) => {
			this.#waiters.push({ batch, hand, resolve, reject });
			// A failure to start rejects the waiter.
			this.ready().catch(() => undefined);
		});
	}

	/** A loop is left: what comes is for others, also what it had asked for. */
	#leave(hand: Hand<Value>): void {
		for (const waiter of this.#waiters.extract((each) => each.hand === hand)) {
			waiter.resolve({ done: true, value: undefined });
		}
		this.hands.leave(hand);
	}

	/** The application is done with what it had. */
	#asked(hand: Hand<Value>): void {
		const lent = this.#lent;
		if (lent !== undefined && lent.subscription === hand.subscription) {
			this.#lent = undefined;
			this.#took(lent);
		}
		this.hands.asked(hand);
		const { onAsk } = this;
		if (onAsk === undefined) return;
		this.onAsk = undefined;
		onAsk();
	}

	/** Whether others are to get their turn first; if so, what waits is woken after that. */
	#turnIsOver(batch: boolean): boolean {
		this.#given = (this.#given + 1) % TURN_CHECK_RECORDS;
		if (!batch && this.#given !== 0) return false;
		if (performance.now() < this.#turnEndMs) return false;
		inNextTurn(() => {
			this.#turnEndMs = performance.now() + TURN_MS_MAX;
			this.#wake();
			const finished = this.#finished;
			if (finished !== undefined) this.#endWaiters(finished.error);
		});
		return true;
	}

	#endResult({ error }: { error: unknown }): Promise<unknown> {
		if (error !== undefined) return Promise.reject(error);
		return Promise.resolve({ done: true, value: undefined });
	}

	/** What is next; undefined when nothing is here. Throws what the application is to be told. */
	#take(batch: boolean, hand: Hand<Value>): ConsumedRecord<Value> | RecordBatch<Value> | undefined {
		if (this.isHalted) return undefined;
		return batch ? this.#takeBatch(hand) : this.#takeRecord(hand);
	}

	#takeRecord(hand: Hand<Value>): ConsumedRecord<Value> | undefined {
		for (;;) {
			const current = this.#current;
			if (current !== undefined) {
				const record = current.cursor.take();
				if (record !== undefined) {
					const { subscription } = current.item;
					subscription.position = record.offset + 1;
					hand.take(subscription, record.offset);
					return record;
				}
				this.#current = undefined;
				this.#took(current.item);
			} else {
				const item = this.#nextBatch();
				if (item === undefined) return undefined;
				this.#current = { item, cursor: item.batch[Symbol.iterator]() };
			}
		}
	}

	/** The next batch, or what is left of the one that is being given out by records. */
	#takeBatch(hand: Hand<Value>): RecordBatch<Value> | undefined {
		if (this.#current !== undefined) this.#putBack(this.#current.item.subscription);
		const item = this.#nextBatch();
		this.#lent = item;
		if (item !== undefined) {
			const { subscription, batch } = item;
			hand.take(subscription, subscription.position ?? batch.baseOffset);
		}
		return item?.batch;
	}

	/** The next batch to give out; deals with everything else that comes before it. */
	#nextBatch(): (Item<Value> & { kind: "batch" }) | undefined {
		const lent = this.#lent;
		this.#lent = undefined;
		if (lent !== undefined) this.#took(lent);
		for (;;) {
			const item = this.#queue.shift();
			if (item === undefined) return undefined;
			const { subscription } = item;
			switch (item.kind) {
				case "batch": {
					const within = this.#withinEnd(item);
					if (within.batch.length > 0) return within;
					this.#took(within);
					this.#complete(subscription);
					break;
				}
				case "gap":
					subscription.position = item.gap.to;
					// It goes back, as the log ends before what was asked for: no record is passed over.
					if (item.gap.to <= item.gap.from) break;
					if (this.#options.onGap === undefined) throw item.gap.error;
					this.#options.onGap(item.gap);
					break;
				case "caught_up":
					this.#caughtUp(subscription, item.highWatermark);
					break;
				default:
					if (this.#isOver()) this.#finishAfter(item.error);
					throw item.error;
			}
		}
	}

	/** A batch without what lies behind the end that was asked for. */
	#withinEnd(item: Item<Value> & { kind: "batch" }): Item<Value> & { kind: "batch" } {
		const { endOffset } = item.subscription;
		if (item.batch.highWatermark <= endOffset) return item;
		return { ...item, batch: item.batch.clip(0, endOffset) };
	}

	/** What is left of the batch in hand goes back to the front of the queue. */
	#putBack(subscription: Subscription<Value>): void {
		const current = this.#current;
		if (current?.item.subscription !== subscription) return;
		this.#current = undefined;
		const batch = current.item.batch.clip(subscription.position ?? 0, Number.POSITIVE_INFINITY);
		if (batch.length === 0) this.#took(current.item);
		else this.#queue.unshift([{ ...current.item, batch }]);
	}

	/** The application has taken all records of a batch. */
	#took({ subscription, batch, records, bytes }: Item<Value> & { kind: "batch" }): void {
		const behind = batch.lastOffset + 1;
		subscription.position = Math.max(subscription.position ?? 0, behind);
		subscription.credit.taken(records, bytes);
		this.#giveCredit(subscription);
		if (subscription.position >= subscription.endOffset) this.#complete(subscription);
	}

	#giveCredit(subscription: Subscription<Value>): void {
		const { connection } = this.context.link;
		// Before its subscribe is answered the broker may not know the subscription yet.
		if (connection === undefined || !subscription.answered || subscription.done) return;
		const due = subscription.credit.due();
		if (due !== undefined) connection.credit(subscription.number, due[0], due[1]);
	}

	#caughtUp(subscription: Subscription<Value>, highWatermark: number): void {
		const { topic, partition } = subscription;
		subscription.position = Math.max(subscription.position ?? 0, highWatermark);
		this.#options.onCaughtUp?.(topic, partition, highWatermark);
		if (subscription.position >= subscription.endOffset) this.#complete(subscription);
	}

	/** A partition has given all that was asked for. */
	#complete(subscription: Subscription<Value>): void {
		if (subscription.done) return;
		subscription.done = true;
		this.#unsubscribe(subscription);
		this.checkDone();
	}

	/** @internal Ends when every partition has given all that was asked for. */
	protected checkDone(): void {
		if (this.#isOver()) this.allDone();
	}

	/** Whether every partition is over, and the application knows of those that failed. */
	#isOver(): boolean {
		const isError = ({ kind }: Item<Value>) => kind === "error";
		const isOver = this.#subscriptions.every(({ done, held }) => done && !held.some(isError));
		return isOver && ![...this.#queue].some(isError);
	}

	/** @internal */
	protected allDone(): void {
		this.finish(undefined);
	}

	/** With an end asked for, the last partition's error is the end; else `seek` may go on. */
	#finishAfter(error: MillraceError): void {
		if (this.#options.until === "end") this.finish(error);
	}

	#unsubscribe({ number }: Subscription<Value>): void {
		if (!this.#byNumber.delete(number)) return;
		// It may have ended by itself, or with the connection: then there is nothing to undo.
		this.context.link.connection?.request(OPERATION.unsubscribe, number).catch(() => undefined);
	}

	/** @internal Whether the application waits for something to come. */
	protected get isWaiting(): boolean {
		return this.#waiters.size > 0;
	}

	/** @internal Offset behind what the application is done with; undefined: not known yet. */
	protected finishedOffset(subscription: Subscription<Value>): number | undefined {
		return this.hands.finishedOffset(subscription, subscription.position);
	}

	/** @internal Counts what the application has in hand as done; answers the offset behind it. */
	protected countHands(subscription: Subscription<Value>): number | undefined {
		this.hands.count(subscription);
		this.#passLent(subscription);
		return subscription.position;
	}

	/** The batch in hand is behind us. */
	#passLent(subscription: Subscription<Value>): void {
		const lent = this.#lent;
		if (lent?.subscription !== subscription) return;
		subscription.position = Math.max(subscription.position ?? 0, lent.batch.lastOffset + 1);
	}

	/** @internal Gives nothing of a partition out any more; what is in hand stays there. */
	protected stop(subscription: Subscription<Value>): void {
		subscription.isOpen = false;
		this.#passLent(subscription);
		this.#discard(subscription);
	}

	/** @internal Partitions that are not consumed here any more. */
	protected remove(subscriptions: ReadonlySet<Subscription<Value>>): void {
		const left = this.#subscriptions.filter((each) => !subscriptions.has(each));
		this.#subscriptions.splice(0, this.#subscriptions.length, ...left);
		for (const subscription of subscriptions) {
			this.#discard(subscription);
			this.hands.lose(subscription);
		}
	}

	/** Forgets what has arrived of a partition, and asks for no more. */
	#discard(subscription: Subscription<Value>): void {
		if (this.#current?.item.subscription === subscription) this.#current = undefined;
		if (this.#lent?.subscription === subscription) this.#lent = undefined;
		this.#queue.extract((item) => item.subscription === subscription);
		subscription.early = [];
		subscription.held = [];
		this.#unsubscribe(subscription);
	}

	/** @internal Goes on after a halt. */
	protected goOn(): void {
		this.isHalted = false;
		this.#wake();
	}

	/** Everything of a subscription that arrived and was not taken, oldest first. */
	#waitingOf(subscription: Subscription<Value>): Item<Value>[] {
		const current = this.#current === undefined ? [] : [this.#current.item];
		const lent = this.#lent === undefined ? [] : [this.#lent];
		return [...lent, ...current, ...this.#queue, ...subscription.held];
	}

	#abort(): void {
		const { signal } = this.#options;
		if (signal !== undefined) this.finish(abortReason(signal));
	}

	/** @internal What is told where there is nothing to wait for any more. */
	protected closedError(): unknown {
		return this.#finished?.error ?? new MillraceError("CLOSED", "the consumer");
	}

	#reject(error: unknown): void {
		for (let waiter = this.#waiters.shift(); waiter; waiter = this.#waiters.shift()) {
			waiter.reject(error);
		}
	}

	/** @internal The iteration is over, with an error or without. */
	protected finish(error: unknown): void {
		if (this.#finished !== undefined) return;
		this.#finished = { error };
		for (const subscription of this.#subscriptions) {
			this.#unsubscribe(subscription);
			subscription.settle();
		}
		this.#options.signal?.removeEventListener("abort", this.#aborted);
		this.#stopListening();
		this.context.link.remove(this);
		this.context.forget(this);
		this.#queue.extract(() => true);
		this.#current = undefined;
		this.hands.clearAll();
		this.#endWaiters(error);
	}

	#endWaiters(error: unknown): void {
		if (error !== undefined) this.#reject(error);
		for (let waiter = this.#waiters.shift(); waiter; waiter = this.#waiters.shift()) {
			waiter.resolve({ done: true, value: undefined });
		}
	}
}
