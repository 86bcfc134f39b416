/**
 * The logs of one data directory, as one event loop sees them.
 *
 * Requests cross into the core once a frame, as flat numbers (layout.ts); what has to wait for a
 * disk comes back as a token whose event arrives on a later turn, one wake-up for all that happened
 * until then.
 */

import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { MetadataChange } from "../metadata/metadata-store.ts";
import { loadNative } from "../native.ts";
import type { NativeBinding, NativeRefusedRecord } from "../native-binding.ts";
import { CODES } from "../protocol/codes.ts";
import {
	EVENT_STRIDE,
	EVENT_TOKEN,
	EVENT_UNMAP,
	FRAME_IS_ELSEWHERE,
	FRAME_REACHED,
	FRAME_STRIDE,
	FRAME_TOKEN,
	PLAN_STRIDE,
	READ_BYTES,
	READ_FRAME_BYTES,
	READ_HIGH_WATERMARK,
	READ_LOG_START,
	READ_NEXT_OFFSET,
	READ_RECORDS,
	READ_STATUS,
	READ_STATUS_DATA,
	READ_STATUS_LARGE,
	READ_STRIDE,
	READ_TOKEN,
	READ_VIEW_BYTES,
	READ_VIEW_START,
	READ_WINDOW,
	SPREAD_STRIDE,
	SYNC_STRIDE,
	TOPIC_STRIDE,
} from "./layout.ts";
import { LoopHold } from "./loop-hold.ts";
import { call, callAsync, fromNative } from "./native-error.ts";
import { PartitionWatches } from "./partition-watches.ts";
import { ReadWindows } from "./read-windows.ts";
import type {
	ActiveProducer,
	OpeningProgress,
	PartitionOffsets,
	ProduceEnvelope,
	ReadResult,
	ReadStatus,
	RecoveryEntry,
	SpaceWatermarks,
	StorageOptions,
	StoreStatistics,
	TimedOffset,
	TopicHandle,
	TopicSpec,
	UpkeepEntry,
	UpkeepOptions,
	VerifyStep,
} from "./storage-types.ts";
import { nativeConfig, type TopicLogConfig } from "./topic-log-config.ts";

export type * from "./storage-types.ts";
export type { TopicLogConfig } from "./topic-log-config.ts";

/** Numbers that tell of one producer. */
const ACTIVE_PRODUCER_STRIDE = 4;

/**
 * Rows that `spread` has room for: partitions that the entries of one frame may spread over, added
 * up.
 */
export const SPREAD_ROWS_MAX = 65_536;

const STATUSES: readonly ReadStatus[] = ["data", "at_end", "loading", "out_of_range", "gap"];
const EVENTS_DRAINED_MAX = 1024;
/**
 * Room for a delivery and the front of its frame. A frame of one larger batch gets a buffer of its
 * own.
 */
const SCRATCH_BYTES = LIMITS.deliveryBytesMax + 65_536;
const FLUSH_THREADS_MAX = 16;
/** Files of segments that are kept open: these, or half of what the process may have open. */
const DESCRIPTORS_MAX = 16_384;

/**
 * Logs, as one event loop uses them. Any number of threads may open the same directory: they share
 * its store, with the same topic handles, and each has its own Storage, closed by itself.
 *
 * It keeps the event loop from ending only while something is pending: a token that somebody waits
 * for, a watch, a call that is not settled. A thread that ends without closing it, by itself or
 * terminated, gives its part of the store back.
 */
export class Storage {
	/** Rows about the entries of the produce frame at work; see layout.ts. */
	readonly plan = new Float64Array(LIMITS.produceEntriesMax * PLAN_STRIDE);
	/** Rows about entries that went to several partitions. */
	readonly spread: Float64Array;
	readonly clusterId: string;
	/** Where it is stored; null: in memory. */
	readonly dataDir: string | null;

