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

/** What a fetch asks for beyond its partitions. */
export interface FetchLimits {
	/** Bytes for which it waits. */
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
}

const NOTHING = new Uint8Array(0);
/** Offsets of a partition that could not be read. */
const UNKNOWN = -1;

export class FetchRun {
	readonly #exchange: Exchange;
	readonly #storage: Storage;
	readonly #partitions: readonly FetchPartition[];
	readonly #limits: FetchLimits;
	/** Views that were read and are not the exchange's yet. */
	#views: Uint8Array[] = [];
	#reads: FetchRead[] = [];
	#bytes = 0;
	#hasFailures = false;

	constructor(exchange: Exchange, partitions: readonly FetchPartition[], limits: FetchLimits) {
		this.#exchange = exchange;
		this.#storage = exchange.host.storage;
		this.#partitions = partitions;
		this.#limits = limits;
	}

	/**
	 * Resolves to what was read, in the order of the partitions: at once where there is enough or
	 * something to complain of, else when there is, or the time is up.
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
		for (;;) {
			await this.#readAll();
			const leftMs = deadlineMs - clock.monotonicMs();
			const isEnough = this.#bytes >= this.#limits.bytesMin || this.#hasFailures;
			if (isEnough || leftMs <= 0 || this.#partitions.length === 0) return;
			if (this.#exchange.isOver || this.#exchange.isHurried) return;
			this.#giveBack();
			await this.#waitForMore(leftMs);
		}
	}

	async #readAll(): Promise<void> {
		this.#bytes = 0;
		this.#hasFailures = false;
		this.#reads = [];
		for (const partition of this.#partitions) {
			const reading = this.#readOne(partition);
			const read = reading instanceof Promise ? await reading : reading;
			this.#bytes += read.bytes;
			if (read.code !== CODES.NONE.code) this.#hasFailures = true;
			this.#reads.push(read);
		}
	}

	/** Reads one partition; waits only where its pages have to come from the disk. */
	#readOne({ target, topic, code }: FetchPartition): FetchRead | Promise<FetchRead> {
		if (topic === undefined) return failed(code);
		const offsets = offsetsOf(this.#storage, topic, target.partition);
		if (typeof offsets === "number") return failed(offsets);
		const epochCode = checkLeaderEpoch(target.leaderEpoch, offsets.leaderEpoch);
		if (epochCode !== CODES.NONE.code) return failed(epochCode);
		if (target.offset < 0) return failed(CODES.OFFSET_OUT_OF_RANGE.code);
		return this.#readFrom(topic, target, offsets, target.offset);
	}

	#readFrom(
		topic: Topic,
		target: FetchTarget,
		offsets: PartitionOffsets,
		from: number,
	): FetchRead | Promise<FetchRead> {
		const left = this.#limits.bytesMax - this.#bytes;
		const bytesMax = Math.min(target.bytesMax, left);
		const { highWatermark, logStart } = offsets;
		const nothing = { code: CODES.NONE.code, highWatermark, logStart, bytes: 0, records: NOTHING };
		if (bytesMax <= 0 && this.#bytes > 0) return nothing;
		let offset = from;
		for (;;) {
			const read = this.#storage.readBatches(topic.handle, target.partition, offset, bytesMax);
			switch (read.status) {
				case "data": {
					const view = read.data as Uint8Array;
					// Only the first batch of a whole answer may be larger than what is wanted.
					if (view.length > bytesMax && this.#bytes > 0) {
						this.#storage.release(view);
						return nothing;
					}
					this.#views.push(view);
					return { ...nothing, bytes: view.length, records: view };
				}
				case "at_end":
					return nothing;
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
					return failed(CODES.OFFSET_OUT_OF_RANGE.code);
				case "deleted":
					return failed(CODES.UNKNOWN_TOPIC_OR_PARTITION.code);
				case "failed":
					return failed(CODES.KAFKA_STORAGE_ERROR.code);
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
		if (code !== CODES.NONE.code) return failed(CODES.KAFKA_STORAGE_ERROR.code);
		return this.#readFrom(topic, target, offsets, offset);
	}

	#giveBack(): void {
		for (const view of this.#views) this.#storage.release(view);
		this.#views = [];
	}

	/** Resolves when any partition has more, its topic is gone, the client is, or the time is up. */
	#waitForMore(waitMs: number): Promise<void> {
		return new Promise((resolve) => {
			const cancels: (() => void)[] = [];
			let isDone = false;
			const done = () => {
				if (isDone) return;
				isDone = true;
				clearTimeout(timer);
				this.#exchange.onAbandoned(null);
				for (const cancel of cancels) cancel();
				resolve();
			};
			const timer = setTimeout(done, Math.ceil(waitMs));
			this.#exchange.onAbandoned(done);
			for (const [index, { target, topic }] of this.#partitions.entries()) {
				const highWatermark = this.#reads[index]?.highWatermark ?? UNKNOWN;
				if (topic === undefined || highWatermark === UNKNOWN) continue;
				const offset = Math.max(highWatermark, target.offset);
				cancels.push(this.#storage.watch(topic.handle, target.partition, offset, done));
			}
		});
	}
}

function failed(code: number): FetchRead {
	return { code, highWatermark: UNKNOWN, logStart: UNKNOWN, bytes: 0, records: NOTHING };
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
