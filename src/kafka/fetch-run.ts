/**
 * The reading behind one fetch request: views of mapped memory, within the request's limits, and
 * the wait for more where there is too little.
 */
import { asMillraceError } from "../errors.ts";
import { CODES } from "../protocol/codes.ts";
import type { PartitionOffsets, Storage } from "../storage/storage.ts";
import type { Topic } from "../topics/catalogue.ts";
import type { Exchange } from "./exchange.ts";
import type { FetchOutcome, FetchTarget } from "./fetch-sessions.ts";
import { Turns } from "./turns.ts";

/** What a fetch asks for beyond its partitions. */
export interface FetchLimits {
	/** Bytes for which it waits; never for more than `bytesMax`. */
	readonly bytesMin: number;
	/** Bytes that it wants together; a first batch that is larger is sent all the same (KIP-74). */
	readonly bytesMax: number;
	/** Milliseconds for which it waits. */
	readonly waitMsMax: number;
}

/**
 * A partition of a fetch: the topic as it is found now, or the code that says why there is none.
 */
export interface FetchPartition {
	readonly target: FetchTarget;
	readonly topic: Topic | undefined;
	readonly code: number;
}

/** What was read of a partition. `records` is lent: the exchange gives it back. */
export interface FetchRead extends FetchOutcome {
	readonly records: Uint8Array;
	/** How many there are. */
	readonly recordCount: number;
}

const NOTHING = new Uint8Array(0);
/** Offsets of a partition that could not be read. */
const UNKNOWN = -1;

export class FetchRun {
	readonly #exchange: Exchange;
	readonly #storage: Storage;
	readonly #partitions: readonly FetchPartition[];
	readonly #bytesMin: number;
	readonly #limits: FetchLimits;
	readonly #turns: Turns;
	/** Views that were read and are not the exchange's yet. */
	#views: Uint8Array[] = [];
	/** By the index of the partition. */
	readonly #reads: FetchRead[] = [];
	/** Bytes that were read. */
	#bytes = 0;
	/** The same as `bytesMin` counts them: what did not fit counts up to the limit. */
	#bytesCounted = 0;
	#mustAnswer = false;

	constructor(exchange: Exchange, partitions: readonly FetchPartition[], limits: FetchLimits) {
		this.#exchange = exchange;
		this.#storage = exchange.host.storage;
		this.#partitions = partitions;
		this.#limits = limits;
		// As in Kafka: nobody waits for more than can be answered.
		this.#bytesMin = Math.min(limits.bytesMin, limits.bytesMax);
		this.#turns = new Turns(exchange.host.clock);
	}