	readonly #native: NativeBinding;
	readonly #store: number;
	readonly #channel: number;
	readonly #frameResult = new Float64Array(FRAME_STRIDE + SPREAD_ROWS_MAX * SPREAD_STRIDE);
	readonly #readNumbers = new Float64Array(READ_STRIDE);
	readonly #syncNumbers = new Float64Array(SYNC_STRIDE);
	readonly #topicNumbers = new Float64Array(TOPIC_STRIDE);
	readonly #offsetNumbers = new Float64Array(5);
	readonly #events = new Float64Array(EVENTS_DRAINED_MAX * EVENT_STRIDE);
	readonly #scratch = new Uint8Array(SCRATCH_BYTES);
	readonly #envelope: ProduceEnvelope = { id: 0, ack: -1, entryCount: 0 };
	readonly #tokens = new Map<number, (code: number) => void>();
	readonly #hold: LoopHold;
	/** Steps of checks that are under way or wait, and the end of the last of them. */
	#verifying = 0;
	#verified: Promise<void> = Promise.resolve();
	readonly #watches: PartitionWatches;
	readonly #windows: ReadWindows;
	readonly #recovered: RecoveryEntry[] = [];
	readonly #read: ReadResult = {
		status: "at_end",
		data: null,
		nextOffset: 0,
		records: 0,
		bytes: 0,
		highWatermark: 0,
		token: 0,
		gapFrom: 0,
		gapTo: 0,
		logStart: 0,
		code: 0,
	};
	#connections = 0;
	#coldReads = 0;
	#isClosed = false;
	#isChannelClosed = false;

	private constructor(native: NativeBinding, store: number, options: StorageOptions) {
		const { dataDir, memory = false, readWindowsBytesMax } = options;
		this.dataDir = memory ? null : dataDir;
		this.#native = native;
		this.#store = store;
		this.spread = this.#frameResult.subarray(FRAME_STRIDE);
		this.clusterId = native.clusterId(store);
		// A wake-up may still be on its way when the channel is closed.
		this.#channel = native.openChannel(store, () => {
			if (!this.#isChannelClosed) this.#drain();
		});
		this.#hold = new LoopHold((isHeld) => {
			if (!this.#isChannelClosed) native.holdChannel(this.#channel, isHeld);
		});
		const watchSource = {
			arm: (topic: number, partition: number, offset: number) =>
				this.#arm(topic, partition, offset),
			highWatermark: (topic: number, partition: number) => this.#highWatermark(topic, partition),
		};
		this.#watches = new PartitionWatches(watchSource, this.#hold);
		const windowSource = {
			hold: (id: number) => native.holdWindow(store, this.#channel, id),
			buffer: (id: number) => native.windowBuffer(this.#channel, id),
			release: (id: number) => native.releaseWindow(this.#channel, id),
			detach: (buffer: ArrayBuffer) => native.detachBuffer(buffer),
		};
		this.#windows = new ReadWindows(
			windowSource,
			readWindowsBytesMax ?? LIMITS.readWindowsBytesMax,
		);
	}

	/**
	 * Opens or creates a data directory, or shares the store of a thread of this process that has it
	 * open. Rejects with INVALID_ARGUMENT when that was opened with other options, with
	 * DATA_DIRECTORY_IN_USE when another process or another owner has it, with DATA_DIRECTORY_NEWER,
	 * UNSUITABLE_FILE_SYSTEM, DATA_DAMAGED, DISK_FULL or KAFKA_STORAGE_ERROR.
	 */
	static async open(options: StorageOptions): Promise<Storage> {
		const native = loadNative();
		const store = await callAsync(() =>
			native.openStore({
				dataDirectory: options.dataDir,
				memory: options.memory ?? false,
				isOwner: options.owner ?? false,
				...(options.memoryName === undefined ? {} : { memoryName: options.memoryName }),
				memoryBytesMax: options.memoryBytesMax ?? 0,
				flushThreadsMax: options.flushThreadsMax ?? FLUSH_THREADS_MAX,
				descriptorsMax: options.descriptorsMax ?? DESCRIPTORS_MAX,
				hasJournal: options.flushJournal ?? false,
			}),
		);
		return new Storage(native, store, options);
	}

	/** How many of the partitions asked for by `openTopics` are open by now, in all threads. */
	get openingProgress(): OpeningProgress {
		return call(() => this.#native.openingProgress(this.#store));
	}

	/**
	 * What recovery did since the directory was opened, to every topic opened until now. Where
	 * threads share the directory, each entry is told to the first that asks.
	 */
	get recoveryReport(): readonly RecoveryEntry[] {
		if (!this.#isClosed) this.#recovered.push(...this.#native.takeRecoveryReport(this.#store));
		return this.#recovered;
	}

	/**
	 * Flushes everything and, unless another thread still uses the store, notes the clean stop and
	 * unlocks the directory. Whoever waits is told: tokens that are not done by then fail with
	 * SHUTTING_DOWN, and watches are woken. Rejects when something could not be made durable; it is
	 * closed all the same.
	 */
	async close(): Promise<void> {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#windows.close();
		try {
			await callAsync(() => this.#native.closeStore(this.#store, this.#channel));
		} finally {
			this.#drain();
			for (const token of [...this.#tokens.keys()]) {
				this.#tokenDone(token, CODES.SHUTTING_DOWN.code);
			}
			this.#watches.close();
			this.#isChannelClosed = true;
			this.#native.closeChannel(this.#channel);
		}
	}

	/**
	 * Opens topics, creating what is missing, durably; handles are in the order of `specs`. Topics
	 * that another thread has open are answered with the handles that it has, and stay as they are:
	 * opening again is how a thread finds the handles of what its catalogue knows. Rejects with
	 * INVALID_ARGUMENT when one is open under another name or with fewer partitions.
	 */
	async openTopics(specs: readonly TopicSpec[]): Promise<TopicHandle[]> {
		const handles = await callAsync(() =>
			this.#native.openTopics(
				this.#store,
				specs.map(({ name, topicId, partitions, config, existing }) => ({
					name,
					topicId,
					partitions,
					config: nativeConfig(config),
					isExisting: existing,
				})),
			),
		);
		return handles as TopicHandle[];
	}

	/** Grows a topic to `partitions`, durably. */
	addPartitions(topic: TopicHandle, partitions: number): Promise<void> {
		return callAsync(() => this.#native.addPartitions(this.#store, topic, partitions));
	}

	/** Changes a topic's configuration from the next append on. */
	configureTopic(topic: TopicHandle, config: TopicLogConfig): void {
		call(() => this.#native.configureTopic(this.#store, topic, nativeConfig(config)));
	}

	/** Ends a topic; its handle is dead at once, its files are gone when the promise resolves. */
	deleteTopic(topic: TopicHandle): Promise<void> {
		// At once, whatever else is waiting to be drained; other threads are told by an event.
		this.#windows.dropTopic(topic);
		return callAsync(() => this.#native.deleteTopic(this.#store, topic));
	}

	/** Removes what is left of a topic whose deletion was interrupted by a stop. */
	removeTopicFiles(topicId: string): Promise<void> {
		return callAsync(() => this.#native.removeTopicFiles(this.#store, topicId));
	}

	/** Moves directories that no open topic claims out of the way; the recovery report names them. */
	setAsideUnclaimed(): Promise<void> {
		return callAsync(() => this.#native.setAsideUnclaimed(this.#store));
	}

	/** Throws UNKNOWN_TOPIC_OR_PARTITION. */
	offsets(topic: TopicHandle, partition: number): PartitionOffsets {
		const numbers = this.#offsetNumbers;
		call(() => this.#native.partitionOffsets(this.#store, topic, partition, numbers));
		const [logStart = 0, highWatermark = 0, logEnd = 0, flushed = 0, leaderEpoch = 0] = numbers;
		return { logStart, highWatermark, logEnd, flushed, leaderEpoch };
	}

	/** The first visible record at or after a time; null when there is none. */
	async offsetForTimestamp(
		topic: TopicHandle,
		partition: number,
		timestampMs: number,
	): Promise<TimedOffset | null> {
		const numbers = await callAsync(() =>
			this.#native.offsetForTime(this.#store, topic, partition, timestampMs),
		);
		return timedOffset(numbers);
	}

	/** The first visible record that carries the largest timestamp; null when there is no record. */
	async offsetOfMaxTimestamp(topic: TopicHandle, partition: number): Promise<TimedOffset | null> {
		const numbers = await callAsync(() =>
			this.#native.offsetOfMaxTimestamp(this.#store, topic, partition),
		);
		return timedOffset(numbers);
	}

	/**
	 * The largest leader epoch at or below `epoch`, and the offset where it ended: where the next one
	 * begins, for the present one the high watermark. Null when `epoch` is still to come.
	 */
	async endOfLeaderEpoch(
		topic: TopicHandle,
		partition: number,
		epoch: number,
	): Promise<{ leaderEpoch: number; endOffset: number } | null> {
		const [leaderEpoch, endOffset] = await callAsync(() =>
			this.#native.endOfLeaderEpoch(this.#store, topic, partition, epoch),
		);
		if (leaderEpoch === undefined || endOffset === undefined) return null;
		return { leaderEpoch, endOffset };
	}

	/**
	 * Deletes the records before an offset, or every visible one (-1); resolves to the new log start,
	 * durable, which never goes back. Rejects with OFFSET_OUT_OF_RANGE beyond the high watermark.
	 */
	deleteRecords(topic: TopicHandle, partition: number, beforeOffset: number): Promise<number> {
		return callAsync(() => this.#native.deleteRecords(this.#store, topic, partition, beforeOffset));
	}

	/**
	 * Starts what the store does by itself: retention, compaction, scrubbing. Once all topics are
	 * open; it ends with the store.
	 */
	startUpkeep(options: UpkeepOptions): void {
		call(() =>
			this.#native.startUpkeep(this.#store, {
				retentionCheckIntervalMs: options.logRetentionCheckIntervalMs,
				isCleanerEnabled: options.logCleanerEnable,
				cleanerBackoffMs: options.logCleanerBackoffMs,
				cleanerDedupeBytesMax: options.logCleanerDedupeBufferSize,
				cleanerBytesPerSecond: options.logCleanerIoMaxBytesPerSecond,
				scrubBytesPerSecond: options.scrubMaxBytesPerSecond,
			}),
		);
	}

	/**
	 * Checks a partition from about an offset on, a bounded step of it, on another thread; what is
	 * damaged is served around from then on. One step at a time: others wait. Rejects with
	 * LIMIT_EXCEEDED where too many do, and with KAFKA_STORAGE_ERROR where the disk cannot be read.
	 */
	async verifyStep(topic: TopicHandle, partition: number, fromOffset: number): Promise<VerifyStep> {
		if (this.#verifying >= LIMITS.verifyWaitingMax) {
			throw new MillraceError("LIMIT_EXCEEDED", `${this.#verifying} checks wait already`);
		}
		this.#verifying++;
		const before = this.#verified;
		const check = async (): Promise<VerifyStep> => {
			await before;
			const { nextOffset, ...step } = await callAsync(() =>
				this.#native.verifyStep(this.#store, topic, partition, fromOffset),
			);
			return { ...step, nextOffset: nextOffset < 0 ? null : nextOffset };
		};
		const checked = check().finally(() => this.#verifying--);
		this.#verified = checked.then(
			() => undefined,
			() => undefined,
		);
		return await checked;
	}

	/** What the store did by itself since the last call; each entry is told once. */
	takeUpkeepReport(): UpkeepEntry[] {
		return call(() => this.#native.takeUpkeepReport(this.#store));
	}

	/** The figures of now. */
	statistics(): StoreStatistics {
		return call(() => this.#native.storeStatistics(this.#store, this.#channel));
	}

	/** Reads that had to wait for the disk since this was opened. */
	get coldReads(): number {
		return this.#coldReads;
	}

	/** Syncs that somebody waited for, as SYNC_ of layout.ts; gone at the next call. */
	syncFigures(): Float64Array {
		call(() => this.#native.syncFigures(this.#store, this.#syncNumbers));
		return this.#syncNumbers;
	}

	/**
	 * What `count` partitions of a topic, from a number on, have on disk, as TOPIC_ of layout.ts;
	 * gone at the next call. Throws UNKNOWN_TOPIC_OR_PARTITION.
	 */
	topicFigures(topic: TopicHandle, from: number, count: number): Float64Array {
		const numbers = this.#topicNumbers;
		call(() => this.#native.topicFigures(this.#store, topic, from, count, numbers));
		return numbers;
	}

	/** A number for a connection, whatever its protocol, that no other of this loop has or had. */
	nextConnection(): number {
		this.#connections += 1;
		return this.#connections;
	}

	/** Bytes on disk of each partition of a topic. Throws UNKNOWN_TOPIC_OR_PARTITION. */
	logBytes(topic: TopicHandle): Float64Array {
		return call(() => this.#native.logBytes(this.#store, topic));
	}

	/** Size of the file system that holds the data, and what may still be written, in bytes. */
	async volumeSpace(): Promise<{ totalBytes: number; usableBytes: number }> {
		const [totalBytes = 0, usableBytes = 0] = await callAsync(() =>
			this.#native.volumeSpace(this.#store),
		);
		return { totalBytes, usableBytes };
	}

	/** What is kept free of the file system that holds the data, by its size. */
	spaceWatermarks(): SpaceWatermarks {
		return this.#native.spaceWatermarks(this.statistics().spaceTotalBytes);
	}

	/**
	 * Gives up the blocks that are kept for what must not fail on a full disk, until there is room
	 * for them again. Resolves to whether there may be room now.
	 */
	giveUpReserve(): Promise<boolean> {
		return callAsync(() => this.#native.giveUpReserve(this.#store));
	}

	/** In memory: fills the disk, or makes room on it. INVALID_ARGUMENT elsewhere, also below. */
	setDiskFull(isFull: boolean): Promise<void> {
		return callAsync(() => this.#native.setDiskFull(this.#store, isFull));
	}

	/** In memory: has flushes take at least so long. */
	setFlushDelay(delayMs: number): void {
		call(() => this.#native.setFlushDelay(this.#store, delayMs));
	}

	/** In memory: lets time pass. What comes due by it is done when the promise resolves. */
	advanceClock(milliseconds: number): Promise<void> {
		call(() => this.#native.advanceClock(this.#store, milliseconds));
		return callAsync(() => this.#native.settleStore(this.#store));
	}

	/**
	 * The producers that numbered their records in a partition, in the order of their ids. Throws
	 * UNKNOWN_TOPIC_OR_PARTITION.
	 */
	activeProducers(topic: TopicHandle, partition: number): ActiveProducer[] {
		const numbers = call(() => this.#native.activeProducers(this.#store, topic, partition));
		const producers: ActiveProducer[] = [];
		for (let index = 0; index < numbers.length; index += ACTIVE_PRODUCER_STRIDE) {
			const [producerId = -1, epoch = -1, lastSequence = -1, lastAppendMs = -1] = numbers.subarray(
				index,
				index + ACTIVE_PRODUCER_STRIDE,
			);
			producers.push({ producerId, epoch, lastSequence, lastAppendMs });
		}
		return producers;
	}

	/**
	 * For each name whether the whole of it matches a regular expression, which means what it means
	 * to Kafka (RE2's syntax), in time linear to the names. Throws INVALID_REGULAR_EXPRESSION, with
	 * what is wrong and where, also when one of the limits of patterns is exceeded; INVALID_ARGUMENT
	 * for a name with a line feed in it.
	 */
	matchNames(pattern: string, names: readonly string[]): boolean[] {
		// One string instead of thousands: each would cost an allocation and a call.
		const joined = names.length === 0 ? "" : `${names.join("\n")}\n`;
		const matching = call(() => this.#native.matchNames(pattern, joined, names.length));
		const answers = new Array<boolean>(names.length).fill(false);
		for (const index of matching) answers[index] = true;
		return answers;
	}

	/** Takes a produce frame apart into `plan`. Throws MALFORMED_FRAME, LIMIT_EXCEEDED. */
	decodeProduce(frame: Uint8Array): ProduceEnvelope {
		const numbers = this.#frameResult;
		try {
			this.#native.decodeProduce(this.#channel, frame, this.plan, numbers);
		} catch (thrown) {
			throw fromNative(thrown);
		}
		const envelope = this.#envelope;
		envelope.id = numbers[0] as number;
		envelope.ack = numbers[1] as number;
		envelope.entryCount = numbers[2] as number;
		return envelope;
	}

	/**
	 * Appends the first `entryCount` entries of `plan`, made from `frame`, and notes there and in
	 * `spread` what became of them. Returns 0 when all that was asked for is reached, else the token
	 * to wait for. The frame's memory is not kept. Numbered records are those of `producerId`, -1 for
	 * a connection without an identity; null lets each batch name the producer that made it.
	 *
	 * `connection`, from `nextConnection`, tells whose frame it is: those of one connection keep
	 * their order, and connections take turns where another thread has to do the work. Where too
	 * much waits for that, entries are REQUEST_TIMED_OUT.
	 */
	append(
		frame: Uint8Array,
		entryCount: number,
		ack: number,
		producerId: number | null,
		producerEpoch: number,
		connection: number,
	): number {
		const numbers = this.#frameResult;
		try {
			this.#native.append(
				this.#store,
				this.#channel,
				frame,
				this.plan,
				entryCount,
				ack,
				producerId,
				producerEpoch,
				connection,
				numbers,
			);
		} catch (thrown) {
			throw fromNative(thrown);
		}
		return numbers[FRAME_TOKEN] as number;
	}

	/** The durability that the last append reaches: 0 none, 1 written, 2 flushed. */
	get reached(): number {
		return this.#frameResult[FRAME_REACHED] as number;
	}

	/**
	 * Whether another thread is appending part of the last frame, because it would have held the
	 * event loop up: then `plan`, `spread` and `reached` are filled in by `takeAppended` once the
	 * token is done.
	 */
	get isElsewhere(): boolean {
		return this.#frameResult[FRAME_IS_ELSEWHERE] === 1;
	}

	/** Fills `plan`, `spread` and `reached` in for a frame that another thread appended. */
	takeAppended(token: number): void {
		call(() => this.#native.takeAppended(this.#channel, token, this.plan, this.#frameResult));
	}

	/**
	 * The records for which ready batches of the frame appended or taken last were refused, the first
	 * `LIMITS.refusedRecordsMax` of them.
	 */
	refusedRecords(): readonly Readonly<NativeRefusedRecord>[] {
		return call(() => this.#native.refusedRecords(this.#channel));
	}

	/** Calls `done` once, on a later turn, with 0 or the number of the error that ended the wait. */
	onToken(token: number, done: (code: number) => void): void {
		this.#tokens.set(token, done);
		this.#hold.add();
	}

	/**
	 * Calls `wake` once, on a later turn, when the high watermark has passed `offset`. Returns a
	 * cancel.
	 */
	watch(topic: TopicHandle, partition: number, offset: number, wake: () => void): () => void {
		return this.#watches.add(topic, partition, offset, wake);
	}

	/**
	 * Reads records as one whole frame `[131, sub, ...]`: at most `recordsMax` and `bytesMax`, but
	 * always one. `sub` is a subscription of `connection`, from `nextConnection`: connections take
	 * turns where another thread has to do the work.
	 */
	readRecords(
		topic: TopicHandle,
		partition: number,
		offset: number,
		sub: number,
		recordsMax: number,
		bytesMax: number,
		connection: number,
	): ReadResult {
		const numbers = this.#readNumbers;
		try {
			this.#native.readRecords(
				this.#store,
				this.#channel,
				topic,
				partition,
				offset,
				sub,
				recordsMax,
				bytesMax,
				connection,
				this.#scratch,
				numbers,
			);
		} catch (thrown) {
			return this.#failed(thrown);
		}
		const result = this.#outcome(offset);
		if (numbers[READ_STATUS] === READ_STATUS_LARGE) {
			result.status = "data";
			result.data = new Uint8Array(numbers[READ_FRAME_BYTES] as number);
			this.#native.takeFrame(this.#channel, result.data);
		} else if (result.status === "data") {
			result.data = this.#scratch.subarray(0, numbers[READ_FRAME_BYTES]);
		}
		return result;
	}

	/**
	 * Finds whole batches in mapped memory, at most `bytesMax` of them but always one. The view is
	 * lent: it is given back by `release`, and nobody writes to it.
	 */
	readBatches(topic: TopicHandle, partition: number, offset: number, bytesMax: number): ReadResult {
		const numbers = this.#readNumbers;
		for (;;) {
			try {
				this.#native.readBatches(
					this.#store,
					this.#channel,
					topic,
					partition,
					offset,
					bytesMax,
					numbers,
				);
			} catch (thrown) {
				return this.#failed(thrown);
			}
			const result = this.#outcome(offset);
			if (numbers[READ_STATUS] !== READ_STATUS_DATA) return result;
			result.data = this.#windows.lend(
				numbers[READ_WINDOW] as number,
				topic,
				numbers[READ_VIEW_START] as number,
				numbers[READ_VIEW_BYTES] as number,
			);
			// Another thread made the core give the window up since: the read maps it anew.
			if (result.data !== null) return result;
		}
	}

	/** Views from `readBatches` that were not given back yet. */
	get viewsLent(): number {
		return this.#windows.lentCount;
	}

	/** Gives a view from `readBatches` back. */
	release(view: Uint8Array): void {
		this.#windows.release(view);
	}

	/** Everything that the control plane stored, and its epoch. */
	metadataLoad(): { epoch: number; entries: [key: string, value: Uint8Array][] } {
		const { epoch, entries } = call(() => this.#native.metadataLoad(this.#store));
		return { epoch, entries: entries.map(({ key, value }) => [key, value ?? new Uint8Array()]) };
	}

	/**
	 * Applies all changes or none, durably; resolves to the new epoch. Rejects with INVALID_REQUEST.
	 */
	metadataCommit(expectedEpoch: number, changes: readonly MetadataChange[]): Promise<number> {
		return callAsync(() =>
			this.#native.metadataCommit(
				this.#store,
				expectedEpoch,
				changes.map(({ key, value }) => (value === null ? { key } : { key, value })),
			),
		);
	}

	/** The first producer id that nobody can have yet. */
	get producerIdsEnd(): number {
		return call(() => this.#native.producerIdsEnd(this.#store));
	}

	/** Takes `count` producer ids that nobody had before; resolves to the first. */
	allocateProducerIds(count: number): Promise<number> {
		return callAsync(() => this.#native.allocateProducerIds(this.#store, count));
	}

	#outcome(offset: number): ReadResult {
		const numbers = this.#readNumbers;
		const result = this.#read;
		const status = numbers[READ_STATUS] as number;
		result.status = STATUSES[status] ?? "data";
		if (result.status === "loading") this.#coldReads++;
		result.data = null;
		result.nextOffset = numbers[READ_NEXT_OFFSET] as number;
		result.records = numbers[READ_RECORDS] as number;
		result.bytes = numbers[READ_BYTES] as number;
		result.highWatermark = numbers[READ_HIGH_WATERMARK] as number;
		result.token = numbers[READ_TOKEN] as number;
		result.logStart = numbers[READ_LOG_START] as number;
		result.gapFrom = offset;
		result.gapTo = result.nextOffset;
		result.code = result.status === "gap" ? CODES.DAMAGED_RANGE.code : CODES.NONE.code;
		return result;
	}

	#failed(thrown: unknown): ReadResult {
		const error = fromNative(thrown);
		const result = this.#read;
		const isGone = error.code === "TOPIC_DELETED" || error.code === "UNKNOWN_TOPIC_OR_PARTITION";
		result.status = isGone ? "deleted" : "failed";
		result.data = null;
		result.code = error.number;
		return result;
	}

	#arm(topic: number, partition: number, offset: number): boolean {
		try {
			return this.#native.watch(this.#store, this.#channel, topic, partition, offset);
		} catch {
			// The topic is gone: whoever waits finds out by reading.
			return false;
		}
	}

	#highWatermark(topic: number, partition: number): number {
		try {
			return this.offsets(topic as TopicHandle, partition).highWatermark;
		} catch (error) {
			if (error instanceof MillraceError) return Number.POSITIVE_INFINITY;
			throw error;
		}
	}

	#drain(): void {
		// A wake-up that was on its way when the channel was closed.
		if (this.#isChannelClosed) return;
		const events = this.#events;
		for (;;) {
			const count = this.#native.drainChannel(this.#channel, events);
			if (count === 0) return;
			for (let index = 0; index < count; index += EVENT_STRIDE) {
				const first = events[index + 1] as number;
				const second = events[index + 2] as number;
				const kind = events[index];
				if (kind === EVENT_TOKEN) this.#tokenDone(first, second);
				else if (kind === EVENT_UNMAP) this.#windows.dropTopic(first);
				else this.#watches.advance(first, second);
			}
		}
	}

	#tokenDone(token: number, code: number): void {
		const done = this.#tokens.get(token);
		if (done === undefined) return;
		this.#tokens.delete(token);
		// First what may ask for more: letting go in between would cost two calls of the core.
		try {
			done(code);
		} finally {
			this.#hold.remove();
		}
	}
}

function timedOffset([offset, timestampMs, leaderEpoch]: Float64Array): TimedOffset | null {
	if (offset === undefined || timestampMs === undefined || leaderEpoch === undefined) return null;
	return { offset, timestampMs, leaderEpoch };
}