	/**
	 * Resolves to what was read, in the order of the partitions: at once where there is enough or
	 * something to complain of, else when there is, or the time is up. Partitions that are not there
	 * do not end the wait for the others: clients learn of them late rather than ask in a loop.
	 */
	async run(): Promise<readonly FetchRead[]> {
		try {
			await this.#readEnough();
		} catch (error) {
			this.#giveBack();
			throw error;
		}
		for (const view of this.#views) this.#exchange.lend(view);
		return this.#reads;
	}

	async #readEnough(): Promise<void> {
		const { clock } = this.#exchange.host;
		const deadlineMs = clock.monotonicMs() + this.#limits.waitMsMax;
		let indexes: Iterable<number> = this.#partitions.keys();
		for (;;) {
			await this.#read(indexes);
			const leftMs = deadlineMs - clock.monotonicMs();
			const isEnough = this.#bytesCounted >= this.#bytesMin || this.#mustAnswer;
			if (isEnough || leftMs <= 0 || !this.#canWait()) return;
			if (this.#exchange.isOver || this.#exchange.isHurried) return;
			// Views would keep the disk space of what is deleted meanwhile.
			const again = this.#giveBack();
			for (const index of await this.#waitForMore(leftMs)) again.add(index);
			if (this.#exchange.isOver) return;
			indexes = [...again].sort((left, right) => left - right);
		}
	}

	/** Reads the partitions at these indexes, in this order, which share the bytes of the answer. */
	async #read(indexes: Iterable<number>): Promise<void> {
		for (const index of indexes) {
			const reading = this.#readOne(this.#partitions[index] as FetchPartition);
			const read = reading instanceof Promise ? await reading : reading;
			this.#bytes += read.bytes;
			this.#reads[index] = read;
			if (this.#turns.isDue) await this.#turns.pause();
		}
	}

	/** Reads one partition; waits only where its pages have to come from the disk. */
	#readOne({ target, topic, code }: FetchPartition): FetchRead | Promise<FetchRead> {
		if (topic === undefined) return failed(code);
		if (target.partition < 0 || target.partition >= topic.partitions) {
			return failed(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
		}
		const offsets = offsetsOf(this.#storage, topic, target.partition);
		if (typeof offsets === "number") return this.#complain(offsets);
		const epochCode = checkLeaderEpoch(target.leaderEpoch, offsets.leaderEpoch);
		if (epochCode !== CODES.NONE.code) return this.#complain(epochCode);
		if (target.offset < 0) return this.#complain(CODES.OFFSET_OUT_OF_RANGE.code);
		// What most partitions of a consumer are: it need not be asked of the log.
		if (target.offset === offsets.highWatermark) return nothingOf(offsets);
		return this.#readFrom(topic, target, offsets, target.offset);
	}

	#readFrom(
		topic: Topic,
		target: FetchTarget,
		offsets: PartitionOffsets,
		from: number,
	): FetchRead | Promise<FetchRead> {
		const left = this.#limits.bytesMax - this.#bytes;
		const bytesMax = Math.max(Math.min(target.bytesMax, left), 0);
		if (bytesMax === 0 && this.#bytes > 0) return nothingOf(offsets);
		let offset = from;
		for (;;) {
			const read = this.#storage.readBatches(topic.handle, target.partition, offset, bytesMax);
			switch (read.status) {
				case "data": {
					const view = read.data as Uint8Array;
					const { highWatermark, nextOffset, records: recordCount } = read;
					// Only the first batch of a whole answer may be larger than what is wanted.
					if (view.length > bytesMax && this.#bytes > 0) {
						this.#storage.release(view);
						this.#bytesCounted += bytesMax;
						return nothingOf(offsets);
					}
					this.#views.push(view);
					this.#bytesCounted +=
						nextOffset < highWatermark ? Math.max(view.length, bytesMax) : view.length;
					// Not that of `offsets`, which may be older than the records.
					return {
						...nothingOf(offsets),
						highWatermark,
						bytes: view.length,
						records: view,
						recordCount,
					};
				}
				case "at_end":
					return { ...nothingOf(offsets), highWatermark: read.highWatermark };
				case "gap":
					// What is damaged is skipped, as what compaction took away is: the consumer goes on.
					this.#exchange.host.log.warn(
						{ topic: topic.name, partition: target.partition, from: offset, to: read.gapTo },
						"a consumer was led past a damaged range",
					);
					offset = read.gapTo;
					continue;
				case "loading":
					return this.#whenLoaded(read.token, topic, target, offsets, offset);
				case "out_of_range":
					return this.#complain(CODES.OFFSET_OUT_OF_RANGE.code);
				case "deleted":
					return this.#complain(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
				case "failed":
					return this.#complain(CODES.KAFKA_STORAGE_ERROR.code);
			}
		}
	}

	async #whenLoaded(
		token: number,
		topic: Topic,
		target: FetchTarget,
		offsets: PartitionOffsets,
		offset: number,
	): Promise<FetchRead> {
		const code = await new Promise<number>((resolve) => this.#storage.onToken(token, resolve));
		if (code !== CODES.NONE.code) return this.#complain(CODES.KAFKA_STORAGE_ERROR.code);
		return this.#readFrom(topic, target, offsets, offset);
	}

	/** The client is to learn of it at once. */
	#complain(code: number): FetchRead {
		this.#mustAnswer = true;
		return failed(code);
	}

	/** Whether there is a partition that may get more. */
	#canWait(): boolean {
		return this.#reads.some(({ highWatermark }) => highWatermark !== UNKNOWN);
	}

	/** Gives all views back; answers the indexes of the partitions that have to be read again. */
	#giveBack(): Set<number> {
		for (const view of this.#views) this.#storage.release(view);
		this.#views = [];
		this.#bytes = 0;
		this.#bytesCounted = 0;
		const again = new Set<number>();
		for (const [index, { bytes }] of this.#reads.entries()) if (bytes > 0) again.add(index);
		return again;
	}

	/**
	 * Resolves when any partition has more, its topic is gone, the client is, or the time is up; to
	 * the indexes of the partitions that have.
	 */
	#waitForMore(waitMs: number): Promise<readonly number[]> {
		const { clock } = this.#exchange.host;
		return new Promise((resolve) => {
			const cancels: (() => void)[] = [];
			const woken: number[] = [];
			let isDone = false;
			const done = () => {
				if (isDone) return;
				isDone = true;
				cancelTimer();
				this.#exchange.onAbandoned(null);
				for (const cancel of cancels) cancel();
				resolve(woken);
			};
			const cancelTimer = clock.after(Math.ceil(waitMs), done);
			this.#exchange.onAbandoned(done);
			for (const [index, { highWatermark }] of this.#reads.entries()) {
				const { target, topic } = this.#partitions[index] as FetchPartition;
				if (topic === undefined || highWatermark === UNKNOWN) continue;
				const offset = Math.max(highWatermark, target.offset);
				const wake = () => {
					// What else is woken in this turn belongs to the same answer.
					if (woken.push(index) === 1) queueMicrotask(done);
				};
				cancels.push(this.#storage.watch(topic.handle, target.partition, offset, wake));
			}
		});
	}
}

function failed(code: number): FetchRead {
	return {
		code,
		highWatermark: UNKNOWN,
		logStart: UNKNOWN,
		bytes: 0,
		records: NOTHING,
		recordCount: 0,
	};
}

function nothingOf({ highWatermark, logStart }: PartitionOffsets): FetchRead {
	return {
		code: CODES.NONE.code,
		highWatermark,
		logStart,
		bytes: 0,
		records: NOTHING,
		recordCount: 0,
	};
}

/** A partition's offsets, or the code that says why there are none. */
function offsetsOf(storage: Storage, topic: Topic, partition: number): PartitionOffsets | number {
	try {
		return storage.offsets(topic.handle, partition);
	} catch (error) {
		return asMillraceError(error).number;
	}
}

/** KIP-320: whether the client believes in the epoch that the broker leads in; -1 says nothing. */
export function checkLeaderEpoch(asked: number, current: number): number {
	if (asked < 0 || asked === current) return CODES.NONE.code;
	return asked < current ? CODES.FENCED_LEADER_EPOCH.code : CODES.UNKNOWN_LEADER_EPOCH.code;
}
